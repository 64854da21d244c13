//! What travels with every operation beside itself: id, time and trace.

mod http;

use std::sync::Arc;
use std::time::Duration;

use crate::cause::{Cause, Code};
use crate::clock;
use crate::deadline::Deadline;
use crate::hints::option;
use crate::id::OpId;
use crate::trace::Trace;

/// The metadata of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The operation's id; travels as the NATS header `Eitherway-Operation-Id`.
    pub id: OpId,
    /// When the operation happened, in unix milliseconds; travels as `Eitherway-Occurred-At`.
    pub occurred_at: i64,
    /// The trace that the operation belongs to, if any; travels as `traceparent` and `tracestate`.
    pub trace: Option<Arc<Trace>>,
    /// Until when its answer is of use, if that matters; travels as `Eitherway-Deadline`.
    pub deadline: Option<Deadline>,
}

impl Head {
    /// The head of an operation that happens now: a fresh id, and a time never below the last one issued.
    #[must_use]
    pub fn now() -> Self {
        Self { id: OpId::new(), occurred_at: clock::issue(), trace: None, deadline: None }
    }

    /// The head of an operation that happened at `occurred_at` (unix milliseconds), with a fresh id.
    #[must_use]
    pub fn at(occurred_at: i64) -> Self {
        Self { id: OpId::new(), occurred_at, trace: None, deadline: None }
    }

    /// The same head with a [deadline](Deadline) this long from now.
    #[must_use]
    pub fn within(self, time: Duration) -> Self {
        Self { deadline: Some(Deadline::after(time)), ..self }
    }

    /// Checks the deadline, if it has one. Every path does, whenever it takes a request up.
    ///
    /// # Errors
    /// `expired`.
    pub fn check_deadline(&self) -> Result<(), Cause> {
        self.deadline.map_or(Ok(()), Deadline::check)
    }

    /// The default limit on how far in the future an operation may claim to have happened.
    pub const AHEAD: Duration = Duration::from_secs(5 * 60);

    /// The default limit on how long ago an operation may claim to have happened: ten years. A clock that was never set
    /// starts in 1970, 1980 or 2000; an imported history may be years old.
    pub const BEHIND: Duration = Duration::from_secs(3650 * 86_400);

    /// Checks the time: not more than `ahead` from now, and not more than `behind` ago. Every path checks it, so that no
    /// path takes what another one refuses.
    ///
    /// # Errors
    /// `clock`.
    pub fn check(&self, ahead: Duration, behind: Duration) -> Result<(), Cause> {
        self.check_of(clock::now(), ahead, behind)
    }

    /// The same for something that was taken at `taken`, in unix milliseconds: it does not become too old while it waits to
    /// be applied.
    ///
    /// # Errors
    /// `clock`.
    pub fn check_of(&self, taken: i64, ahead: Duration, behind: Duration) -> Result<(), Cause> {
        let millis = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let (at, now) = (self.occurred_at, clock::now());
        // One that took it by a clock that is ahead of this one has claimed nothing.
        let taken = taken.min(now);
        let why = if at < 1 {
            "before 1970".to_owned()
        } else if at > now.saturating_add(millis(ahead)) {
            let most = ahead.as_secs_f64();
            let by = at.saturating_sub(now) / 1000;
            format!(
                "that is {by} s ahead, and at most {most} s are taken ({}); is a clock wrong?",
                option("future-tolerance-ms")
            )
        } else if at < taken.saturating_sub(millis(behind)) {
            let (days, most) = (taken.saturating_sub(at) / 86_400_000, behind.as_secs() / 86_400);
            format!(
                "that is {days} days ago, and at most {most} are taken ({}); is a clock wrong?",
                option("past-tolerance-days")
            )
        } else {
            return Ok(());
        };
        Err(Cause::new(Code::CLOCK, format!("it cannot have happened at {at} (unix milliseconds): {why}")))
    }
}
