//! Two looks at what is wrong, as long as the service runs.

use std::sync::Arc;
use std::time::Duration;

use eitherway_layers::logging::RateLimitedLog;
use tokio::time;

use super::progress::{PATIENCE, Pace, counted, worker};
use super::shared::Shared;
use crate::nats::Mode;
use crate::operation::Operation;
use crate::store::Store;

/// How often it is looked what is over.
const OVER: Duration = Duration::from_secs(1);
/// How often it is looked what waits.
const WAITING: Duration = Duration::from_millis(500);

/// Says what is over, for as long as the service runs.
pub(super) async fn over<O, D>(shared: Arc<Shared<O, D>>) {
    while time::timeout(OVER, shared.stop.cancelled()).await.is_err() {
        shared.troubles.report(RateLimitedLog::recovered);
        shared.troubles.unreadable.tell(&shared.notices);
    }
}

/// Watches what comes without a stream, as long as the service runs.
pub(super) async fn progress<O: Operation, D: Store<O>>(shared: Arc<Shared<O, D>>) {
    const KEY: &str = "waiting";
    if shared.mode() == Mode::JetStream {
        return; // the stream's own watch knows more
    }
    let mut pace = Pace::default();
    while time::timeout(WAITING, shared.stop.cancelled()).await.is_err() {
        let worked = pace.look(&shared.total());
        match (shared.progress.stuck(), worked) {
            (Some(stuck), _) if stuck.longest >= PATIENCE => {
                let (count, seconds) = (stuck.count as u64, stuck.longest.as_secs());
                let reason = stuck.reason();
                shared.notices.raise(
                    KEY,
                    format!(
                        "{} taken and not applied, for {seconds} s by now: {reason}",
                        counted(count, "message")
                    ),
                );
            }
            (None, Some((open, time))) if time >= PATIENCE => {
                shared.notices.raise(KEY, worker(open, time));
            }
            _ => shared.notices.clear(KEY),
        }
    }
}
