//! How long an answer to a ping may take: adapts to the round-trip time, short on a fast link and long on a
//! slow one.

use std::time::Duration;

/// The limit of the next ping, derived from the pings before it.
#[derive(Debug)]
pub(super) struct PingTimeout {
    /// The shortest limit, so that a service that is only busy does not count as gone.
    least: Duration,
    /// The longest limit.
    most: Duration,
    /// The quickest answer on this connection.
    best: Option<Duration>,
    /// Pings without an answer since the last answer.
    silent: u32,
}

impl PingTimeout {
    pub(super) fn new(most: Duration, least: Duration) -> Self {
        Self { least, most: most.max(least), best: None, silent: 0 }
    }

    /// Resets for a new connection or another service: the round-trip time is unknown.
    pub(super) fn begin(&mut self) {
        self.best = None;
        self.silent = 0;
    }

    /// How long the next answer may take. Each ping without an answer doubles the limit, because the link may
    /// be slow.
    pub(super) fn limit(&self) -> Duration {
        let usual = self.best.map_or(self.most, |best| best * 4);
        usual.clamp(self.least, self.most).saturating_mul(1 << self.silent.min(8)).min(self.most)
    }

    /// Records how long an answer took, or that none came.
    pub(super) fn learn(&mut self, took: Option<Duration>) {
        match took {
            // After silence the round trip may have become longer.
            Some(took) if self.silent > 0 => (self.best, self.silent) = (Some(took), 0),
            Some(took) => self.best = Some(self.best.map_or(took, |best| best.min(took))),
            None => self.silent += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: Duration = ms(600);

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn the_limit_follows_the_way_and_stays_within_its_bounds() {
        let mut ping_timeout = PingTimeout::new(ms(2000), LEAST);
        assert_eq!(ping_timeout.limit(), ms(2000), "nothing is known of the way");
        ping_timeout.learn(Some(ms(1)));
        assert_eq!(ping_timeout.limit(), LEAST);
        ping_timeout.learn(Some(ms(500)));
        assert_eq!(ping_timeout.limit(), LEAST, "it was only busy");
        ping_timeout.learn(None);
        assert_eq!(ping_timeout.limit(), ms(1200), "the way may have become longer");
        ping_timeout.learn(Some(ms(400)));
        assert_eq!(ping_timeout.limit(), ms(1600));
        for _ in 0..100 {
            ping_timeout.learn(None);
        }
        assert_eq!(ping_timeout.limit(), ms(2000));
        ping_timeout.begin();
        ping_timeout.learn(Some(ms(10)));
        assert_eq!(ping_timeout.limit(), LEAST);
        assert_eq!(PingTimeout::new(ms(1), LEAST).limit(), LEAST);
    }
}
