use super::Budget;
use std::time::Duration;

/// When the secondary starts beside a primary that is late, what that may cost, and when a primary is said to
/// be silent.
///
/// ```
/// use eitherway_layers::hedge::{Budget, Config};
/// use std::time::Duration;
///
/// let adaptive = Config::new()
///     .adaptive(4.0, Duration::from_millis(15), Duration::from_millis(60))
///     .budget(Budget::new(0.1, 10, 100));
/// let last_resort = Config::new()
///     .after(Duration::from_millis(90))
///     .budget(Budget::new(0.0, 0, 0)) // only while the primary answers no call
///     .while_silent(Duration::from_millis(10));
/// # drop((adaptive, last_resort));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Config {
    pub(super) times: f64,
    pub(super) least: Duration,
    pub(super) most: Duration,
    pub(super) budget: Budget,
    pub(super) silence_is_free: bool,
    pub(super) overdue: Option<Duration>,
    pub(super) patience: Option<Duration>,
    pub(super) run: u32,
    pub(super) silence: Duration,
    pub(super) while_silent: Option<Duration>,
}

/// No time is longer than this, some thirty years, so that it can be added to any moment.
const fn bounded(time: Duration) -> Duration {
    let most = Duration::from_secs(1 << 30);
    if time.as_secs() < most.as_secs() { time } else { most }
}

impl Config {
    /// The default configuration. Starts the secondary after four times the 99th percentile of the primary, but
    /// not before 15 ms nor after 60 ms. Hedges are free while the primary answers no call; otherwise ten answers
    /// earn one, and a second earns ten. A primary that has lost 5 hedges in a row and has answered no call for
    /// 100 ms is silent.
    pub const fn new() -> Self {
        Self {
            times: 4.0,
            least: Duration::from_millis(15),
            most: Duration::from_millis(60),
            budget: Budget::new(0.1, 10, 100),
            silence_is_free: true,
            overdue: None,
            patience: None,
            run: 5,
            silence: Duration::from_millis(100),
            while_silent: None,
        }
    }

    /// Starts the secondary always after this time.
    pub const fn after(mut self, delay: Duration) -> Self {
        self.times = 0.0;
        self.least = bounded(delay);
        self.most = self.least;
        self
    }

    /// Starts the secondary after `times` the 99th percentile of the primary's recent durations, within these
    /// bounds. Only calls that had to wait are measured.
    pub const fn adaptive(mut self, times: f64, least: Duration, most: Duration) -> Self {
        self.times = times;
        self.least = bounded(least);
        self.most = bounded(most);
        self
    }

    /// Sets what the hedges of a primary that answers may cost.
    pub const fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Charges the budget also for hedges that start while the primary answers no call.
    pub const fn charge_silence(mut self) -> Self {
        self.silence_is_free = false;
        self
    }

    /// Hedges a request that has waited this long in any case, whatever the budget says. A primary that answers some
    /// requests and leaves others without an answer is neither slow nor silent. By default there is no such time.
    pub const fn overdue(mut self, after: Duration) -> Self {
        self.overdue = Some(bounded(after));
        self
    }

    /// How long after its beginning a request whose hedge has failed may be given up
    /// ([`Hedging::gives_up`](super::Hedging::gives_up)): where the reason concerns the primary too
    /// ([`Hedging::concerns_both`](super::Hedging::concerns_both)), although the primary answers others; where it does not,
    /// only if the primary has answered no call for so long. By default the primary is waited for without a limit, unless
    /// the reason concerns it and it is silent.
    pub const fn patience(mut self, after: Duration) -> Self {
        self.patience = Some(bounded(after));
        self
    }

    /// Sets when a primary is silent: after this many hedges in a row that the secondary has won, and if the
    /// primary has answered no call for at least this long. It should be longer than the slowest answer of a
    /// primary that is worth its use.
    pub const fn silent_after(mut self, wins: u32, lasting: Duration) -> Self {
        self.run = wins;
        self.silence = bounded(lasting);
        self
    }

    /// Sets the delay while the primary is silent. For nested hedges: the outer one's primary contains a circuit
    /// that cannot open, because the outer secondary wins before the inner one does. One request in ten periods of
    /// silence still waits for the usual delay, so that a primary that is only slow is found again.
    pub const fn while_silent(mut self, delay: Duration) -> Self {
        self.while_silent = Some(bounded(delay));
        self
    }
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}
