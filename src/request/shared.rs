//! An operation that several requests share: the copies of one that go over several paths.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

#[cfg(feature = "sqlite")]
use crate::operation::Derived;
use crate::operation::{Invalid, Operation};

/// An operation and its payload, which is encoded when the first path asks for it, and then lies there for all of them.
///
/// A clone is the same operation, and allocates nothing.
///
/// ```
/// # fn example<O: eitherway::Operation>(op: O) -> Result<(), eitherway::operation::Invalid> {
/// let op = eitherway::request::Shared::new(op);
/// assert_eq!(op.payload()?, op.encode()?);
/// assert!(std::ptr::eq(op.payload()?, op.clone().payload()?));
/// # Ok(())
/// # }
/// ```
pub struct Shared<O>(Arc<Inner<O>>);

struct Inner<O> {
    op: O,
    payload: OnceLock<Vec<u8>>,
}

impl<O> Shared<O> {
    /// An operation that is encoded later, if at all.
    pub fn new(op: O) -> Self {
        Self(Arc::new(Inner { op, payload: OnceLock::new() }))
    }
}

impl<O: Operation> Shared<O> {
    /// The payload, as [`encode`](Operation::encode) gives it.
    ///
    /// # Errors
    /// Those of `encode`. The next call tries again.
    pub fn payload(&self) -> Result<&[u8], Invalid> {
        if let Some(payload) = self.0.payload.get() {
            return Ok(payload);
        }
        let encoded = self.0.op.encode()?;
        Ok(self.0.payload.get_or_init(|| encoded))
    }

    /// What SQL binds, for as long as it is needed: the payload, and what is derived from it.
    ///
    /// # Errors
    /// As [`payload`](Self::payload).
    #[cfg(feature = "sqlite")]
    pub(crate) fn bound(&self) -> Result<Payload, Invalid> {
        let payload = self.payload()?;
        let mut derived = Derived::default();
        self.0.op.derive(&mut derived);
        Ok(match derived.before(payload) {
            Some(whole) => Payload(Arc::new(whole)),
            None => Payload(Arc::clone(&self.0) as Arc<_>),
        })
    }
}

/// What SQL binds, whatever the operation is.
#[cfg(feature = "sqlite")]
#[derive(Clone)]
pub(crate) struct Payload(Arc<dyn AsRef<[u8]> + Send + Sync>);

#[cfg(all(test, feature = "sqlite"))]
impl From<&'static [u8]> for Payload {
    fn from(json: &'static [u8]) -> Self {
        Self(Arc::new(json))
    }
}

#[cfg(feature = "sqlite")]
impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

#[cfg(feature = "sqlite")]
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        String::from_utf8_lossy(self).fmt(f)
    }
}

impl<O> AsRef<[u8]> for Inner<O> {
    fn as_ref(&self) -> &[u8] {
        self.payload.get().map_or(&[], Vec::as_slice)
    }
}

impl<O> Clone for Shared<O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<O> Deref for Shared<O> {
    type Target = O;

    fn deref(&self) -> &O {
        &self.0.op
    }
}

impl<O: fmt::Debug> fmt::Debug for Shared<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.op.fmt(f)
    }
}

impl<O: PartialEq> PartialEq for Shared<O> {
    fn eq(&self, other: &Self) -> bool {
        self.0.op == other.0.op
    }
}

impl<O: Eq> Eq for Shared<O> {}
