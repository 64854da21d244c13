//! How fast the bot may speak, and how long it waits before it connects again.

use std::time::Duration;

use tokio::time::Instant;

/// The longest wait between two attempts to connect.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A token bucket for lines.
#[derive(Debug)]
pub(in crate::bot::chat) struct Bucket {
    burst: u32,
    every: Duration,
    /// When it is full again.
    full_at: Option<Instant>,
}

impl Bucket {
    /// So many lines at once after a silence, at least one; then one in this time.
    pub(in crate::bot::chat) const fn new(burst: u32, every: Duration) -> Self {
        Self { burst, every, full_at: None }
    }

    /// Goes on with another pace.
    pub(in crate::bot::chat) fn set(&mut self, burst: u32, every: Duration) {
        (self.burst, self.every) = (burst, every);
    }

    /// When the next line may be said; not after `now` if at once.
    pub(in crate::bot::chat) fn next(&self, now: Instant) -> Instant {
        let others = self.every * self.burst.saturating_sub(1);
        self.full_at.map_or(now, |full_at| full_at.checked_sub(others).unwrap_or(now))
    }

    /// Takes the token of one line.
    pub(in crate::bot::chat) fn take(&mut self, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + self.every);
    }

    /// Takes all tokens: the network has had enough.
    pub(in crate::bot::chat) fn drain(&mut self, now: Instant) {
        self.full_at = Some(now + self.every * self.burst);
    }
}

/// The wait before the next attempt: a random part of 1 s, then of 2 s, at last of 60 s ("full jitter"), so that the clients of
/// a server that returns do not all come at once.
#[derive(Debug, Default)]
pub(in crate::bot::chat) struct Backoff {
    attempts: u32,
}

impl Backoff {
    pub(in crate::bot::chat) fn next(&mut self) -> Duration {
        let most = Duration::from_secs(1 << self.attempts.min(6)).min(LONGEST_WAIT);
        self.attempts = self.attempts.saturating_add(1);
        most.mul_f64(fastrand::f64())
    }

    pub(in crate::bot::chat) fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_at_once_and_then_one_line_every_two_seconds() {
        let (begin, mut bucket) = (Instant::now(), Bucket::new(4, Duration::from_secs(2)));
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
        let much_later = later + Duration::from_secs(60);
        bucket.drain(much_later);
        assert_eq!(bucket.next(much_later) - much_later, Duration::from_secs(2));
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
