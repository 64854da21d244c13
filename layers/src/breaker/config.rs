use std::time::Duration;

/// When a circuit opens, and how it closes again.
///
/// ```
/// use eitherway_layers::breaker::{BreakerLayer, Config};
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
    /// `None`: however many.
    pub(super) consecutive: Option<u16>,
    /// `None`: however old.
    pub(super) within: Option<Duration>,
    pub(super) rate: Option<Rate>,
    pub(super) slow_after: Duration,
    pub(super) slow_calls_fail: bool,
    pub(super) slow_drops_fail: bool,
    pub(super) back_off: Duration,
    pub(super) cap: Duration,
    pub(super) jitter: f64,
    pub(super) seed: Option<u64>,
    pub(super) probes: u16,
    pub(super) successes: u16,
    pub(super) lease: Duration,
    pub(super) by_signal: bool,
    pub(super) unready_when_open: bool,
    pub(super) unsent_is_neutral: bool,
}

/// Opens the circuit at this share of failures among the last calls.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    pub(super) share: f64,
    pub(super) calls: usize,
    pub(super) minimum: usize,
}

impl Config {
    /// The default configuration. Opens after 5 consecutive failures, for 500 ms, which doubles up to 30 s
    /// and is shortened randomly by up to a fifth. Closes after 1 successful probe, which may take 5 s. A
    /// call is slow after 1 s.
    pub const fn new() -> Self {
        Self {
            tag: "circuit",
            consecutive: Some(5),
            within: None,
            rate: None,
            slow_after: Duration::from_secs(1),
            slow_calls_fail: false,
            slow_drops_fail: false,
            back_off: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            jitter: 0.2,
            seed: None,
            probes: 1,
            successes: 1,
            lease: Duration::from_secs(5),
            by_signal: false,
            unready_when_open: false,
            unsent_is_neutral: false,
        }
    }

    /// Sets the tag with which log lines about this circuit start.
    pub const fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    /// Opens after this many consecutive failures. At least 1.
    pub const fn consecutive_failures(mut self, failures: u16) -> Self {
        self.consecutive = Some(if failures == 0 { 1 } else { failures });
        self
    }

    /// Never opens because of consecutive failures alone, however many: for a circuit that opens at a
    /// [failure rate](Self::failure_rate) or by its [`Handle`](super::Handle).
    pub const fn no_consecutive_failures(mut self) -> Self {
        self.consecutive = None;
        self
    }

    /// Ignores failures that are older than this (in whole milliseconds), under both rules, so that failures an hour
    /// apart do not add up. By default none is too old. For the [failure rate](Self::failure_rate) a success is as old as
    /// the last failure before it, so after a long time without failures the `minimum` is counted anew.
    ///
    /// Costs a clock read per failure, and 8 bytes for each consecutive failure.
    pub const fn failures_within(mut self, window: Duration) -> Self {
        self.within = Some(window);
        self
    }

    /// Also opens when this share (0 to 1) of the last `calls` calls failed, provided that there were at
    /// least `minimum` calls since the circuit closed. The window slides with every call, and is independent
    /// of time unless [`failures_within`](Self::failures_within) says otherwise; it is evaluated when a call fails.
    ///
    /// Costs two atomic writes per call, and one read of all `calls` cells (8 bytes each) per failure.
    pub fn failure_rate(mut self, share: f64, calls: usize, minimum: usize) -> Self {
        let calls = calls.max(1);
        self.rate = Some(Rate { share, calls, minimum: minimum.clamp(1, calls) });
        self
    }

    /// Sets when a call is slow, for [`slow_calls_fail`](Self::slow_calls_fail) and
    /// [`slow_drops_fail`](Self::slow_drops_fail).
    ///
    /// The time is measured from the first `Pending` of the call, so calls that are answered at once read no
    /// clock.
    pub const fn slow_after(mut self, after: Duration) -> Self {
        self.slow_after = after;
        self
    }

    /// Counts slow calls as failures even if they succeed. Costs two clock reads per call.
    pub const fn slow_calls_fail(mut self) -> Self {
        self.slow_calls_fail = true;
        self
    }

    /// Counts a slow call that is *dropped* as a failure, so that a time-out outside the breaker opens it too.
    /// Without this a dropped call does not count: callers who give up do not open the circuit of a service that is
    /// slow and healthy. The loser of a [`Hedge`](crate::Hedge) never counts.
    pub const fn slow_drops_fail(mut self) -> Self {
        self.slow_drops_fail = true;
        self
    }

    /// Sets how long the circuit stays open: `first`, doubled each time a probe fails, up to `cap`.
    pub const fn back_off(mut self, first: Duration, cap: Duration) -> Self {
        self.back_off = first;
        self.cap = cap;
        self
    }

    /// Shortens each back-off randomly by up to this share (0 to 1), so that many callers do not return at
    /// once.
    pub const fn jitter(mut self, share: f64) -> Self {
        // Not `clamp`, which keeps a NaN.
        self.jitter = share.max(0.0).min(1.0);
        self
    }

    /// Makes the jitter reproducible.
    pub const fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets how many probes may be in flight at once while half-open, and how many must succeed to close the
    /// circuit. At least 1 each. One failed probe opens the circuit again.
    pub const fn probes(mut self, at_once: u16, successes: u16) -> Self {
        self.probes = if at_once == 0 { 1 } else { at_once };
        self.successes = if successes == 0 { 1 } else { successes };
        self
    }

    /// Sets how long a probe may take. When no new one was let through for so long, the places of those that are
    /// out become free, so that a probe that hangs, or a service that was polled ready and never called, cannot
    /// keep the circuit from closing; successes so far still count. Should exceed the longest duration of a call.
    pub const fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Ignores requests that were never sent ([`Class::NotSent`](crate::Class::NotSent)): they open no
    /// circuit and close none. For services that detect by themselves that the peer is absent, and refuse at
    /// once.
    pub const fn unsent_is_neutral(mut self) -> Self {
        self.unsent_is_neutral = true;
        self
    }

    /// Is not ready while the circuit would reject, instead of ready to reject at once: for balancers, which
    /// prefer what is ready and idle, and would send everything to an endpoint that fails. `poll_ready` then
    /// waits for the end of the back-off or a free place among the probes. A call after a circuit has opened is
    /// still rejected. [`KeyedBreaker`](super::KeyedBreaker) ignores this.
    ///
    /// Waiting allocates one timer per clone, and needs a tokio runtime with its timer enabled.
    pub const fn unready_when_open(mut self) -> Self {
        self.unready_when_open = true;
        self
    }

    /// Never uses a call as a probe: once open, the circuit closes only on
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
