use crate::{Class, Classify};
use std::{convert::Infallible, error::Error, fmt, io, time::Duration};

/// The circuit is open: the request was not sent.
///
/// ```
/// use eitherway_layers::{Class, Classify, breaker::Rejected};
/// use std::time::Duration;
///
/// let rejected = Rejected::new(Some(Duration::from_millis(480)));
/// assert_eq!(rejected.to_string(), "circuit open, tries again in 480ms");
/// assert_eq!(rejected.class(), Class::NotSent);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Rejected {
    retry_after: Option<Duration>,
}

impl Rejected {
    /// A rejection by a circuit that tries again after this time; `None` for a circuit that waits for a
    /// signal.
    pub const fn new(retry_after: Option<Duration>) -> Self {
        Self { retry_after }
    }

    /// The longest time until the circuit lets a call through as a probe. `None` if not time but the health
    /// signal or the operator decides that.
    pub const fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.retry_after {
            Some(after) => write!(f, "circuit open, tries again in {after:?}"),
            None => f.write_str("circuit open until told otherwise"),
        }
    }
}

impl Error for Rejected {}

impl From<Rejected> for io::Error {
    fn from(rejected: Rejected) -> Self {
        Self::new(io::ErrorKind::NotConnected, rejected)
    }
}

/// For a service that cannot fail: `service.map_err(Rejected::from)`.
impl From<Infallible> for Rejected {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Classify for Rejected {
    fn class(&self) -> Class {
        Class::NotSent
    }
}
