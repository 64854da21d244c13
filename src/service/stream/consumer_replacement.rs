//! What another program was handed out, and neither acknowledges nor lets go: it may have put it off for as long as it likes.

use std::time::Duration;

/// After this many times `ack_wait` the consumer is replaced, and the queue hands out all it holds again.
pub(super) const REPLACE_AFTER: u32 = 2;

/// For which message the consumer was replaced, and how often.
#[derive(Debug, Default)]
pub(super) struct ConsumerReplacement {
    first: u64,
    times: u32,
}

impl ConsumerReplacement {
    /// Whether the consumer is to be replaced because `first` has been handed out and not acknowledged for `since`. For the same
    /// message this is so again after twice the time.
    pub(super) fn is_due(&mut self, first: u64, since: Duration, ack_wait: Duration) -> bool {
        if self.first != first {
            *self = Self { first, times: 0 };
        }
        let due =
            since >= ack_wait.saturating_mul(REPLACE_AFTER.saturating_mul(2_u32.saturating_pow(self.times)));
        self.times += u32::from(due);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_that_is_held_is_taken_back_after_twice_the_wait_and_less_and_less_often() {
        let (mut replacement, wait) = (ConsumerReplacement::default(), Duration::from_secs(30));
        let due: Vec<_> = (0..500).filter(|s| replacement.is_due(7, Duration::from_secs(*s), wait)).collect();
        assert_eq!(due, [60, 120, 240, 480]);
        assert!(!replacement.is_due(8, Duration::from_secs(59), wait));
        assert!(replacement.is_due(8, Duration::from_secs(60), wait));
    }
}
