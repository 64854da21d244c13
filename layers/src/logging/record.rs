//! The record of one call, and the event that it ends in.

use super::{
    failure_logs::FailureLogs,
    level_callsite::{self, TARGET},
    rate_limit::{RateLimitedLog, Summary, Suppressed},
};
use crate::{Class, Failure, Labels, clock, held::Held};
use std::{
    error::Error,
    fmt::{self, Display},
    time::Duration,
};
use tokio::time::Instant;
use tracing::{Level, event, field::display};

/// An event at a level that is known only at run time.
macro_rules! at {
    ($level:expr, $($event:tt)+) => {
        match $level {
            Level::TRACE => event!(target: TARGET, Level::TRACE, $($event)+),
            Level::DEBUG => event!(target: TARGET, Level::DEBUG, $($event)+),
            Level::INFO => event!(target: TARGET, Level::INFO, $($event)+),
            Level::WARN => event!(target: TARGET, Level::WARN, $($event)+),
            Level::ERROR => event!(target: TARGET, Level::ERROR, $($event)+),
        }
    };
}

/// The position of a log in its stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    /// Around one path: an outer layer may still recover from an error.
    Path,
    /// The outermost log.
    Outermost,
}

/// The state shared by all clones of a log: its name, and the failures that it has not logged yet.
#[derive(Debug)]
pub(super) struct LogState {
    pub(super) tag: &'static str,
    place: Position,
    loud: Level,
    quiet: Level,
    every: Duration,
    failures: FailureLogs<KINDS>,
}

/// The kinds of failures that repeat: each class, without and with a time-out.
const KINDS: usize = 2 * Class::ALL.len();

const fn kind(failure: Failure) -> usize {
    2 * failure.class as usize + failure.timeout as usize
}

impl LogState {
    pub(super) fn new(tag: &'static str) -> Self {
        let every = RateLimitedLog::EVERY;
        let (loud, quiet) = (Level::WARN, Level::DEBUG);
        Self { tag, place: Position::Path, loud, quiet, every, failures: FailureLogs::every(every) }
    }

    /// The same settings, and nothing logged yet.
    pub(super) fn anew(&self) -> Self {
        let mut new = Self::new(self.tag);
        (new.place, new.loud, new.quiet) = (self.place, self.loud, self.quiet);
        new.set_interval(self.every);
        new
    }

    pub(super) fn set_last(&mut self) {
        (self.place, self.loud) = (Position::Outermost, Level::ERROR);
    }

    pub(super) const fn set_levels(&mut self, loud: Level, quiet: Level) {
        (self.loud, self.quiet) = (loud, quiet);
    }

    pub(super) fn set_interval(&mut self, every: Duration) {
        self.every = every;
        self.failures = FailureLogs::every(every);
    }

    /// Whether this failure is logged loudly.
    const fn is_loud(&self, failure: Failure) -> bool {
        match self.place {
            Position::Outermost => true,
            Position::Path => failure.timeout || matches!(failure.class, Class::Backend),
        }
    }

    /// Records a failure with this reason. Returns `Some` if it is to be logged loudly.
    fn note(&self, failure: Failure, reason: &dyn Display) -> Option<Suppressed> {
        if !self.is_loud(failure) {
            // A path whose circuit is open has no successes, so its quiet failures also trigger the summary
            // of earlier loud ones.
            self.look();
            return None;
        }
        self.failures.record(kind(failure), reason)
    }

    /// Called for a success or a quiet failure: logs the summary of failures that have stopped.
    #[inline]
    fn look(&self) {
        self.failures.look(|kind, past| self.say(kind, past));
    }

    #[cold]
    fn say(&self, kind: usize, Summary { unsaid, lasted, .. }: Summary) {
        if unsaid == 0 {
            return;
        }
        let failure = Failure { class: Class::ALL[kind / 2], timeout: !kind.is_multiple_of(2) };
        let (tag, class) = (self.tag, failure.class.as_str());
        let (verb, lasted) = (ended(failure), lasted.as_secs_f64());
        at!(self.loud, class, "{tag} {unsaid} more operations {verb}, in {lasted:.1} s");
    }
}

impl Drop for LogState {
    fn drop(&mut self) {
        self.failures.flush(|kind, past| self.say(kind, past));
    }
}

const fn ended(failure: Failure) -> &'static str {
    if failure.timeout { "timed out" } else { "failed" }
}

#[derive(Debug)]
pub(super) struct CallLog<Id: Display> {
    account: Held<LogState>,
    operation: &'static str,
    id: Id,
    start: Option<Instant>,
    settled: bool,
    /// Whether the inner service is running right now: dropped meanwhile, it has panicked.
    inside: bool,
    shares_clock: bool,
}

impl<Id: Display> CallLog<Id> {
    /// Returns `None` if no outcome of the call would be logged.
    pub(super) fn begin<Req>(
        account: &Held<LogState>,
        labels: &impl Labels<Req, Id = Id>,
        req: &Req,
        shares_clock: bool,
    ) -> Option<Self> {
        let every_call = level_callsite::of(account.quiet).is_open();
        let start = || {
            let begun = clock::begun();
            if shares_clock {
                clock::share_begin(begun);
            }
            begun
        };
        (every_call || level_callsite::of(account.loud).is_open()).then(|| Self {
            account: account.clone(),
            operation: labels.operation(req),
            id: labels.id(req),
            start: every_call.then(start),
            settled: false,
            inside: true,
            shares_clock,
        })
    }

    /// The inner service begins to run.
    #[inline]
    pub(super) fn enters(&mut self) {
        self.inside = true;
        if self.shares_clock {
            clock::expect_end();
        }
    }

    /// The inner service has returned.
    pub(super) const fn leaves(&mut self) {
        self.inside = false;
    }

    /// The call is pending. From here on the cost of a clock read is negligible.
    pub(super) fn waits(&mut self) {
        self.leaves();
        self.start.get_or_insert_with(clock::now);
    }

    /// Logs the result of the call.
    pub(super) fn finish(&mut self, failure: Option<Failure>, error: Option<ErrorAndSource<'_>>) {
        self.settled = true;
        match failure {
            None => {
                // For a call that did not wait, this check would cost more than the rest of the layer.
                if self.start.is_some() {
                    self.account.look();
                }
                if self.account.place == Position::Path {
                    let (tag, operation, id) = (self.account.tag, self.operation, display(&self.id));
                    at!(self.account.quiet, id, took = self.took(true), "{tag} {operation} ok");
                }
            }
            Some(failure) => self.failed(failure, error),
        }
    }

    #[cold]
    fn failed(&self, failure: Failure, error: Option<ErrorAndSource<'_>>) {
        let (tag, operation, end) = (self.account.tag, self.operation, ended(failure));
        let reason = Reason(error);
        let said = self.account.note(failure, &reason);
        let more = said.unwrap_or(Suppressed(0));
        at!(
            if said.is_some() { self.account.loud } else { self.account.quiet },
            id = display(&self.id),
            took = self.took(true),
            class = failure.class.as_str(),
            "{tag} {operation} {end}{reason}{more}"
        );
    }

    /// Whatever the service has done before, the caller gets no result. Told as loudly as a time-out, and as seldom.
    #[cold]
    fn panicked(&self) {
        let (tag, operation) = (self.account.tag, self.operation);
        let said = self.account.failures.record(kind(Class::Unknown.into()), &"panicked");
        let more = said.unwrap_or(Suppressed(0));
        at!(
            if said.is_some() { self.account.loud } else { self.account.quiet },
            id = display(&self.id),
            took = self.took(false),
            class = Class::Unknown.as_str(),
            "{tag} {operation} panicked{more}"
        );
    }
}

impl<Id: Display> CallLog<Id> {
    /// How long the call has taken. If it has `ended` in this poll, what is inside it may have read the clock for that.
    fn took(&self, ended: bool) -> Option<tracing::field::DebugValue<Duration>> {
        let start = self.start?;
        let end = if ended && self.shares_clock { clock::shared_end() } else { clock::end() };
        Some(tracing::field::debug(end.duration_since(start)))
    }
}

impl<Id: Display> Drop for CallLog<Id> {
    fn drop(&mut self) {
        if self.settled {
        } else if self.inside {
            self.panicked();
        } else {
            let (tag, operation, id) = (self.account.tag, self.operation, display(&self.id));
            at!(self.account.quiet, id, took = self.took(false), "{tag} {operation} cancelled");
        }
    }
}

/// An error, and its source.
pub(super) type ErrorAndSource<'a> = (&'a dyn Display, Option<&'a (dyn Error + 'static)>);

/// The error's message, if the failure has an error, and what its sources add to it.
struct Reason<'a>(Option<ErrorAndSource<'a>>);

impl Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((error, source)) = self.0 else { return Ok(()) };
        write!(f, ": {error}")?;
        let mut said = if source.is_some() { error.to_string() } else { String::new() };
        let mut next = source;
        while let Some(source) = next {
            let more = source.to_string();
            if !said.contains(&more) {
                write!(f, ": {more}")?;
                said = more;
            }
            next = source.source();
        }
        Ok(())
    }
}
