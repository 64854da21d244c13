//! One reading of the clock for layers around each other that time the same moment.
//!
//! Layers of one request note its beginning within nanoseconds, one inside the `call` of the other, and its end
//! likewise, one inside the `poll` of the other; each reading of the clock costs as much as the rest of such a layer.
//! Only an outer layer that was told that nothing happens between the two shares readings: it alone sets
//! [`BEGUN`], and it alone reads [`ENDED`].

use std::cell::Cell;
use tokio::time::Instant;

thread_local! {
    /// When the sharing call began inside whose `call` this thread is.
    static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
    /// When a call last ended in the poll of the sharing call inside whose `poll` this thread is.
    static ENDED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// When a call began: now, or when the sharing call around it did.
#[inline]
pub(crate) fn begun() -> Instant {
    BEGUN.get().unwrap_or_else(Instant::now)
}

/// While this lives, what begins on this thread began then.
pub(crate) struct SharedBegin(Option<Instant>);

impl SharedBegin {
    #[inline(always)]
    pub(crate) fn at(begun: Instant) -> Self {
        Self(BEGUN.replace(Some(begun)))
    }
}

impl Drop for SharedBegin {
    #[inline(always)]
    fn drop(&mut self) {
        BEGUN.set(self.0);
    }
}

/// A sharing call is about to poll the call inside it: whatever has ended so far, that one has not.
#[inline]
pub(crate) fn expect_end() {
    ENDED.set(None);
}

/// When the call inside a sharing call has ended, if a layer in there has read the clock for that in this poll.
#[inline]
pub(crate) fn shared_end() -> Instant {
    ENDED.get().unwrap_or_else(end)
}

/// A call ends now. A sharing call around it ends with it.
#[inline]
pub(crate) fn end() -> Instant {
    let now = Instant::now();
    ENDED.set(Some(now));
    now
}
