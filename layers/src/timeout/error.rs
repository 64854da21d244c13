use crate::{Class, Classify};
use std::{convert::Infallible, error::Error, fmt, io, time::Duration};

/// A request had no answer in time. It may still take effect.
///
/// ```
/// use eitherway_layers::{Class, Classify, Elapsed};
/// use std::time::Duration;
///
/// let elapsed = Elapsed::new(Duration::from_millis(1500));
/// assert_eq!(elapsed.to_string(), "no answer within 1.5s");
/// assert_eq!(elapsed.class(), Class::Unknown);
/// assert!(elapsed.is_timeout());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Elapsed {
    after: Duration,
}

impl Elapsed {
    /// The error of a request without an answer within this time.
    pub const fn new(after: Duration) -> Self {
        Self { after }
    }

    /// The limit that was reached.
    pub const fn after(&self) -> Duration {
        self.after
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no answer within {:?}", self.after)
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(io::ErrorKind::TimedOut, elapsed)
    }
}

/// For a service that cannot fail: `service.map_err(Elapsed::from)`.
impl From<Infallible> for Elapsed {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Classify for Elapsed {
    fn class(&self) -> Class {
        Class::Unknown
    }

    fn is_timeout(&self) -> bool {
        true
    }
}
