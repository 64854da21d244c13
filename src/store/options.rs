//! The options that a store has on any database.

use std::time::Duration;

use super::retention::Retention;
use crate::request::Head;

/// See the methods of `SqliteOptions` and `PostgresOptions`.
#[derive(Clone, Debug)]
pub(crate) struct StoreOptions {
    pub(crate) queue: usize,
    pub(crate) create: bool,
    pub(crate) retention: Option<Retention>,
    pub(crate) folding: Option<Duration>,
    pub(crate) future_tolerance: Duration,
    pub(crate) past_tolerance: Duration,
    pub(crate) answer_bytes: usize,
    pub(crate) trust_clock: bool,
    pub(crate) metrics_prefix: &'static str,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            queue: 4096,
            create: true,
            retention: Some(Retention::default()),
            folding: Some(Duration::from_millis(100)),
            future_tolerance: Head::AHEAD,
            past_tolerance: Head::BEHIND,
            answer_bytes: crate::answer::MOST,
            trust_clock: false,
            metrics_prefix: "eitherway",
        }
    }
}

/// The methods that set them, for options with a field `store`.
macro_rules! store_setters {
    () => {
        $crate::setters::setters! {
            in store;
            /// How many writes may wait; more are refused as `overloaded`. Default: 4096.
            queue: usize,
            /// Whether a missing file, or missing tables and functions of a server, are created. Default: yes.
            create: bool,
            /// How long appended rows wait until they are folded, while many are appended; up to 20 times as long otherwise.
            /// `None`: this store does not fold. One without `retention`, as that of a command that sends one thing, folds only
            /// once it has appended something itself. Default: 100 ms.
            folding: Option<Duration>,
            /// Retention periods, or `None` if nothing is to be removed. Default: those of the operations.
            retention: Option<Retention>,
            /// How far in the future an operation may claim to have happened; one that claims more is refused. A service takes
            /// what its database takes. Default: [`Head::AHEAD`](crate::Head::AHEAD).
            future_tolerance: Duration,
            /// How long ago an operation may claim to have happened. Default: [`Head::BEHIND`](crate::Head::BEHIND).
            past_tolerance: Duration,
            /// The largest answer that is a list, in bytes; the oldest entries of a longer one are left out. Default: 1 MB, so
            /// that the answer is the same over NATS.
            answer_bytes: usize,
            /// Whether the clock is right at the opening, whatever the database or a server knows of the time: an operator's
            /// word. It does not cover later leaps. Default: no.
            trust_clock: bool,
            /// What the names of the writer's metrics begin with: `_commits_total` (label `outcome`), `_commit_duration_seconds` and
            /// `_commit_operations`. Install the recorder before it is opened. Default: `eitherway`.
            metrics_prefix: &'static str,
        }
    };
}

pub(crate) use store_setters;
