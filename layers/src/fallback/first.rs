//! What the primary has left when it is the secondary's turn.

use super::{FallbackError, NotReady};
use std::{mem, time::Duration};

/// Kept until the result of the secondary is known.
#[derive(Debug)]
pub(crate) enum First<E> {
    /// The primary has not got the request, or still runs.
    Nothing,
    /// It has served the request, with a response that the policy did not accept.
    Response,
    Error(E),
}

impl<E> First<E> {
    pub(crate) fn of<R>(result: Result<R, E>) -> Self {
        match result {
            Ok(_) => Self::Response,
            Err(error) => Self::Error(error),
        }
    }

    pub(crate) const fn take(&mut self) -> Self {
        mem::replace(self, Self::Nothing)
    }

    /// The secondary has failed.
    pub(crate) fn and<E2>(self, fallback: E2) -> FallbackError<E, E2> {
        match self {
            Self::Nothing => FallbackError::Unready { fallback },
            Self::Response => FallbackError::Unaccepted { fallback },
            Self::Error(primary) => FallbackError::Both { primary, fallback },
        }
    }

    /// The secondary was not ready within this time.
    pub(crate) fn and_not_ready<E2>(self, patience: Duration) -> FallbackError<E, E2> {
        let fallback = NotReady::new(patience);
        match self {
            Self::Nothing => FallbackError::NotReady { primary: None, fallback },
            Self::Response => FallbackError::NotReady { primary: None, fallback: fallback.after_response() },
            Self::Error(primary) => FallbackError::NotReady { primary: Some(primary), fallback },
        }
    }
}
