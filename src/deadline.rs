//! Until when the answer to a request is of use.

use std::num::NonZeroI64;
use std::time::Duration;

use crate::cause::{Cause, Code};
use crate::clock;

/// Until when the answer to a request is of use: a point in time, by the clocks of all who hold the request.
///
/// A service or store that takes the request up later drops it as [`EXPIRED`](Code::EXPIRED), and the typed client
/// waits no longer. It ends with the acknowledgement: an event that a stream or the outbox has stored is applied, however late.
/// It is no part of the operation: the same request may come again with another deadline.
///
/// ```
/// use std::time::Duration;
/// use eitherway::{Deadline, Head};
///
/// let head = Head::now().within(Duration::from_millis(500));
/// assert!(head.deadline.is_some_and(|deadline| deadline.remaining() <= Duration::from_millis(500)));
/// assert!(Deadline::at(1_700_000_000_000).check().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(NonZeroI64);

impl Deadline {
    /// A unix millisecond.
    #[must_use]
    pub fn at(millis: i64) -> Self {
        Self(NonZeroI64::new(millis).unwrap_or(NonZeroI64::MIN))
    }

    /// This long from now.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        Self::at(clock::now().saturating_add(millis))
    }

    /// The unix millisecond.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0.get()
    }

    /// The time until then by the clock of this machine; zero once it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        Duration::from_millis(u64::try_from(self.millis().saturating_sub(clock::now())).unwrap_or(0))
    }

    /// Whether there is time left.
    ///
    /// # Errors
    /// `expired`: the caller no longer waits for the answer.
    pub fn check(self) -> Result<(), Cause> {
        match clock::now().saturating_sub(self.millis()) {
            ..0 => Ok(()),
            late => Err(Cause::new(Code::EXPIRED, format!("its deadline has passed {late} ms ago"))),
        }
    }
}
