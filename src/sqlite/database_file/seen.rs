//! The three files of a database at one moment, and how two moments differ.

use std::fs::Metadata;
use std::time::SystemTime;

use crate::sqlite::content::Moved;
use crate::sqlite::wal::End;

/// A file, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) length: u64,
}

impl Node {
    #[cfg(unix)]
    pub(super) fn of(file: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: file.dev(), inode: file.ino(), length: file.len() }
    }

    /// Elsewhere a file that is open can be neither deleted nor replaced.
    #[cfg(not(unix))]
    pub(super) fn of(file: &Metadata) -> Self {
        Self { device: 0, inode: 0, length: file.len() }
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.name() == other.name()
    }

    pub(super) const fn name(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// The three files as they are at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(super) main: Node,
    pub(super) changed: Option<SystemTime>,
    pub(super) wal: Option<Node>,
    pub(super) shm: Option<Node>,
    /// How far the checkpoints had come, before all this was looked at.
    pub(super) moved: Option<Moved>,
    /// The end of the log, before the same.
    pub(super) end: Option<End>,
}

/// What is different from when the database was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Difference {
    None,
    /// They are the same files, and something was written that no transaction of this process has: by a checkpoint, as a
    /// rule.
    Written,
    /// They are the same files, and one is shorter than it was.
    Cut,
    /// They are the same files, and another program has written to the one that SQLite's checkpoints write to.
    Overwritten(&'static str),
    /// They are the same files, and another program has written to the log.
    Log(&'static str),
    /// The file is the same, and what SQLite keeps beside it is not.
    Sidecars,
    /// It is another file.
    Main,
    /// It is another file, and the log of the one before lies beside it.
    MainBesideOldLog,
}

impl Difference {
    /// Whether only SQLite has written to the files that are open.
    pub(crate) const fn is_of_sqlite(self) -> bool {
        matches!(self, Self::None | Self::Written | Self::Cut)
    }

    /// Whether it is still the same file; its log may have come into being.
    pub(crate) const fn is_of_the_file(self) -> bool {
        !matches!(self, Self::Main | Self::MainBesideOldLog)
    }
}

impl Seen {
    pub(crate) fn compare(&self, now: &Self) -> Difference {
        let same = |one: Option<Node>, other: Option<Node>| match (one, other) {
            (Some(one), Some(other)) => one.is(&other),
            (one, other) => one.is_none() && other.is_none(),
        };
        let shorter = |one: Option<Node>, other: Option<Node>| {
            one.zip(other).is_some_and(|(one, other)| other.length < one.length)
        };
        let log = same(self.wal, now.wal);
        if !self.main.is(&now.main) {
            if log && now.wal.is_some() { Difference::MainBesideOldLog } else { Difference::Main }
        } else if !log || !same(self.shm, now.shm) {
            Difference::Sidecars
        } else if shorter(Some(self.main), Some(now.main)) || shorter(self.wal, now.wal) {
            Difference::Cut
        } else if self.changed != now.changed {
            Difference::Written
        } else {
            Difference::None
        }
    }

    /// The file by device and inode, where the system has them.
    pub(crate) fn node(&self) -> Option<(u64, u64)> {
        Some(self.main.name()).filter(|name| *name != (0, 0))
    }

    /// Whether another program may have written to the file since then.
    pub(super) fn is_written_since(&self, now: &Self) -> bool {
        self.changed != now.changed || self.main.length != now.main.length
    }

    /// Whether the file itself has become shorter.
    pub(crate) const fn is_main_cut(&self, now: &Self) -> bool {
        now.main.length < self.main.length
    }
}
