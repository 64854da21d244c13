//! One subscription per subject, each a task that works on many requests at once.

use std::sync::Arc;
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Message, Subscriber};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;

use super::neighbours::who_subject;
use super::{ServeError, Shared, handle, ping_subject};
use crate::operation::Persist;

/// What a subscription serves.
#[derive(Clone, Copy, Debug)]
enum Serves {
    /// The operation of this index.
    Operation(usize),
    /// A sign of life, of one instance.
    Ping,
    /// The database, of every instance.
    Who,
}

/// Subscribes to everything, and returns when the server has taken note of it all.
pub(super) async fn start<O: Persist>(shared: &Arc<Shared<O>>) -> Result<JoinSet<()>, ServeError> {
    let failed = |e: &dyn std::fmt::Display| ServeError::Connection(e.to_string());
    let client = &shared.client;
    let operations = O::SPECS.iter().enumerate().map(|(i, s)| (s.subject.to_owned(), Serves::Operation(i)));
    let mut tasks = JoinSet::new();
    for (subject, serves) in operations.chain([(ping_subject::<O>(), Serves::Ping)]) {
        let subscriber = client.queue_subscribe(subject, O::SERVICE.into()).await.map_err(|e| failed(&e))?;
        tasks.spawn(run(Arc::clone(shared), serves, subscriber));
    }
    let subscriber = client.subscribe(who_subject::<O>()).await.map_err(|e| failed(&e))?;
    tasks.spawn(run(Arc::clone(shared), Serves::Who, subscriber));
    // The server reads in order: what comes back to us was sent after all subscriptions.
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.map_err(|e| failed(&e))?;
    client.publish(inbox, "".into()).await.map_err(|e| failed(&e))?;
    match time::timeout(Duration::from_secs(5), echo.next()).await {
        Ok(Some(_)) => Ok(tasks),
        _ => Err(failed(&"the server did not confirm our subscriptions within 5 s")),
    }
}

/// Takes messages until it is told to stop; then what the server had sent already, and ends when all is done.
async fn run<O: Persist>(shared: Arc<Shared<O>>, serves: Serves, mut subscriber: Subscriber) {
    let mut stop = shared.stop.clone();
    let mut working = FuturesUnordered::new();
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
                    while let Some(Some(message)) = subscriber.next().now_or_never() {
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
    }
}

/// Waits until the signal is given.
pub(super) async fn told(signal: &mut watch::Receiver<bool>) {
    // The sender lives as long as the service: its end is the signal too. The borrowed value must not outlive this.
    let _ = signal.wait_for(|given| *given).await;
}
