//! State that the services of a layer share with their clones and calls.

use std::{fmt, ops::Deref, sync::Arc};

/// Counted, or never freed. Whoever counts pays two atomic changes for each clone of a service, and two for each call.
pub(crate) enum Held<T: ?Sized + 'static> {
    Counted(Arc<T>),
    Leaked(&'static T),
}

impl<T> Held<T> {
    pub(crate) fn new(state: T) -> Self {
        Self::Counted(Arc::new(state))
    }

    /// Another state, held as this one is.
    pub(crate) fn another(&self, state: T) -> Self {
        let new = Self::new(state);
        if let Self::Leaked(_) = self { new.leak() } else { new }
    }
}

impl<T: ?Sized> Held<T> {
    /// The same state, which is never freed.
    pub(crate) fn leak(self) -> Self {
        match self {
            Self::Counted(state) => {
                let count: &'static Arc<T> = Box::leak(Box::new(state));
                Self::Leaked(count)
            }
            Self::Leaked(state) => Self::Leaked(state),
        }
    }
}

impl<T: ?Sized> Clone for Held<T> {
    #[inline]
    fn clone(&self) -> Self {
        match self {
            Self::Counted(state) => Self::Counted(Arc::clone(state)),
            Self::Leaked(state) => Self::Leaked(state),
        }
    }
}

impl<T: ?Sized> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        match self {
            Self::Counted(state) => state,
            Self::Leaked(state) => state,
        }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Held<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
