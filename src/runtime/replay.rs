//! The task that replays the outbox.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{self, Instant};
use tracing::Instrument;

use crate::client::Stack;
use crate::operation::Operation;
use crate::outbox::{OutboxService, Replayed, Replayer};

/// How long the last pass may take.
const LAST_ROUND: Duration = Duration::from_secs(5);

/// The replay of an outbox. It stops when this is dropped.
pub(super) struct Replay {
    /// The time until which a last pass may go on, once there is to be one.
    stop: watch::Sender<Option<Instant>>,
    done: watch::Receiver<Option<Replayed>>,
    pub(super) wake: Arc<Notify>,
}

impl Replay {
    /// Begins to offer what waits over a stack without the outbox.
    pub(super) fn start<O: Operation, S: Stack<O>>(outbox: OutboxService<O>, stack: S) -> Self {
        let replayer = Replayer::new(outbox.clone(), stack);
        let (wake, (stop, mut stopped), (tell, done)) =
            (replayer.wake(), watch::channel(None), watch::channel(None));
        let offering = async move {
            let mut stop = stopped.clone();
            replayer.run(async move { drop(stop.wait_for(Option::is_some).await) }).await;
            let last = *stopped.borrow_and_update();
            if let Some(deadline) = last
                && outbox.counts().waiting > 0
            {
                // Too late is no error: it waits for the next start.
                let pass = async {
                    tokio::select! {
                        _ = replayer.once() => {}
                        // Dropped: nothing waits for its end.
                        _ = stopped.changed() => {}
                    }
                };
                let _ = time::timeout_at(deadline, pass).await;
            }
            let _ = tell.send(Some(replayer.done()));
        };
        tokio::spawn(offering.in_current_span());
        Self { stop, done, wake }
    }

    /// Ends the replay with a last pass, which is over at the deadline, and in no more than [`LAST_ROUND`]. Returns what was
    /// replayed since the start. A second call waits for the same end. Cancel safe.
    pub(super) async fn finish(&self, deadline: Instant) -> Replayed {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            stop.get_or_insert(deadline.min(Instant::now() + LAST_ROUND));
            first
        });
        let done = self.done.clone().wait_for(Option::is_some).await.ok().and_then(|done| *done);
        done.unwrap_or_default()
    }
}
