#[cfg(feature = "timeout")]
use crate::Elapsed;
#[cfg(feature = "breaker")]
use crate::breaker::Rejected;
#[cfg(feature = "bulkhead")]
use crate::bulkhead::Full;
use crate::{Class, Classify};
use std::{error::Error, fmt, io, time::Duration};

/// The error of a [`Fallback`](super::Fallback): the errors of all paths that were tried.
///
/// `Display` prints all of them on one line. `source()` is the error that came last;
/// [`primary`](Self::primary) is the one that came first.
///
/// One implementation converts any depth of nesting into an error type of your own:
///
/// ```
/// use eitherway_layers::{FallbackError, fallback::NotReady};
///
/// enum Error { Offline, Both(Box<(Error, Error)>) }
///
/// impl From<NotReady> for Error {
///     fn from(_: NotReady) -> Self { Error::Offline }
/// }
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
#[non_exhaustive]
pub enum FallbackError<E1, E2> {
    /// The primary failed, and the policy did not reroute its request.
    Primary(E1),
    /// The fallback failed, and the primary has no error: it was not ready in time, or the fallback refused a
    /// request that was hedged.
    Unready {
        /// The fallback's error.
        fallback: E2,
    },
    /// The primary returned a response that the policy did not accept, and the fallback failed. What the primary has
    /// done stays done, so the class is [`Class::Unknown`] at least.
    Unaccepted {
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
    /// The fallback was not ready in time, so it did not get the request.
    NotReady {
        /// The primary's error; `None` where [`Unready`](Self::Unready) and [`Unaccepted`](Self::Unaccepted) have none.
        primary: Option<E1>,
        /// Stands for the fallback's error.
        fallback: NotReady,
    },
}

impl<E1, E2> FallbackError<E1, E2> {
    /// The primary's error, if there is one.
    pub const fn primary(&self) -> Option<&E1> {
        match self {
            Self::Primary(primary) | Self::Both { primary, .. } => Some(primary),
            Self::NotReady { primary, .. } => primary.as_ref(),
            Self::Unready { .. } | Self::Unaccepted { .. } => None,
        }
    }

    /// The fallback's error, if it got the request or failed to become ready.
    pub const fn fallback(&self) -> Option<&E2> {
        match self {
            Self::Unready { fallback } | Self::Unaccepted { fallback } | Self::Both { fallback, .. } => {
                Some(fallback)
            }
            Self::Primary(_) | Self::NotReady { .. } => None,
        }
    }

    /// The errors of the primary and of the fallback. At least one of them is `Some`, except for
    /// [`NotReady`](Self::NotReady).
    pub fn into_parts(self) -> (Option<E1>, Option<E2>) {
        match self {
            Self::Primary(primary) => (Some(primary), None),
            Self::Unready { fallback } | Self::Unaccepted { fallback } => (None, Some(fallback)),
            Self::Both { primary, fallback } => (Some(primary), Some(fallback)),
            Self::NotReady { primary, .. } => (primary, None),
        }
    }

    /// Converts to one error type; `both` combines two errors. [`NotReady`] stands for the error of a path that
    /// has none; its class should be kept.
    pub fn unify<E>(self, both: impl FnOnce(E, E) -> E) -> E
    where
        E1: Into<E>,
        E2: Into<E>,
        E: From<NotReady>,
    {
        match self {
            Self::Primary(primary) => primary.into(),
            Self::Unready { fallback } => fallback.into(),
            Self::Unaccepted { fallback } => both(NotReady::UNACCEPTED.into(), fallback.into()),
            Self::Both { primary, fallback } => both(primary.into(), fallback.into()),
            Self::NotReady { primary: Some(primary), fallback } => both(primary.into(), fallback.into()),
            Self::NotReady { primary: None, fallback } => fallback.into(),
        }
    }

    /// Boxes the error, of which [`source`](Error::source) and [`Classify`] still know everything. For stacks of boxed
    /// errors, because a `Box<dyn Error>` is no `Error` itself, and neither is a `FallbackError` of two of them:
    ///
    /// ```
    /// use eitherway_layers::{Class, Classify, FallbackError, FallbackExt, breaker::Rejected};
    /// use tower::{BoxError, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let refuses = service_fn(async |_: u32| Err::<u32, BoxError>(Rejected::new(None).into()));
    /// let stack = refuses.fallback_to(refuses).map_err(FallbackError::boxed);
    /// let error: BoxError = stack.oneshot(1).await.unwrap_err();
    /// assert_eq!(error.class(), Class::NotSent);
    /// # }
    /// ```
    pub fn boxed(self) -> BoxError
    where
        E1: Into<BoxError>,
        E2: Into<BoxError>,
    {
        let boxed = match self {
            Self::Primary(primary) => FallbackError::Primary(primary.into()),
            Self::Unready { fallback } => FallbackError::Unready { fallback: fallback.into() },
            Self::Unaccepted { fallback } => FallbackError::Unaccepted { fallback: fallback.into() },
            Self::Both { primary, fallback } => {
                FallbackError::Both { primary: primary.into(), fallback: fallback.into() }
            }
            Self::NotReady { primary, fallback } => {
                FallbackError::NotReady { primary: primary.map(Into::into), fallback }
            }
        };
        Box::new(Boxed(boxed))
    }
}

type BoxError = Box<dyn Error + Send + Sync>;

/// The errors of paths whose errors are boxed.
#[derive(Debug)]
pub(crate) struct Boxed(pub(crate) FallbackError<BoxError, BoxError>);

impl fmt::Display for Boxed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for Boxed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            FallbackError::NotReady { primary: None, fallback } => Some(fallback),
            error => Some(&**error.fallback().or(error.primary())?),
        }
    }
}

/// Stands for the error of a path that has none: a secondary that was not ready in time, and has not got the request; or
/// a primary whose response was not accepted ([`FallbackError::Unaccepted`]).
///
/// The class is [`Class::NotSent`], but [`Class::Unknown`] where the primary had served the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NotReady {
    /// How long the secondary was waited for. `None`: this is the primary.
    after: Option<Duration>,
    /// The primary has served the request.
    served: bool,
}

impl NotReady {
    /// Stands for the error of a primary whose response was not accepted.
    const UNACCEPTED: Self = Self { after: None, served: true };

    /// The error of a service that was not ready within this time.
    pub const fn new(after: Duration) -> Self {
        Self { after: Some(after), served: false }
    }

    /// The same, for a request that the primary had served, with a response that was not accepted.
    pub const fn after_response(self) -> Self {
        Self { served: true, ..self }
    }

    /// How long the secondary was waited for; `None` for a primary whose response was not accepted.
    pub const fn after(&self) -> Option<Duration> {
        self.after
    }
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.after {
            Some(after) => write!(f, "not ready within {after:?}"),
            None => f.write_str("response not accepted"),
        }
    }
}

impl Error for NotReady {}

impl From<NotReady> for io::Error {
    fn from(unready: NotReady) -> Self {
        Self::new(io::ErrorKind::NotConnected, unready)
    }
}

impl Classify for NotReady {
    fn class(&self) -> Class {
        if self.served { Class::Unknown } else { Class::NotSent }
    }

    fn is_timeout(&self) -> bool {
        self.after.is_some()
    }
}

impl<E1: fmt::Display, E2: fmt::Display> fmt::Display for FallbackError<E1, E2> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Primary(primary) => primary.fmt(f),
            Self::Unready { fallback } => write!(f, "primary not available; fallback: {fallback}"),
            Self::Unaccepted { fallback } => {
                write!(f, "primary: {}; fallback: {fallback}", NotReady::UNACCEPTED)
            }
            Self::Both { primary, fallback } => write!(f, "primary: {primary}; fallback: {fallback}"),
            Self::NotReady { primary: Some(primary), fallback } => {
                write!(f, "primary: {primary}; fallback: {fallback}")
            }
            Self::NotReady { primary: None, fallback } if fallback.served => {
                write!(f, "primary: {}; fallback: {fallback}", NotReady::UNACCEPTED)
            }
            Self::NotReady { primary: None, fallback } => {
                write!(f, "primary not available; fallback: {fallback}")
            }
        }
    }
}

impl<E1: Error + 'static, E2: Error + 'static> Error for FallbackError<E1, E2> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Primary(primary) => Some(primary),
            Self::Unready { fallback } | Self::Unaccepted { fallback } | Self::Both { fallback, .. } => {
                Some(fallback)
            }
            Self::NotReady { fallback, .. } => Some(fallback),
        }
    }
}

/// The heavier of the two classes decides.
impl<E1: Classify, E2: Classify> Classify for FallbackError<E1, E2> {
    fn class(&self) -> Class {
        match self {
            Self::Primary(primary) => primary.class(),
            Self::Unready { fallback } => fallback.class(),
            Self::Unaccepted { fallback } => NotReady::UNACCEPTED.class().max(fallback.class()),
            Self::Both { primary, fallback } => primary.class().max(fallback.class()),
            Self::NotReady { primary: Some(primary), .. } => primary.class(),
            Self::NotReady { primary: None, fallback } => fallback.class(),
        }
    }

    fn is_timeout(&self) -> bool {
        matches!(self, Self::NotReady { .. })
            || self.primary().is_some_and(Classify::is_timeout)
            || self.fallback().is_some_and(Classify::is_timeout)
    }

    fn origin(&self) -> Option<&(dyn Error + 'static)> {
        self.fallback().and_then(Classify::origin).or_else(|| self.primary().and_then(Classify::origin))
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
