//! The error type of the stack: why an operation failed, and the request it belongs to.
//!
//! ```
//! use eitherway::{Cause, Class, Classify, Code};
//!
//! let full = Cause::new(Code::OVERLOADED, "4096 writes wait already");
//! assert_eq!(full.class(), Class::Backend);
//! assert_eq!(Cause::new(Code::INVALID, "text: is empty").class(), Class::Rejected);
//! ```

use std::fmt;

use eitherway_layers::breaker::Rejected;
use eitherway_layers::fallback::NotReady;
use eitherway_layers::{Class, Classify, Elapsed, FallbackError};

pub use crate::cause::{Cause, Code};
use crate::request::Request;

/// A failed operation: the cause, and the request itself, so that a retry keeps its id.
///
/// [`class`](Classify::class) alone decides what may be done:
///
/// | class | took effect? | then |
/// |---|---|---|
/// | `NotSent` | no | try another path |
/// | `TooLarge` | no | try a path without that limit |
/// | `Backend` | no | try later |
/// | `Unknown` | perhaps | try again, **with the same request** |
/// | `Rejected` | no, and never will | report it to the caller |
pub struct Error<O> {
    cause: Cause,
    request: Option<Request<O>>,
}

impl<O> Error<O> {
    /// An error of this request.
    pub const fn new(cause: Cause, request: Request<O>) -> Self {
        Self { cause, request: Some(request) }
    }

    /// Why the operation failed.
    pub const fn cause(&self) -> &Cause {
        &self.cause
    }

    /// Returns the cause, and drops the request.
    pub fn into_cause(self) -> Cause {
        self.cause
    }

    /// The request that failed, if the layer that made the error still had it. The typed client always adds
    /// it.
    pub const fn request(&self) -> Option<&Request<O>> {
        self.request.as_ref()
    }

    /// Returns the request, to try again.
    pub fn into_request(self) -> Option<Request<O>> {
        self.request
    }

    /// The same error, with the request if it had none (a time-out does not know which request it
    /// interrupted).
    #[must_use]
    pub fn or_request(mut self, request: impl FnOnce() -> Request<O>) -> Self {
        self.request = Some(self.request.unwrap_or_else(request));
        self
    }

    /// Why the first path failed, if both did.
    pub const fn primary(&self) -> Option<&Cause> {
        match &self.cause {
            Cause::Both { primary, .. } => Some(primary),
            _ => None,
        }
    }

    /// Why the fallback failed, if both paths did.
    pub const fn fallback(&self) -> Option<&Cause> {
        match &self.cause {
            Cause::Both { fallback, .. } => Some(fallback),
            _ => None,
        }
    }
}

impl<O> Classify for Error<O> {
    fn class(&self) -> Class {
        self.cause.class()
    }

    fn is_timeout(&self) -> bool {
        self.cause.is_timeout()
    }
}

impl<O> fmt::Debug for Error<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.request.as_ref().map(|r| &r.head.id);
        f.debug_struct("Error").field("cause", &self.cause).field("id", &id).finish()
    }
}

impl<O> fmt::Display for Error<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.cause, f)
    }
}

impl<O> std::error::Error for Error<O> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

/// An error without its request.
impl<O> From<Cause> for Error<O> {
    fn from(cause: Cause) -> Self {
        Self { cause, request: None }
    }
}

impl<O> From<Elapsed> for Error<O> {
    fn from(elapsed: Elapsed) -> Self {
        Self { cause: Cause::Elapsed(elapsed.after()), request: None }
    }
}

impl<O> From<Rejected> for Error<O> {
    fn from(rejected: Rejected) -> Self {
        Self { cause: Cause::CircuitOpen(rejected), request: None }
    }
}

impl<O> From<NotReady> for Error<O> {
    fn from(unready: NotReady) -> Self {
        let code = if unready.class().was_not_carried() { Code::UNAVAILABLE } else { Code::UNANSWERED };
        Cause::new(code, unready.to_string()).into()
    }
}

/// One conversion serves any depth of nested fallbacks.
impl<O, A: Into<Self>, B: Into<Self>> From<FallbackError<A, B>> for Error<O> {
    fn from(error: FallbackError<A, B>) -> Self {
        error.unify(|primary: Self, fallback| {
            let cause = Cause::Both { primary: Box::new(primary.cause), fallback: Box::new(fallback.cause) };
            Self { cause, request: primary.request.or(fallback.request) }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cause::Refusal;

    #[test]
    fn of_two_errors_the_heavier_decides_and_both_are_told() {
        let both: Error<()> = FallbackError::Both {
            primary: Error::<()>::from(Elapsed::new(Duration::from_secs(2))),
            fallback: Error { cause: Cause::new(Code::BUSY, "locked"), request: None },
        }
        .into();
        assert_eq!(both.class(), Class::Unknown);
        assert!(both.is_timeout());
        assert_eq!(both.to_string(), "no answer within 2s; then the fallback: locked (busy)");
        assert!(both.primary().is_some() && both.fallback().is_some());
    }

    #[test]
    fn what_a_path_has_served_with_an_unwanted_response_is_not_said_to_be_unsent() {
        let not_ready = NotReady::new(Duration::from_secs(1));
        for (fallback, class) in [(not_ready, Class::NotSent), (not_ready.after_response(), Class::Unknown)] {
            let error = FallbackError::<Error<()>, Error<()>>::NotReady { primary: None, fallback };
            assert_eq!(Error::from(error).class(), class);
        }
        let fallback = Error::<()>::from(Rejected::new(None));
        let unaccepted = FallbackError::<Error<()>, Error<()>>::Unaccepted { fallback };
        assert_eq!(Error::from(unaccepted).class(), Class::Unknown);
    }

    #[test]
    fn a_refusal_is_found_behind_a_path_that_was_down() {
        let refusal = Refusal::new("out_of_stock", "none left");
        let both = Cause::Both {
            primary: Box::new(Cause::new(Code::UNAVAILABLE, "no responder")),
            fallback: Box::new(Cause::Refused(Box::new(refusal.clone()))),
        };
        assert_eq!((both.refusal(), both.class()), (Some(&refusal), Class::Rejected));
        assert_eq!(both.decisive().to_string(), "none left (out_of_stock)");
    }

    #[test]
    fn an_error_is_small_enough_to_be_returned() {
        // From 128 bytes on, clippy asks every function that returns one to box it.
        assert!(size_of::<Error<()>>() < 128, "{}", size_of::<Error<()>>());
    }
}
