//! What is known about one call, and the events it ends in.

use super::{TARGET, gate};
use crate::{Failure, Label};
use std::{
    fmt::{self, Display},
    time::Duration,
};
use tokio::time::Instant;
use tracing::{Level, event, field::display};

/// Where a log stands in its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Around one path: something outside may repair an error.
    Path,
    /// Outside everything.
    Last,
}

#[derive(Debug)]
pub(super) struct Record<Id: Display> {
    tag: &'static str,
    operation: &'static str,
    place: Place,
    id: Id,
    start: Option<Instant>,
    settled: bool,
}

impl<Id: Display> Record<Id> {
    /// `None` when no way in which the call can end would be logged.
    pub(super) fn begin<Req: Label<Id = Id>>(tag: &'static str, place: Place, req: &Req) -> Option<Self> {
        let every_call = gate::DEBUG.is_open();
        let loud_ends = || match place {
            Place::Path => gate::WARN.is_open(),
            Place::Last => gate::ERROR.is_open(),
        };
        (every_call || loud_ends()).then(|| Self {
            tag,
            operation: req.operation(),
            place,
            id: req.id(),
            start: every_call.then(Instant::now),
            settled: false,
        })
    }

    /// The call has to wait. From here on a clock read costs nothing that matters.
    pub(super) fn waits(&mut self) {
        self.start.get_or_insert_with(Instant::now);
    }

    /// The call has ended.
    pub(super) fn settle(&mut self, failure: Option<Failure>, error: Option<&dyn Display>) {
        self.settled = true;
        match (self.place, failure) {
            (Place::Last, None) => {}
            (Place::Path, None) => {
                let (tag, operation, id) = (self.tag, self.operation, display(&self.id));
                event!(target: TARGET, Level::DEBUG, id, took = took(self.start), "{tag} {operation} ok");
            }
            (place, Some(failure)) => self.failed(place, failure, error),
        }
    }

    #[cold]
    fn failed(&self, place: Place, failure: Failure, error: Option<&dyn Display>) {
        let (tag, operation) = (self.tag, self.operation);
        let end = if failure.timeout { "timed out" } else { "failed" };
        let reason = Reason(error);
        macro_rules! failed {
            ($level:ident) => {
                event!(
                    target: TARGET,
                    Level::$level,
                    id = display(&self.id),
                    took = took(self.start),
                    class = failure.class.as_str(),
                    "{tag} {operation} {end}{reason}"
                )
            };
        }
        match place {
            Place::Last => failed!(ERROR),
            Place::Path if failure.timeout => failed!(WARN),
            Place::Path => failed!(DEBUG),
        }
    }
}

impl<Id: Display> Drop for Record<Id> {
    fn drop(&mut self) {
        if !self.settled {
            let (tag, operation, id) = (self.tag, self.operation, display(&self.id));
            event!(target: TARGET, Level::DEBUG, id, took = took(self.start), "{tag} {operation} cancelled");
        }
    }
}

fn took(start: Option<Instant>) -> Option<tracing::field::DebugValue<Duration>> {
    start.map(|start| tracing::field::debug(start.elapsed()))
}

/// The error's own words, where the failure has some.
struct Reason<'a>(Option<&'a dyn Display>);

impl Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}
