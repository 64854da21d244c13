//! What is known about one call, and the events it ends in.

use super::{
    TARGET, gate,
    trouble::{More, Past, Trouble},
};
use crate::{Class, Failure, Label};
use std::{
    fmt::{self, Display},
    sync::{
        Arc,
        atomic::{
            AtomicBool,
            Ordering::{AcqRel, Relaxed},
        },
    },
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

/// What all clones of a log share: its name, and what it has not said.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) tag: &'static str,
    place: Place,
    /// Of each class, those that did not time out and those that did.
    troubles: [[Trouble; 2]; Class::ALL.len()],
    /// Whether there may be something that was not said: all that a call looks at that is none of it.
    troubled: AtomicBool,
}

impl Account {
    pub(super) const fn new(tag: &'static str, place: Place) -> Self {
        Self {
            tag,
            place,
            troubles: [const { [const { Trouble::new() }; 2] }; Class::ALL.len()],
            troubled: AtomicBool::new(false),
        }
    }

    /// Whether this failure is worth more than a line for whoever looks for it.
    const fn is_loud(&self, failure: Failure) -> bool {
        match self.place {
            Place::Last => true,
            Place::Path => failure.timeout || matches!(failure.class, Class::Backend),
        }
    }

    const fn trouble(&self, failure: Failure) -> &Trouble {
        &self.troubles[failure.class as usize][failure.timeout as usize]
    }

    /// One has failed; answers whether to say so loudly.
    fn again(&self, failure: Failure) -> Option<More> {
        if !self.is_loud(failure) {
            // A path that its circuit keeps calls from does not succeed for as long: then this one ends what was loud.
            self.look();
            return None;
        }
        let said = self.trouble(failure).again();
        self.troubled.swap(true, AcqRel);
        said
    }

    /// A call was no trouble, or none worth a line: says what is over.
    #[inline]
    fn look(&self) {
        if self.troubled.load(Relaxed) {
            self.rest(Trouble::over);
        }
    }

    /// Says what no line stands for yet.
    #[cold]
    fn rest(&self, end: impl Fn(&Trouble) -> Option<Past>) {
        for class in Class::ALL {
            for timeout in [false, true] {
                let failure = Failure { class, timeout };
                if let Some(past) = end(self.trouble(failure)) {
                    self.say(failure, past);
                }
            }
        }
        let goes_on = || self.troubles.iter().flatten().any(Trouble::is_going_on);
        // Written only when it is over, so that those who look meanwhile share it; and whoever fails just now is seen.
        if !goes_on() {
            self.troubled.swap(false, AcqRel);
            if goes_on() {
                self.troubled.swap(true, AcqRel);
            }
        }
    }

    #[cold]
    fn say(&self, failure: Failure, Past { unsaid, lasted, .. }: Past) {
        if unsaid == 0 {
            return;
        }
        let (tag, class) = (self.tag, failure.class.as_str());
        let (verb, lasted) = (ended(failure), lasted.as_secs_f64());
        match self.place {
            Place::Last => {
                tracing::error!(target: TARGET, class, "{tag} {unsaid} more operations {verb}, in {lasted:.1} s");
            }
            Place::Path => {
                tracing::warn!(target: TARGET, class, "{tag} {unsaid} more operations {verb}, in {lasted:.1} s");
            }
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.rest(Trouble::finish);
    }
}

const fn ended(failure: Failure) -> &'static str {
    if failure.timeout { "timed out" } else { "failed" }
}

#[derive(Debug)]
pub(super) struct Record<Id: Display> {
    account: Arc<Account>,
    operation: &'static str,
    id: Id,
    start: Option<Instant>,
    settled: bool,
}

impl<Id: Display> Record<Id> {
    /// `None` when no way in which the call can end would be logged.
    pub(super) fn begin<Req: Label<Id = Id>>(account: &Arc<Account>, req: &Req) -> Option<Self> {
        let every_call = gate::DEBUG.is_open();
        let loud_ends = || match account.place {
            Place::Path => gate::WARN.is_open(),
            Place::Last => gate::ERROR.is_open(),
        };
        (every_call || loud_ends()).then(|| Self {
            account: Arc::clone(account),
            operation: req.operation(),
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
        match failure {
            None => {
                // One that came at once would pay more for the look than for all the rest.
                if self.start.is_some() {
                    self.account.look();
                }
                if self.account.place == Place::Path {
                    let (tag, operation, id) = (self.account.tag, self.operation, display(&self.id));
                    event!(target: TARGET, Level::DEBUG, id, took = took(self.start), "{tag} {operation} ok");
                }
            }
            Some(failure) => self.failed(failure, error),
        }
    }

    #[cold]
    fn failed(&self, failure: Failure, error: Option<&dyn Display>) {
        let (tag, operation, end) = (self.account.tag, self.operation, ended(failure));
        let reason = Reason(error);
        let said = self.account.again(failure);
        let more = said.unwrap_or(More(0));
        macro_rules! failed {
            ($level:ident) => {
                event!(
                    target: TARGET,
                    Level::$level,
                    id = display(&self.id),
                    took = took(self.start),
                    class = failure.class.as_str(),
                    "{tag} {operation} {end}{reason}{more}"
                )
            };
        }
        match (said, self.account.place) {
            (None, _) => failed!(DEBUG),
            (Some(_), Place::Last) => failed!(ERROR),
            (Some(_), Place::Path) => failed!(WARN),
        }
    }
}

impl<Id: Display> Drop for Record<Id> {
    fn drop(&mut self) {
        if !self.settled {
            let (tag, operation, id) = (self.account.tag, self.operation, display(&self.id));
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
