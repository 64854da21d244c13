//! Takes the messages of one subscription, in order, and hands them on.

use std::sync::Arc;

use tokio::sync::watch;

use super::Shared;
use super::connection::Connection;
use super::drain::drain_subscription;
use super::lanes::Lanes;
use super::subscription::{Subscription, subscriber};
use super::taken::Serves;
use crate::operation::Operation;
use crate::store::Store;

/// Whether more is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Intake {
    Yes,
    /// The server is about to stop: not until the next connection.
    Paused,
    /// Never again.
    Over,
}

/// Takes messages until it is told to stop; then what the server had sent already. Does the same when the server says that
/// it is about to stop, because what it would still send would be lost with it, and callers are told at once that there is
/// no service. Listens again on the next connection.
///
/// The sign of life goes last: a client that misses it gives up what it waits for.
pub(super) async fn run<O: Operation, D: Store<O>>(
    shared: Arc<Shared<O, D>>,
    lanes: Arc<Lanes<O, D>>,
    subscription: Subscription,
) {
    let Subscription { serves, subject, subscriber: mut messages, early } = subscription;
    let mut connection = shared.connection.clone();
    early.into_iter().for_each(|message| lanes.take(serves, message));
    let new_token = || serves.works().then(|| shared.running.token());
    let (mut taking, mut busy) = (Intake::Yes, new_token());
    while taking != Intake::Over {
        let next = tokio::select! {
            biased;
            message = futures_util::StreamExt::next(&mut messages), if taking == Intake::Yes => {
                match message {
                    Some(message) => lanes.take(serves, message),
                    None => taking = Intake::Over,
                }
                continue;
            }
            next = change(&shared, serves, &mut connection, taking) => next,
        };
        match next {
            Intake::Yes => match subscriber(&shared.names, &shared.client, serves, &subject).await {
                Ok(again) => {
                    messages = again;
                    busy = new_token();
                }
                Err(e) => {
                    tracing::error!(subject, "this service no longer listens here: {e}");
                    break;
                }
            },
            _ if taking == Intake::Yes => {
                for message in drain_subscription(&shared.client, &mut messages).await {
                    lanes.take(serves, message);
                }
                // What was handed on is busy by itself.
                busy = None;
            }
            _ => {}
        }
        taking = next;
    }
    drop(busy);
}

/// Waits until it is time for something else, and says for what.
async fn change<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    serves: Serves,
    connection: &mut watch::Receiver<Connection>,
    taking: Intake,
) -> Intake {
    let next = tokio::select! {
        () = shared.stop.cancelled() => Intake::Over,
        // Who we are is told to the last moment: another instance may be starting.
        next = turn(connection, taking), if serves != Serves::Who => next,
    };
    if serves == Serves::Ping && taking == Intake::Yes {
        // Until every worker has answered its requests.
        shared.running.wait().await;
    }
    next
}

/// Waits until the server says that it is about to stop; or, after that, for the next connection.
async fn turn(connection: &mut watch::Receiver<Connection>, taking: Intake) -> Intake {
    let yes = taking == Intake::Yes;
    if connection.wait_for(|c| if yes { c.lame } else { c.up && !c.lame }).await.is_err() {
        // The client is gone, and nothing will be said any more.
        std::future::pending::<()>().await;
    }
    if yes { Intake::Paused } else { Intake::Yes }
}
