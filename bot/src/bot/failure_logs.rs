//! Rate-limited warnings: a failure that repeats with every event is logged once, and then counted.

use eitherway_layers::logging::{RateLimitedLog, Summary, Suppressed};
use tracing::warn;

/// Kinds of failure that may affect many events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FailureKind {
    /// An operation was refused.
    Refused,
    /// An operation may or may not have taken effect.
    Unknown,
    /// An operation has not taken effect.
    Lost,
    /// Waiting messages could not be claimed.
    Unclaimed,
    /// The chat did not accept a message.
    Undelivered,
    /// The result of a delivery could not be recorded.
    Unmarked,
    /// The result of a delivery could not be recorded, and no further attempt follows.
    GivenUp,
    /// Input that is not an event.
    Unreadable,
    /// A handler failed or panicked.
    Handler,
}

impl FailureKind {
    const COUNT: usize = Self::Handler as usize + 1;
    const ALL: [Self; Self::COUNT] = [
        Self::Refused,
        Self::Unknown,
        Self::Lost,
        Self::Unclaimed,
        Self::Undelivered,
        Self::Unmarked,
        Self::GivenUp,
        Self::Unreadable,
        Self::Handler,
    ];

    /// A phrase for several failures of this kind.
    const fn many(self) -> &'static str {
        match self {
            Self::Refused => "operations were refused, and are not tried again",
            Self::Unknown => "operations may be lost",
            Self::Lost => "operations are lost",
            Self::Unclaimed => "attempts to read the waiting messages failed",
            Self::Undelivered => "messages could not be delivered",
            Self::Unmarked => "delivery reports could not be recorded yet and will be retried",
            Self::GivenUp => "delivery reports were dropped",
            Self::Unreadable => "lines of the input were skipped",
            Self::Handler => "handlers failed",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct FailureLogs([RateLimitedLog; FailureKind::COUNT]);

impl FailureLogs {
    /// Records a failure. Returns `Some` if it is to be logged.
    pub(super) fn record(&self, wrong: FailureKind) -> Option<Suppressed> {
        self.0[wrong as usize].record()
    }

    /// Logs the failures that no line has reported yet.
    pub(super) fn report(&self, end: impl Fn(&RateLimitedLog) -> Option<Summary>) {
        for (wrong, trouble) in FailureKind::ALL.into_iter().zip(&self.0) {
            if let Some(Summary { unsaid, lasted, .. }) = end(trouble).filter(|past| past.unsaid > 0) {
                warn!("{unsaid} more {}, in {:.1} s", wrong.many(), lasted.as_secs_f64());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time;

    use super::*;
    use crate::bot::event::Body;
    use crate::bot::testing::{MockStack, TestBot, join, line};
    use crate::captured_logs::CapturedLogs;
    use eitherway::error::Code;

    #[test]
    fn every_kind_has_its_place() {
        assert!(FailureKind::ALL.into_iter().enumerate().all(|(place, wrong)| wrong as usize == place));
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_lost_events_are_a_few_lines_that_count_them_all() {
        let (heard, _guard) = CapturedLogs::catch();
        let test = TestBot::new(MockStack::failing(Code::UNAVAILABLE));
        for user in 0..1_000 {
            test.handle(5_000, join(&format!("user {user}"))).await;
        }
        test.handle(5_000, line("ann", "refused?")).await;
        test.stack.fail("message_log", Code::INVALID);
        test.handle(5_000, line("ann", "refused")).await;
        let said = heard.take();
        assert_eq!(said.len(), 3, "the join, the messages that wait, the line that is refused: {said:?}");
        assert!(said[0].starts_with("WARN the join of user 0: lost: made to fail"), "{said:?}");
        assert!(said[2].starts_with("WARN a line of ann: refused, and not tried again"), "{said:?}");
        test.stack.recover();
        time::advance(RateLimitedLog::CALM).await;
        test.bot.failures().report(RateLimitedLog::recovered);
        let said = heard.take();
        assert!(said.contains(&"WARN 1000 more operations are lost, in 0.0 s".to_owned()), "{said:?}");
        assert_eq!(said.len(), 2, "{said:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_always_fails_is_said_once_in_a_while() {
        let (heard, _guard) = CapturedLogs::catch();
        let test = TestBot::new(MockStack::default());
        test.sender.fault(Some(crate::bot::testing::Fault::Panic));
        for _ in 0..50 {
            test.stack.answer(
                "outbound_get",
                serde_json::json!([crate::bot::testing::waiting(1, Some("ann"), "x")]),
            );
            test.handle(5_000, join("ann")).await;
        }
        assert_eq!(heard.take().len(), 1);
        test.handle(5_000, Body::Connect).await;
        test.bot.failures().report(RateLimitedLog::flush);
        assert_eq!(heard.take(), ["WARN 49 more handlers failed, in 0.0 s"]);
    }
}
