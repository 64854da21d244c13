//! One subscription per subject, each a task that works on many requests at once.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::task::coop::unconstrained;
use tokio::time;

use super::neighbours::who_subject;
use super::stream::Overlap;
use super::{ServeError, Shared, take};
use crate::nats::Mode;
use crate::operation::{Kind, Persist};

/// What a subscription serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serves {
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

pub(super) struct Subscription {
    pub(super) serves: Serves,
    pub(super) subject: String,
    pub(super) subscriber: Subscriber,
    /// What has come already, and is to be taken first.
    pub(super) early: Vec<Message>,
}

impl Subscription {
    async fn open<O: Persist>(client: &Client, serves: Serves, subject: String) -> Result<Self, ServeError> {
        let subscriber = subscriber::<O>(client, serves, &subject).await?;
        Ok(Self { serves, subject, subscriber, early: Vec::new() })
    }
}

/// Listens to a subject: with the other instances, where one of them is enough.
pub(super) async fn subscriber<O: Persist>(
    client: &Client,
    serves: Serves,
    subject: &str,
) -> Result<Subscriber, ServeError> {
    let subject = subject.to_owned();
    let subscriber = match serves {
        Serves::Who => client.subscribe(subject).await,
        _ => client.queue_subscribe(subject, O::SERVICE.into()).await,
    };
    subscriber.map_err(|e| ServeError::Connection(e.to_string()))
}

/// Subscribes to everything, and returns when the server has taken note of it all. What a stream takes, nobody else
/// listens to. Who we are is told from now on, because another instance may be starting at the same moment.
pub(super) async fn subscribe<O: Persist>(
    shared: &Arc<Shared<O>>,
    tasks: &mut JoinSet<()>,
) -> Result<Subscriptions, ServeError> {
    let client = &shared.client;
    let from_stream = |kind| kind == Kind::Event && shared.mode() == Mode::JetStream;
    let operations = O::SPECS.iter().enumerate().filter(|(_, spec)| !from_stream(spec.kind));
    let operations = operations.map(|(i, spec)| (spec.subject.to_owned(), Serves::Operation(i)));
    let mut all = Vec::new();
    let own = [("ping", Serves::Ping), ("applied", Serves::Applied)];
    let own = own.map(|(word, serves)| (format!("{}.{word}", O::SERVICE), serves));
    for (subject, serves) in operations.chain(own) {
        all.push(Subscription::open::<O>(client, serves, subject).await?);
    }
    let who = Subscription::open::<O>(client, Serves::Who, who_subject::<O>()).await?;
    tasks.spawn(take::run(Arc::clone(shared), who));
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
        for Subscription { serves, subscriber, early, .. } in &mut self.0 {
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
            tasks.spawn(take::run(Arc::clone(shared), subscription));
        }
    }
}

/// Waits until the signal is given.
pub(super) async fn told(signal: &mut watch::Receiver<bool>) {
    // The sender lives as long as the service: its end is the signal too. The borrowed value must not outlive this.
    let _ = signal.wait_for(|given| *given).await;
}
