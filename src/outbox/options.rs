//! How an outbox is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::namespace::Namespace;
use crate::request::Head;
use crate::sqlite::{Synchronous, files};

/// How long an operation is offered again, counted from when it was first taken. The ledger of the database remembers
/// it for longer: what is offered within this time never takes effect twice.
pub const OFFERED: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How an outbox is kept.
#[derive(Clone, Debug)]
pub struct OutboxOptions {
    path: PathBuf,
    /// The namespace whose events are kept. A new file is marked with it, and refuses every other one from then on; a file without
    /// a mark is that of no namespace. If none is said, a file is opened whoever it is kept for.
    pub namespace: Option<Namespace>,
    /// How durable an acknowledgement is; `Full`: it survives a power cut. There is no other copy of what is here.
    pub synchronous: Synchronous,
    /// The most events it holds, those set aside included; 1 000 000. More are refused.
    pub most_events: u64,
    /// The most bytes they may need; 1 GiB. More are refused.
    pub most_bytes: u64,
    /// How many events may wait to be written; more are refused as `overloaded`.
    pub queue: usize,
    /// How far in the future an event may claim to have happened; what claims more is refused. The same as of the paths
    /// before it.
    pub future_tolerance: Duration,
    /// How long ago an event may claim to have happened, likewise.
    pub past_tolerance: Duration,
    /// Who may read and write a new file, and what lies beside it: its owner alone, 0600. On Unix.
    pub file_mode: u32,
    /// What the names of the gauges begin with; `eitherway`.
    pub metrics_prefix: &'static str,
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

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}
