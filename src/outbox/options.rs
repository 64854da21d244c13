//! How an outbox is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock;
use crate::namespace::Namespace;
use crate::request::Head;
use crate::setters::setters;
use crate::sqlite::{Synchronous, files};

/// How long an operation is offered again, counted from when it was first taken. The ledger of the database remembers
/// it for longer: what is offered within this time never takes effect twice.
pub const MAX_REPLAY_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What was taken until then is not offered any more.
pub(super) fn horizon() -> i64 {
    clock::now() - i64::try_from(MAX_REPLAY_AGE.as_millis()).unwrap_or(i64::MAX)
}

/// How an outbox is kept: a builder.
///
/// ```
/// use eitherway::outbox::OutboxOptions;
///
/// let options = OutboxOptions::new("shop.outbox").most_events(100_000).metrics_prefix("shop");
/// # drop(options);
/// ```
#[derive(Clone, Debug)]
pub struct OutboxOptions {
    path: PathBuf,
    pub(crate) namespace: Option<Namespace>,
    pub(super) synchronous: Synchronous,
    pub(super) most_events: u64,
    pub(super) most_bytes: u64,
    pub(super) queue: usize,
    pub(super) future_tolerance: Duration,
    pub(super) past_tolerance: Duration,
    pub(super) file_mode: u32,
    pub(super) metrics_prefix: &'static str,
}

impl OutboxOptions {
    /// An outbox in this file, which is created if it is missing.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            namespace: None,
            synchronous: Synchronous::Full,
            most_events: 1_000_000,
            most_bytes: 1 << 30,
            queue: 4096,
            future_tolerance: Head::AHEAD,
            past_tolerance: Head::BEHIND,
            file_mode: files::PRIVATE,
            metrics_prefix: "eitherway",
        }
    }

    /// The namespace whose events are kept. A new file is marked with it, and refuses every other one from then on; a file
    /// without a mark is that of no namespace. Default: a file is opened whichever namespace it is kept for.
    #[must_use]
    pub fn namespace(self, namespace: Namespace) -> Self {
        Self { namespace: Some(namespace), ..self }
    }

    setters! {
        /// How durable an acknowledgement is. Default: `Full`, which survives a power cut; there is no other copy of what is
        /// here.
        synchronous: Synchronous,
        /// The most events it holds, those set aside included; more are refused. Default: 1 000 000.
        most_events: u64,
        /// The most bytes they may need; more are refused. Default: 1 GiB.
        most_bytes: u64,
        /// How many events may wait to be written; more are refused as `overloaded`. Default: 4096.
        queue: usize,
        /// How far in the future an event may claim to have happened; one that claims more is refused. The same as of the
        /// paths before it. Default: [`Head::AHEAD`].
        future_tolerance: Duration,
        /// How long ago an event may claim to have happened. Default: [`Head::BEHIND`].
        past_tolerance: Duration,
        /// The mode of a new file and of those beside it, on Unix. Default: 0600.
        file_mode: u32,
        /// What the names of the gauges begin with. Default: `eitherway`.
        metrics_prefix: &'static str,
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
