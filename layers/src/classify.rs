//! The meaning of an error: the only thing that fallback, breaker, log and metrics need to know about it.

use std::{convert::Infallible, io, sync::Arc};

/// What an error says about its request, in order of weight: of two errors the heavier one decides.
///
/// ```
/// use eitherway_layers::Class;
///
/// // One path never got the request, the other one may have run it: it may have taken effect.
/// assert_eq!(Class::NotSent.max(Class::Unknown), Class::Unknown);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The request was not sent: not connected, no responders, circuit open. It has certainly had no effect.
    NotSent,
    /// The request is larger than this path can carry. It has certainly had no effect; another path may take
    /// it.
    TooLarge,
    /// The other side answered that it cannot serve the request now: busy, locked, full, overloaded.
    Backend,
    /// It is unknown whether the request took effect: timed out, connection lost in flight, unreadable
    /// answer.
    Unknown,
    /// The request itself was refused. Neither another path nor a repetition changes that.
    Rejected,
}

impl Class {
    /// Every class, lightest first.
    pub const ALL: [Self; 5] = [Self::NotSent, Self::TooLarge, Self::Backend, Self::Unknown, Self::Rejected];

    /// The class as a label: `not_sent`, `too_large`, `backend`, `unknown` or `rejected`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotSent => "not_sent",
            Self::TooLarge => "too_large",
            Self::Backend => "backend",
            Self::Unknown => "unknown",
            Self::Rejected => "rejected",
        }
    }

    /// Whether the request has certainly had no effect, because it was never carried anywhere.
    pub const fn was_not_carried(self) -> bool {
        matches!(self, Self::NotSent | Self::TooLarge)
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Implemented once by an error type, so that every layer understands it.
///
/// ```
/// use eitherway_layers::{Class, Classify};
///
/// enum Error { Offline, Slow, Refused }
///
/// impl Classify for Error {
///     fn class(&self) -> Class {
///         match self {
///             Error::Offline => Class::NotSent,
///             Error::Slow => Class::Unknown,
///             Error::Refused => Class::Rejected,
///         }
///     }
///     fn is_timeout(&self) -> bool {
///         matches!(self, Error::Slow)
///     }
/// }
/// ```
pub trait Classify {
    /// What this error says about its request.
    fn class(&self) -> Class;

    /// Whether the error is a time-out. Adds nothing to what [`class`](Self::class) says about the request;
    /// logs report time-outs at a higher level than other errors.
    fn is_timeout(&self) -> bool {
        false
    }

    /// The error that has led to this one, for logs: of an error type of one's own,
    /// [`Error::source`](std::error::Error::source).
    fn origin(&self) -> Option<&(dyn std::error::Error + 'static)> {
        None
    }
}

impl Classify for Infallible {
    fn class(&self) -> Class {
        match *self {}
    }
}

/// For boxed errors, such as those of `tower` and `axum`: the first error of the [`source`](std::error::Error::source)
/// chain that is an [`Elapsed`], a [`Rejected`], a [`Full`] or an [`io::Error`] decides; without one it is unknown what happened.
///
/// [`Elapsed`]: crate::Elapsed
/// [`Rejected`]: crate::breaker::Rejected
/// [`Full`]: crate::bulkhead::Full
///
/// ```
/// use eitherway_layers::{Class, Classify, breaker::Rejected};
///
/// let boxed: Box<dyn std::error::Error + Send + Sync> = Rejected::new(None).into();
/// assert_eq!(boxed.class(), Class::NotSent);
/// assert_eq!(<Box<dyn std::error::Error + Send + Sync>>::from("?").class(), Class::Unknown);
/// ```
impl Classify for dyn std::error::Error + Send + Sync {
    fn class(&self) -> Class {
        known(self).map_or(Class::Unknown, |failure| failure.class)
    }
    fn is_timeout(&self) -> bool {
        known(self).is_some_and(|failure| failure.timeout)
    }
    fn origin(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source()
    }
}

fn known(mut error: &(dyn std::error::Error + 'static)) -> Option<Failure> {
    fn of(error: &impl Classify) -> Failure {
        Failure { class: error.class(), timeout: error.is_timeout() }
    }
    loop {
        #[cfg(feature = "timeout")]
        if let Some(elapsed) = error.downcast_ref::<crate::Elapsed>() {
            return Some(of(elapsed));
        }
        #[cfg(feature = "breaker")]
        if let Some(rejected) = error.downcast_ref::<crate::breaker::Rejected>() {
            return Some(of(rejected));
        }
        #[cfg(feature = "fallback")]
        if let Some(boxed) = error.downcast_ref::<crate::fallback::Boxed>() {
            return Some(of(&boxed.0));
        }
        #[cfg(feature = "fallback")]
        if let Some(unready) = error.downcast_ref::<crate::fallback::NotReady>() {
            return Some(of(unready));
        }
        #[cfg(feature = "bulkhead")]
        if let Some(full) = error.downcast_ref::<crate::bulkhead::Full>() {
            return Some(of(full));
        }
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let inner = io.get_ref().and_then(|inner| known(inner));
            return Some(inner.unwrap_or_else(|| of(io)));
        }
        error = error.source()?;
    }
}

/// No connection: the request was not sent. Otherwise it may have taken effect.
impl Classify for io::Error {
    fn class(&self) -> Class {
        use io::ErrorKind::*;
        match self.kind() {
            ConnectionRefused | AddrNotAvailable | HostUnreachable | NetworkUnreachable | NetworkDown
            | NotFound | NotConnected => Class::NotSent,
            PermissionDenied | InvalidInput => Class::Rejected,
            ResourceBusy | StorageFull | QuotaExceeded | ReadOnlyFilesystem | OutOfMemory => Class::Backend,
            _ => Class::Unknown,
        }
    }
    fn is_timeout(&self) -> bool {
        self.kind() == io::ErrorKind::TimedOut
    }
    fn origin(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(self)
    }
}

/// Forwards every method of `Classify` to what a pointer points to.
macro_rules! classify_through {
    ($($pointer:ty),+) => {$(
        impl<E: Classify + ?Sized> Classify for $pointer {
            fn class(&self) -> Class {
                (**self).class()
            }
            fn is_timeout(&self) -> bool {
                (**self).is_timeout()
            }
            fn origin(&self) -> Option<&(dyn std::error::Error + 'static)> {
                (**self).origin()
            }
        }
    )+};
}
classify_through!(&E, Box<E>, Arc<E>);

/// A result that counts as a failure, as a [`Classifier`] sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    /// What the failure says about the request.
    pub class: Class,
    /// Whether the failure is a time-out.
    pub timeout: bool,
}

impl From<Class> for Failure {
    fn from(class: Class) -> Self {
        Self { class, timeout: false }
    }
}

/// How a layer interprets a result: `None` is a success, even for an `Err`.
///
/// [`ByError`], the default of every layer, uses the error's [`Classify`]. A closure may replace it:
///
/// ```
/// use eitherway_layers::{Class, Classifier, Failure};
///
/// // An HTTP-like service whose failures arrive as responses.
/// let by_status = |result: &Result<u16, std::io::Error>| match result {
///     Ok(500..) => Some(Failure::from(Class::Backend)),
///     Ok(_) => None,
///     Err(_) => Some(Failure::from(Class::NotSent)),
/// };
/// assert_eq!(by_status.failure(&Ok(503)), Some(Class::Backend.into()));
/// ```
pub trait Classifier<T, E> {
    /// The failure in this result, if it is one.
    fn failure(&self, result: &Result<T, E>) -> Option<Failure>;

    /// The error that has led to the result's error, for logs.
    fn origin<'a>(&self, result: &'a Result<T, E>) -> Option<&'a (dyn std::error::Error + 'static)> {
        let _ = result;
        None
    }
}

/// The classifier of a log [`with_sources`](crate::LogLayer::with_sources).
#[cfg(feature = "log")]
#[derive(Clone, Copy, Debug)]
pub struct Sources<C>(pub(crate) C);

#[cfg(feature = "log")]
impl<T, E: std::error::Error, C: Classifier<T, E>> Classifier<T, E> for Sources<C> {
    fn failure(&self, result: &Result<T, E>) -> Option<Failure> {
        self.0.failure(result)
    }

    fn origin<'a>(&self, result: &'a Result<T, E>) -> Option<&'a (dyn std::error::Error + 'static)> {
        result.as_ref().err()?.source()
    }
}

/// Classifies by the error: every `Ok` is a success.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ByError;

impl<T, E: Classify> Classifier<T, E> for ByError {
    fn failure(&self, result: &Result<T, E>) -> Option<Failure> {
        let error = result.as_ref().err()?;
        Some(Failure { class: error.class(), timeout: error.is_timeout() })
    }

    fn origin<'a>(&self, result: &'a Result<T, E>) -> Option<&'a (dyn std::error::Error + 'static)> {
        result.as_ref().err()?.origin()
    }
}

impl<T, E, F: Fn(&Result<T, E>) -> Option<Failure>> Classifier<T, E> for F {
    fn failure(&self, result: &Result<T, E>) -> Option<Failure> {
        self(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ordered_by_weight_and_listed_in_that_order() {
        assert!(Class::ALL.is_sorted());
        assert_eq!(Class::ALL.into_iter().max(), Some(Class::Rejected));
        assert_eq!(Class::ALL.into_iter().min(), Some(Class::NotSent));
    }

    #[test]
    fn labels_are_snake_case_and_distinct() {
        let labels = Class::ALL.map(Class::as_str);
        assert_eq!(labels, ["not_sent", "too_large", "backend", "unknown", "rejected"]);
    }
}
