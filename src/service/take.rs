//! Takes the messages of one subscription, and works on many of them at once.

use std::sync::Arc;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;

use super::connection::Connection;
use super::leave::leave;
use super::subscription::{Serves, Subscription, subscriber, told};
use super::waiting::Waiting;
use super::{Shared, barrier, handle};
use crate::operation::Persist;

/// Whether more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Taking {
    Yes,
    /// The server is about to stop: not until the next connection.
    Paused,
    /// Never again.
    Over,
}

/// A subscription that still takes requests, or works on them.
struct Busy<'a>(&'a watch::Sender<usize>);

impl<'a> Busy<'a> {
    fn new(busy: &'a watch::Sender<usize>) -> Self {
        busy.send_modify(|n| *n += 1);
        Self(busy)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|n| *n -= 1);
    }
}

/// Takes messages until it is told to stop; then what the server had sent already, and ends when all is done. Does the
/// same when the server says that it is about to stop: what it would still send would be lost with it, and whoever asks
/// is told at once that nobody is there. Listens again on the next connection.
///
/// The sign of life goes last: whoever misses it gives up what he waits for.
pub(super) async fn run<O: Persist>(shared: Arc<Shared<O>>, subscription: Subscription) {
    let Subscription { serves, subject, subscriber: mut messages, early } = subscription;
    let (mut stop, mut connection) = (shared.stop.clone(), shared.connection.clone());
    let work = |(message, cost)| {
        let work = work(&shared, serves, message);
        async move {
            work.await;
            cost
        }
    };
    let mut working = FuturesUnordered::new();
    let mut waiting = Waiting::new(&shared.room);
    let wait = |waiting: &mut Waiting<'_>, message| {
        if !waiting.push(message) {
            shared.troubles.overrun();
        }
    };
    early.into_iter().for_each(|message| wait(&mut waiting, message));
    let mut taking = Taking::Yes;
    let new_busy = || (serves != Serves::Ping && serves != Serves::Who).then(|| Busy::new(&shared.busy));
    let mut busy = new_busy();
    while taking != Taking::Over || !working.is_empty() || !waiting.is_empty() {
        while working.len() < shared.in_flight
            && let Some(next) = waiting.begin()
        {
            working.push(work(next));
        }
        if taking != Taking::Yes && working.is_empty() {
            busy = None;
        }
        let end = tokio::select! {
            biased;
            Some(cost) = working.next() => {
                waiting.ended(cost);
                continue;
            }
            // Whatever is at work: what lies in the connection is bounded by its number alone.
            message = messages.next(), if taking == Taking::Yes => {
                match message {
                    Some(message) => wait(&mut waiting, message),
                    None => taking = Taking::Over,
                }
                continue;
            }
            end = change(&shared, serves, &mut stop, &mut connection, taking), if taking != Taking::Over => end,
        };
        match end {
            Taking::Yes => match subscriber::<O>(&shared.client, serves, &subject).await {
                Ok(again) => {
                    messages = again;
                    busy = new_busy();
                }
                Err(e) => {
                    tracing::error!(subject, "nobody listens here any more: {e}");
                    taking = Taking::Over;
                    continue;
                }
            },
            _ if taking == Taking::Yes => {
                let rest = rest(&shared, &mut messages, &mut working, &mut waiting).await;
                rest.into_iter().for_each(|message| wait(&mut waiting, message));
            }
            _ => {}
        }
        taking = end;
    }
    drop(busy);
}

/// The last messages of a subscription; what is being worked on goes on meanwhile.
async fn rest<O: Persist>(
    shared: &Shared<O>,
    messages: &mut Subscriber,
    working: &mut FuturesUnordered<impl Future<Output = usize>>,
    waiting: &mut Waiting<'_>,
) -> Vec<Message> {
    let mut leaving = std::pin::pin!(leave(&shared.client, messages));
    loop {
        tokio::select! {
            rest = &mut leaving => return rest,
            Some(cost) = working.next() => waiting.ended(cost),
        }
    }
}

/// Waits until it is time for something else, and says for what.
async fn change<O: Persist>(
    shared: &Shared<O>,
    serves: Serves,
    stop: &mut watch::Receiver<bool>,
    connection: &mut watch::Receiver<Connection>,
    taking: Taking,
) -> Taking {
    let next = tokio::select! {
        () = told(stop) => Taking::Over,
        // Who we are is told to the last moment: another instance may be starting.
        next = turn(connection, taking), if serves != Serves::Who => next,
    };
    if serves == Serves::Ping && taking == Taking::Yes {
        // Until everybody who takes requests has answered them. The sender lives as long as what is shared.
        let _ = shared.busy.subscribe().wait_for(|busy| *busy == 0).await;
    }
    next
}

/// Waits until the server says that it is about to stop; or, after that, for the next connection.
async fn turn(connection: &mut watch::Receiver<Connection>, taking: Taking) -> Taking {
    let yes = taking == Taking::Yes;
    if connection.wait_for(|c| if yes { c.lame } else { c.up && !c.lame }).await.is_err() {
        // The client is gone, and nothing will be said any more.
        std::future::pending::<()>().await;
    }
    if yes { Taking::Paused } else { Taking::Yes }
}

async fn work<O: Persist>(shared: &Shared<O>, serves: Serves, message: Message) {
    match serves {
        Serves::Operation(index) => handle::operation(shared, index, message).await,
        Serves::Ping => handle::ping(shared, message).await,
        Serves::Who => handle::who(shared, message).await,
        Serves::Applied => barrier::applied(shared, message).await,
    }
}
