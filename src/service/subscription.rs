//! One subscription per subject, each a task that works on many requests at once.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Message, Subscriber};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::task::coop::unconstrained;
use tokio::time;

use super::neighbours::who_subject;
use super::stream::Overlap;
use super::{ServeError, Shared, barrier, handle};
use crate::nats::Mode;
use crate::operation::{Kind, Persist};

/// What a subscription serves.
#[derive(Clone, Copy, Debug)]
enum Serves {
    /// The operation of this index.
    Operation(usize),
    /// A sign of life, of one instance.
    Ping,
    /// The database, of every instance.
    Who,
    /// Whether what was stored is applied, of one instance.
    Applied,
}

/// What is listened to, before anything of it is taken.
pub(super) struct Subscriptions(Vec<Subscription>);

struct Subscription {
    serves: Serves,
    subscriber: Subscriber,
    /// What has come already, and is to be taken first.
    early: Vec<Message>,
}

impl Subscription {
    const fn new(serves: Serves, subscriber: Subscriber) -> Self {
        Self { serves, subscriber, early: Vec::new() }
    }
}

/// Subscribes to everything, and returns when the server has taken note of it all. What a stream takes, nobody else
/// listens to. Who we are is told from now on, because another instance may be starting at the same moment.
pub(super) async fn subscribe<O: Persist>(
    shared: &Arc<Shared<O>>,
    tasks: &mut JoinSet<()>,
) -> Result<Subscriptions, ServeError> {
    let failed = |e: &dyn std::fmt::Display| ServeError::Connection(e.to_string());
    let client = &shared.client;
    let from_stream = |kind| kind == Kind::Event && shared.mode() == Mode::JetStream;
    let operations = O::SPECS.iter().enumerate().filter(|(_, spec)| !from_stream(spec.kind));
    let operations = operations.map(|(i, spec)| (spec.subject.to_owned(), Serves::Operation(i)));
    let mut all = Vec::new();
    let own = [("ping", Serves::Ping), ("applied", Serves::Applied)];
    let own = own.map(|(word, serves)| (format!("{}.{word}", O::SERVICE), serves));
    for (subject, serves) in operations.chain(own) {
        let subscriber = client.queue_subscribe(subject, O::SERVICE.into()).await.map_err(|e| failed(&e))?;
        all.push(Subscription::new(serves, subscriber));
    }
    let who = client.subscribe(who_subject::<O>()).await.map_err(|e| failed(&e))?;
    tasks.spawn(run(Arc::clone(shared), Subscription::new(Serves::Who, who)));
    settle(client).await?;
    Ok(Subscriptions(all))
}

/// Waits until the server has taken note of what was sent before. It reads in order: what comes back to us was sent
/// after all subscriptions.
pub(super) async fn settle(client: &Client) -> Result<(), ServeError> {
    let failed = |e: &dyn std::fmt::Display| ServeError::Connection(e.to_string());
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.map_err(|e| failed(&e))?;
    client.publish(inbox, "".into()).await.map_err(|e| failed(&e))?;
    match time::timeout(Duration::from_secs(5), echo.next()).await {
        Ok(Some(_)) => Ok(()),
        _ => Err(failed(&"the server did not confirm our subscriptions within 5 s")),
    }
}

impl Subscriptions {
    /// Passes over what has come by now and is done from a stream.
    pub(super) fn without(&mut self, mut overlap: Overlap) {
        for Subscription { serves, subscriber, early } in &mut self.0 {
            if !matches!(serves, Serves::Operation(_)) {
                continue;
            }
            // Outside of tokio's budget: it would say "nothing more" in the middle.
            while let Some(Some(message)) = unconstrained(subscriber.next()).now_or_never() {
                if !overlap.takes(&message) {
                    early.push(message);
                }
            }
        }
    }

    /// Begins to take what comes.
    pub(super) fn serve<O: Persist>(self, shared: &Arc<Shared<O>>, tasks: &mut JoinSet<()>) {
        for subscription in self.0 {
            tasks.spawn(run(Arc::clone(shared), subscription));
        }
    }
}

/// Takes messages until it is told to stop; then what the server had sent already, and ends when all is done.
async fn run<O: Persist>(shared: Arc<Shared<O>>, subscription: Subscription) {
    let Subscription { serves, mut subscriber, early } = subscription;
    let mut stop = shared.stop.clone();
    let working = early.into_iter().map(|message| work(&shared, serves, message));
    let mut working = working.collect::<FuturesUnordered<_>>();
    let (mut open, mut stopping) = (true, false);
    while open || !working.is_empty() {
        tokio::select! {
            biased;
            Some(()) = working.next() => {}
            message = subscriber.next(), if open && working.len() < shared.in_flight => match message {
                Some(message) => working.push(work(&shared, serves, message)),
                None => open = false,
            },
            () = told(&mut stop), if !stopping => {
                stopping = true;
                // Without a connection nobody tells that this is all: then it is what lies here already.
                let up = shared.client.connection_state() == State::Connected;
                if !(up && subscriber.drain().await.is_ok()) {
                    while let Some(Some(message)) = unconstrained(subscriber.next()).now_or_never() {
                        working.push(work(&shared, serves, message));
                    }
                    open = false;
                }
            }
        }
    }
}

async fn work<O: Persist>(shared: &Shared<O>, serves: Serves, message: Message) {
    match serves {
        Serves::Operation(index) => handle::operation(shared, index, message).await,
        Serves::Ping => handle::ping(shared, message).await,
        Serves::Who => handle::who(shared, message).await,
        Serves::Applied => barrier::applied(shared, message).await,
    }
}

/// Waits until the signal is given.
pub(super) async fn told(signal: &mut watch::Receiver<bool>) {
    // The sender lives as long as the service: its end is the signal too. The borrowed value must not outlive this.
    let _ = signal.wait_for(|given| *given).await;
}
