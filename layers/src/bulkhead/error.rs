use crate::{Class, Classify};
use std::{error::Error, fmt, time::Duration};

/// A request was refused, because a [`Bulkhead`](super::Bulkhead) had no slot for it. The service was not called.
///
/// ```
/// use eitherway_layers::{Class, Classify, bulkhead::Full};
/// use std::time::Duration;
///
/// let full = Full::new(16, Duration::ZERO);
/// assert_eq!(full.to_string(), "16 calls in flight");
/// assert_eq!(full.class(), Class::NotSent);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Full {
    limit: usize,
    waited: Duration,
}

impl Full {
    /// The error of a request for which none of `limit` slots became free in this time.
    pub const fn new(limit: usize, waited: Duration) -> Self {
        Self { limit, waited }
    }

    /// How many calls are allowed at once.
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// How long the request waited for a slot.
    pub const fn waited(&self) -> Duration {
        self.waited
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = if self.limit == 1 { "call" } else { "calls" };
        write!(f, "{} {calls} in flight", self.limit)?;
        if !self.waited.is_zero() {
            write!(f, ", and none has ended within {:?}", self.waited)?;
        }
        Ok(())
    }
}

impl Error for Full {}

impl Classify for Full {
    fn class(&self) -> Class {
        Class::NotSent
    }
}
