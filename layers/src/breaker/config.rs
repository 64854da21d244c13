use std::time::Duration;

/// When a circuit opens, and how it closes again.
///
/// ```
/// use rosey_layers::breaker::{BreakerLayer, Config};
/// use std::time::Duration;
///
/// let layer = BreakerLayer::new(
///     Config::new()
///         .tag("[NATS]")
///         .consecutive_failures(3)
///         .failure_rate(0.5, 100, 20)
///         .back_off(Duration::from_millis(500), Duration::from_secs(30)),
/// );
/// ```
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) tag: &'static str,
    pub(super) consecutive: u16,
    pub(super) rate: Option<Rate>,
    pub(super) slow_after: Duration,
    pub(super) slow_calls_fail: bool,
    pub(super) back_off: Duration,
    pub(super) cap: Duration,
    pub(super) jitter: f64,
    pub(super) seed: Option<u64>,
    pub(super) probes: u16,
    pub(super) successes: u16,
    pub(super) lease: Duration,
    pub(super) by_signal: bool,
    pub(super) unsent_is_neutral: bool,
}

/// Opens at this share of failures among the last calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) share: f64,
    pub(super) calls: usize,
    pub(super) minimum: usize,
}

impl Config {
    /// Opens after 5 failures in a row, for 500 ms, which doubles up to 30 s and is shortened by up to a fifth at random;
    /// closes on 1 probe, which may take 5 s. A call is slow after 1 s.
    pub const fn new() -> Self {
        Self {
            tag: "circuit",
            consecutive: 5,
            rate: None,
            slow_after: Duration::from_secs(1),
            slow_calls_fail: false,
            back_off: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            jitter: 0.2,
            seed: None,
            probes: 1,
            successes: 1,
            lease: Duration::from_secs(5),
            by_signal: false,
            unsent_is_neutral: false,
        }
    }

    /// What the lines about this circuit begin with in the log.
    pub const fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    /// Opens when this many calls in a row have failed. At least 1.
    pub const fn consecutive_failures(mut self, failures: u16) -> Self {
        self.consecutive = if failures == 0 { 1 } else { failures };
        self
    }

    /// Opens also when, of the last `calls` calls, this share failed (0 to 1), provided that there were `minimum` calls
    /// since the circuit closed. The window slides with every call and knows no time; it is looked at when a call fails.
    ///
    /// Costs two atomic writes a call, and one look at all `calls` cells (4 bytes each) a failure.
    pub fn failure_rate(mut self, share: f64, calls: usize, minimum: usize) -> Self {
        let calls = calls.max(1);
        self.rate = Some(Rate { share, calls, minimum: minimum.clamp(1, calls) });
        self
    }

    /// When a call is slow. A slow call that is *dropped* counts as a failure (so that a time-out outside the breaker
    /// still opens it); one dropped earlier counts as nothing. `Duration::MAX`: no dropped call ever counts.
    ///
    /// The time is measured from when a call first had to wait, so calls that are answered at once read no clock.
    pub const fn slow_after(mut self, after: Duration) -> Self {
        self.slow_after = after;
        self
    }

    /// Counts slow calls as failures even when they succeed. Costs two clock reads a call.
    pub const fn slow_calls_fail(mut self) -> Self {
        self.slow_calls_fail = true;
        self
    }

    /// How long the circuit stays open: `first`, then twice as long each time that a probe fails, up to `cap`.
    pub const fn back_off(mut self, first: Duration, cap: Duration) -> Self {
        self.back_off = first;
        self.cap = cap;
        self
    }

    /// Shortens each back-off at random by up to this share (0 to 1), so that many callers do not come back at once.
    pub const fn jitter(mut self, share: f64) -> Self {
        self.jitter = share.clamp(0.0, 1.0);
        self
    }

    /// Makes the jitter the same in every run.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How many probes may be out at once while half-open, and how many must succeed to close the circuit. At least 1
    /// each. One failed probe opens it again.
    pub const fn probes(mut self, at_once: u16, successes: u16) -> Self {
        self.probes = if at_once == 0 { 1 } else { at_once };
        self.successes = if successes == 0 { 1 } else { successes };
        self
    }

    /// How long a probe may stay away. After that its place is given to others, so that a probe that hangs, or a service
    /// that was made ready and never called, cannot keep the circuit from closing. Should be longer than a call may take.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// What was never sent ([`Class::NotSent`](crate::Class::NotSent)) says nothing about the service: it opens no circuit,
    /// and closes none. For services that know by themselves when nobody is there, and say so at once.
    pub const fn unsent_is_neutral(mut self) -> Self {
        self.unsent_is_neutral = true;
        self
    }

    /// Callers never pay for a probe: once open, the circuit closes only on
    /// [`Handle::set_healthy`](super::Handle::set_healthy).
    pub const fn closes_on_signal_only(mut self) -> Self {
        self.by_signal = true;
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
