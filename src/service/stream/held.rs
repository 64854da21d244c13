//! What another program was handed out, and neither acknowledges nor lets go: it may have put it off for as long as it likes.

use std::time::Duration;

use tokio::time::Instant;

/// After this many times `ack_wait` the consumer is replaced, and the queue hands out all it holds again.
pub(super) const HELD: u32 = 2;

/// For which message the consumer was replaced, and how often.
#[derive(Debug, Default)]
pub(super) struct Held {
    first: u64,
    times: u32,
}

impl Held {
    /// Whether the consumer is to be replaced because `first` has been handed out and not acknowledged for `since`. For the same
    /// message this is so again after twice the time.
    pub(super) fn is_due(&mut self, first: u64, since: Duration, ack_wait: Duration) -> bool {
        if self.first != first {
            *self = Self { first, times: 0 };
        }
        let due = since >= ack_wait.saturating_mul(HELD.saturating_mul(2_u32.saturating_pow(self.times)));
        self.times += u32::from(due);
        due
    }
}

/// For how long instances have asked the consumer for more while it has held the same message. While none asks, or a server is
/// missing, nothing is handed out again, whichever program had it.
#[derive(Debug, Default)]
pub(super) struct Asked(Option<Counted>);

#[derive(Debug)]
struct Counted {
    since: Instant,
    last: Instant,
    asked: Duration,
}

impl Asked {
    /// The time so far. `since`: since when it is that message; `asks`: whether instances ask, at this look.
    pub(super) fn look(&mut self, since: Instant, asks: bool) -> Duration {
        let now = Instant::now();
        let before = self.0.take().filter(|counted| counted.since == since);
        let mut counted = before.unwrap_or(Counted { since, last: since, asked: Duration::ZERO });
        if asks {
            counted.asked += now - counted.last;
        }
        counted.last = now;
        self.0.insert(counted).asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn only_the_time_counts_in_which_instances_ask_for_more() {
        let (mut asked, since, second) = (Asked::default(), Instant::now(), Duration::from_secs(1));
        let mut counted = Vec::new();
        for asks in [true, true, false, false, true, false, true] {
            tokio::time::advance(second).await;
            counted.push(asked.look(since, asks).as_secs());
        }
        assert_eq!(counted, [1, 2, 2, 2, 3, 3, 4]);
        let another = Instant::now();
        tokio::time::advance(second).await;
        assert_eq!(asked.look(another, true), second, "of another message");
    }

    #[test]
    fn a_message_that_is_held_is_taken_back_after_twice_the_wait_and_less_and_less_often() {
        let (mut held, wait) = (Held::default(), Duration::from_secs(30));
        let due: Vec<_> = (0..500).filter(|s| held.is_due(7, Duration::from_secs(*s), wait)).collect();
        assert_eq!(due, [60, 120, 240, 480]);
        assert!(!held.is_due(8, Duration::from_secs(59), wait));
        assert!(held.is_due(8, Duration::from_secs(60), wait));
    }
}
