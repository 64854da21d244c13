//! A clock that goes only when a model says so, so that every run of it sees the same times.

use std::{
    cell::Cell,
    ops::{Add, Sub},
    time::Duration,
};

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Sets the time of the models of this thread.
pub(crate) fn set(now: Duration) {
    NOW.set(now);
}

/// Sets it forward, unless another thread of the model has been later.
pub(crate) fn forward(now: Duration) {
    NOW.set(NOW.get().max(now));
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant(Duration);

impl Instant {
    pub(crate) fn now() -> Self {
        Self(NOW.get())
    }

    /// The beginning of all times.
    pub(crate) const fn at_zero() -> Self {
        Self(Duration::ZERO)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        Self::now() - *self
    }

    pub(crate) fn duration_since(&self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    pub(crate) fn saturating_duration_since(&self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, time: Duration) -> Self {
        Self(self.0 + time)
    }
}

impl Sub for Instant {
    type Output = Duration;
    fn sub(self, earlier: Self) -> Duration {
        self.duration_since(earlier)
    }
}
