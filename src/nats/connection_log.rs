//! A flapping connection: the first loss and the return from it are logged, and losses soon afterwards are
//! only counted.

use std::time::Duration;

use parking_lot::Mutex;

use eitherway_layers::logging::{RateLimitedLog, Summary, Suppressed};
use tokio::time::Instant;

/// The losses of one connection.
#[derive(Debug, Default)]
pub(crate) struct ConnectionLog {
    log: RateLimitedLog,
    down: Mutex<Option<Down>>,
}

#[derive(Clone, Copy, Debug)]
struct Down {
    since: Instant,
    /// Whether a log line has reported that the connection is down.
    said: bool,
}

/// How the connection came up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Up {
    First,
    /// Again, after this long.
    Reconnected(Duration),
    /// Again, after this long; no log line has reported that it was down.
    ReconnectedUnlogged(Duration),
}

impl ConnectionLog {
    /// Records a loss. Returns `Some` if the loss is to be logged.
    pub(crate) fn lost(&self) -> Option<Suppressed> {
        let mut down = self.down.lock();
        let more = self.log.record();
        let down = down.get_or_insert_with(|| Down { since: Instant::now(), said: false });
        down.said |= more.is_some();
        more
    }

    /// Records that the connection is up.
    pub(crate) fn up(&self) -> Up {
        match self.down.lock().take() {
            None => Up::First,
            Some(Down { since, said: true }) => Up::Reconnected(since.elapsed()),
            Some(Down { since, said: false }) => Up::ReconnectedUnlogged(since.elapsed()),
        }
    }

    pub(crate) fn are_going_on(&self) -> bool {
        self.log.is_going_on()
    }

    /// A sentence about the losses that no log line has reported, with the current state, because the last
    /// line may describe an earlier state.
    pub(crate) fn report(&self, end: impl Fn(&RateLimitedLog) -> Option<Summary>) -> Option<String> {
        let mut down = self.down.lock();
        let Summary { unsaid, lasted, .. } = end(&self.log).filter(|past| past.unsaid > 0)?;
        let now = match down.as_mut() {
            Some(down) => {
                down.said = true;
                "is down"
            }
            None => "was back each time",
        };
        let lasted = lasted.as_secs_f64();
        let times = if unsaid == 1 { "time" } else { "times" };
        Some(format!("lost the connection to NATS {unsaid} more {times}, in {lasted:.1} s; it {now}"))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_was_lost_unsaid_and_stays_down_is_said_to_be_down_and_then_to_be_back() {
        let log = ConnectionLog::default();
        assert_eq!(log.up(), Up::First);
        assert_eq!(log.lost(), Some(Suppressed(0)));
        assert_eq!(log.up(), Up::Reconnected(Duration::ZERO));
        for _ in 0..7 {
            assert_eq!(log.lost(), None);
            assert_eq!(log.up(), Up::ReconnectedUnlogged(Duration::ZERO));
        }
        assert_eq!(log.lost(), None);
        time::advance(RateLimitedLog::CALM).await;
        let said = log.report(RateLimitedLog::recovered);
        assert_eq!(said.as_deref(), Some("lost the connection to NATS 8 more times, in 0.0 s; it is down"));
        assert_eq!(log.up(), Up::Reconnected(RateLimitedLog::CALM));
        assert!(!log.are_going_on() && log.report(RateLimitedLog::recovered).is_none());
    }
}
