//! How fast the bot may speak, and how long it waits before it connects again.

use std::time::Duration;

use tokio::time::Instant;

/// Lines that may be said at once after a silence.
const BURST: u32 = 4;
/// Then one line in this time: servers hold back, or disconnect, a faster client.
const EVERY: Duration = Duration::from_secs(2);
/// The longest wait between two attempts to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A token bucket for lines.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    /// When it is full again.
    full_at: Option<Instant>,
}

impl Bucket {
    /// When the next line may be said; not after `now` if at once.
    pub(super) fn next(&self, now: Instant) -> Instant {
        self.full_at.map_or(now, |full_at| full_at.checked_sub(EVERY * (BURST - 1)).unwrap_or(now))
    }

    /// Takes the token of one line.
    pub(super) fn take(&mut self, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + EVERY);
    }
}

/// The wait before the next attempt: a random part of 1 s, then of 2 s, at last of 60 s ("full jitter"), so that the clients of
/// a server that returns do not all come at once.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub(super) fn next(&mut self) -> Duration {
        let most = Duration::from_secs(1 << self.attempts.min(6)).min(LONGEST_WAIT);
        self.attempts = self.attempts.saturating_add(1);
        most.mul_f64(fastrand::f64())
    }

    pub(super) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_line_every_two_seconds() {
        let (begin, mut bucket) = (Instant::now(), Bucket::default());
        let mut now = begin;
        let mut said = Vec::new();
        for _ in 0..7 {
            now = bucket.next(now).max(now);
            bucket.take(now);
            said.push((now - begin).as_secs());
        }
        assert_eq!(said, [0, 0, 0, 0, 2, 4, 6]);
        let later = now + Duration::from_secs(60);
        assert!((0..4).all(|_| {
            let at_once = bucket.next(later) <= later;
            bucket.take(later);
            at_once
        }));
        assert!(bucket.next(later) > later, "a long silence is one burst and no more");
    }

    #[test]
    fn the_wait_grows_to_a_minute_and_is_random() {
        let waits = |rounds| {
            let mut backoff = Backoff::default();
            (0..rounds).map(|_| backoff.next()).collect::<Vec<_>>()
        };
        for (n, wait) in waits(200).iter().enumerate() {
            assert!(
                *wait <= Duration::from_secs(60).min(Duration::from_secs(1 << n.min(6))),
                "{n}: {wait:?}"
            );
        }
        assert!(waits(200).iter().any(|wait| *wait > Duration::from_secs(30)));
        assert_ne!(waits(20), waits(20));
    }
}
