#[cfg(feature = "timeout")]
use crate::Elapsed;
#[cfg(feature = "breaker")]
use crate::breaker::Rejected;
#[cfg(feature = "bulkhead")]
use crate::bulkhead::Full;
use crate::{Class, Classify};
use std::{error::Error, fmt};

/// The error of a [`Fallback`](super::Fallback): the errors of all paths that were tried.
///
/// `Display` prints all of them on one line. `source()` is the error that came last;
/// [`primary`](Self::primary) is the one that came first.
///
/// One implementation converts any depth of nesting into an error type of your own:
///
/// ```
/// use eitherway_layers::FallbackError;
///
/// enum Error { Offline, Both(Box<(Error, Error)>) }
///
/// impl<A: Into<Error>, B: Into<Error>> From<FallbackError<A, B>> for Error {
///     fn from(error: FallbackError<A, B>) -> Self {
///         error.unify(|primary, fallback| Error::Both(Box::new((primary, fallback))))
///     }
/// }
///
/// let nested: FallbackError<FallbackError<Error, Error>, Error> =
///     FallbackError::Primary(FallbackError::Both { primary: Error::Offline, fallback: Error::Offline });
/// assert!(matches!(nested.into(), Error::Both(_)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackError<E1, E2> {
    /// The primary failed, and the policy did not reroute its request.
    Primary(E1),
    /// The fallback failed, and the primary has no error: it was not ready in time, it returned a response
    /// that the policy did not accept, or the fallback refused a request that was hedged.
    Unready {
        /// The fallback's error.
        fallback: E2,
    },
    /// The primary failed, and so did the fallback.
    Both {
        /// The primary's error, from `poll_ready` or from the call.
        primary: E1,
        /// The fallback's error.
        fallback: E2,
    },
}

impl<E1, E2> FallbackError<E1, E2> {
    pub(crate) fn after_fallback(primary: Option<E1>, fallback: E2) -> Self {
        match primary {
            Some(primary) => Self::Both { primary, fallback },
            None => Self::Unready { fallback },
        }
    }

    /// The primary's error, if there is one.
    pub const fn primary(&self) -> Option<&E1> {
        match self {
            Self::Primary(primary) | Self::Both { primary, .. } => Some(primary),
            Self::Unready { .. } => None,
        }
    }

    /// The fallback's error, if it was tried.
    pub const fn fallback(&self) -> Option<&E2> {
        match self {
            Self::Unready { fallback } | Self::Both { fallback, .. } => Some(fallback),
            Self::Primary(_) => None,
        }
    }

    /// The errors of the primary and of the fallback. At least one of them is `Some`.
    pub fn into_parts(self) -> (Option<E1>, Option<E2>) {
        match self {
            Self::Primary(primary) => (Some(primary), None),
            Self::Unready { fallback } => (None, Some(fallback)),
            Self::Both { primary, fallback } => (Some(primary), Some(fallback)),
        }
    }

    /// Converts to one error type; `both` combines two errors.
    pub fn unify<E>(self, both: impl FnOnce(E, E) -> E) -> E
    where
        E1: Into<E>,
        E2: Into<E>,
    {
        match self {
            Self::Primary(primary) => primary.into(),
            Self::Unready { fallback } => fallback.into(),
            Self::Both { primary, fallback } => both(primary.into(), fallback.into()),
        }
    }
}

impl<E1: fmt::Display, E2: fmt::Display> fmt::Display for FallbackError<E1, E2> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary(primary) => primary.fmt(f),
            Self::Unready { fallback } => write!(f, "primary not available; fallback: {fallback}"),
            Self::Both { primary, fallback } => write!(f, "primary: {primary}; fallback: {fallback}"),
        }
    }
}

impl<E1: Error + 'static, E2: Error + 'static> Error for FallbackError<E1, E2> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Primary(primary) => Some(primary),
            Self::Unready { fallback } | Self::Both { fallback, .. } => Some(fallback),
        }
    }
}

/// The heavier of the two classes decides.
impl<E1: Classify, E2: Classify> Classify for FallbackError<E1, E2> {
    fn class(&self) -> Class {
        match self {
            Self::Primary(primary) => primary.class(),
            Self::Unready { fallback } => fallback.class(),
            Self::Both { primary, fallback } => primary.class().max(fallback.class()),
        }
    }

    fn is_timeout(&self) -> bool {
        self.primary().is_some_and(Classify::is_timeout) || self.fallback().is_some_and(Classify::is_timeout)
    }
}

/// For a [`Timeout`](crate::Timeout) around the fallback.
#[cfg(feature = "timeout")]
impl<E1: From<Elapsed>, E2> From<Elapsed> for FallbackError<E1, E2> {
    fn from(elapsed: Elapsed) -> Self {
        Self::Primary(elapsed.into())
    }
}

/// For a [`Breaker`](crate::Breaker) around the fallback.
#[cfg(feature = "breaker")]
impl<E1: From<Rejected>, E2> From<Rejected> for FallbackError<E1, E2> {
    fn from(rejected: Rejected) -> Self {
        Self::Primary(rejected.into())
    }
}

/// For a [`Bulkhead`](crate::Bulkhead) around the fallback.
#[cfg(feature = "bulkhead")]
impl<E1: From<Full>, E2> From<Full> for FallbackError<E1, E2> {
    fn from(full: Full) -> Self {
        Self::Primary(full.into())
    }
}
