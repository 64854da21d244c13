//! The path of a database: whether it still names the file that is open.
//!
//! A file can be deleted, moved or replaced while it is open; what is written to it then is nowhere. SQLite keeps what is
//! new in a second file beside it (`-wal`), and how processes share it in a third (`-shm`): all three must be those that
//! were there when the database was opened. A look costs three calls of `stat`. The files themselves are never opened here:
//! to close one would give up SQLite's locks on it.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use crate::error::{Cause, Code};

/// For how long a look holds: what follows a transaction directly needs no second one.
const FRESH: Duration = Duration::from_millis(1);

/// A file, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    device: u64,
    inode: u64,
    length: u64,
}

impl Node {
    #[cfg(unix)]
    fn of(file: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self { device: file.dev(), inode: file.ino(), length: file.len() }
    }

    /// Elsewhere a file that is open can be neither deleted nor replaced.
    #[cfg(not(unix))]
    fn of(file: &Metadata) -> Self {
        Self { device: 0, inode: 0, length: file.len() }
    }

    fn is(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }
}

/// The three files as they are at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    main: Node,
    changed: Option<SystemTime>,
    wal: Option<Node>,
    shm: Option<Node>,
}

/// What is different from when the database was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    None,
    /// They are the same files, and something was written that no transaction of this process has: by a checkpoint, as a
    /// rule.
    Written,
    /// They are the same files, and one is shorter than it was.
    Cut,
    /// The file is the same, and what SQLite keeps beside it is not.
    Beside,
    /// It is another file.
    Main,
    /// It is another file, and the log of the one before lies beside it.
    MainBesideOldLog,
}

impl Difference {
    /// Whether it is still the same file; its log may have come into being.
    pub(super) const fn is_of_the_file(self) -> bool {
        !matches!(self, Self::Main | Self::MainBesideOldLog)
    }
}

impl Seen {
    pub(super) fn compare(&self, now: &Self) -> Difference {
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
            Difference::Beside
        } else if shorter(Some(self.main), Some(now.main)) || shorter(self.wal, now.wal) {
            Difference::Cut
        } else if self.changed != now.changed {
            Difference::Written
        } else {
            Difference::None
        }
    }

    /// Whether the file itself has become shorter.
    pub(super) const fn is_main_cut(&self, now: &Self) -> bool {
        now.main.length < self.main.length
    }
}

/// Where a database is, and what is known of it.
#[derive(Debug)]
pub(super) struct Place {
    /// As it was said, from the root.
    said: PathBuf,
    /// Where that led when it was opened: SQLite's two files are beside this one.
    file: PathBuf,
    wal: PathBuf,
    shm: PathBuf,
    known: Mutex<Known>,
    /// While all connections are closed and opened again.
    closed: AtomicBool,
    trouble: watch::Sender<Option<String>>,
}

#[derive(Debug)]
struct Known {
    open: Seen,
    looked: Instant,
}

impl Place {
    /// The place of a file that is there. What is open is known only once [`settle`](Self::settle) was called.
    pub(super) fn new(path: &Path) -> Result<Self, std::io::Error> {
        let said = std::path::absolute(path)?;
        let file = fs::canonicalize(&said)?;
        let main = fs::symlink_metadata(&file)?;
        let beside = |end: &str| {
            let mut name = file.clone().into_os_string();
            name.push(end);
            PathBuf::from(name)
        };
        let open = Seen { main: Node::of(&main), changed: None, wal: None, shm: None };
        let (wal, shm) = (beside("-wal"), beside("-shm"));
        let known = Mutex::new(Known { open, looked: Instant::now() });
        let (closed, trouble) = (AtomicBool::new(false), watch::Sender::new(None));
        Ok(Self { said, file, wal, shm, known, closed, trouble })
    }

    /// The path from the root.
    pub(super) fn said(&self) -> &Path {
        &self.said
    }

    /// What is at the path now.
    ///
    /// # Errors
    /// In a sentence: that there is no file at all.
    pub(super) fn look(&self) -> Result<Seen, String> {
        let found = fs::symlink_metadata(&self.file).map_err(|e| match e.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => self.gone(),
            _ => format!("the database {} cannot be looked at: {e}", self.said.display()),
        })?;
        if !found.is_file() {
            let what = if found.is_symlink() { "a symbolic link" } else { "no ordinary file" };
            return Err(self.replaced(&format!("{what} was put in its place")));
        }
        let main = Node::of(&found);
        // Through links that were there at the beginning.
        if self.said != self.file && !fs::metadata(&self.said).is_ok_and(|said| Node::of(&said).is(&main)) {
            return Err(self.replaced("its path leads elsewhere now"));
        }
        if main.length == 0 {
            return Err(self.replaced("it has been emptied"));
        }
        let beside = |path: &Path| fs::symlink_metadata(path).ok().map(|file| Node::of(&file));
        Ok(Seen { main, changed: found.modified().ok(), wal: beside(&self.wal), shm: beside(&self.shm) })
    }

    /// The difference to what is open.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub(super) fn compare(&self) -> Result<(Difference, Seen), String> {
        let now = self.look()?;
        Ok((self.open().compare(&now), now))
    }

    /// What is open.
    pub(super) fn open(&self) -> Seen {
        self.known().open
    }

    /// What is at the path is what is open.
    pub(super) fn settle(&self, open: Seen) {
        *self.known() = Known { open, looked: Instant::now() };
    }

    /// Whether a look was taken just now.
    pub(super) fn is_fresh(&self) -> bool {
        self.known().looked.elapsed() < FRESH
    }

    /// For whoever reads: whether what was read is of the file at the path.
    ///
    /// # Errors
    /// Of class `Backend`.
    pub(super) fn check(&self) -> Result<(), Cause> {
        self.readable()?;
        match self.compare() {
            Ok((Difference::None | Difference::Written | Difference::Cut, _)) => Ok(()),
            Ok((Difference::Beside, _)) => Err(cause(self.beside())),
            Ok(_) => Err(cause(self.another())),
            Err(why) => Err(cause(why)),
        }
    }

    /// What is known to be wrong.
    ///
    /// # Errors
    /// Of class `Backend`.
    pub(super) fn usable(&self) -> Result<(), Cause> {
        match &*self.trouble.borrow() {
            None => Ok(()),
            Some(why) => Err(cause(why.clone())),
        }
    }

    /// The same for queries.
    ///
    /// # Errors
    /// Of class `Backend`.
    pub(super) fn readable(&self) -> Result<(), Cause> {
        self.usable()?;
        if self.closed.load(Ordering::Acquire) {
            return Err(cause(format!("the database {} is being opened again", self.said.display())));
        }
        Ok(())
    }

    /// No query begins while this is so.
    pub(super) fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::Release);
    }

    /// Told on every change.
    pub(super) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// Nothing is read or written from now on. Said when it begins, and when it becomes something else.
    pub(super) fn raise(&self, why: &str) -> Cause {
        let is_new = self.trouble.send_if_modified(|trouble| {
            let is_new = trouble.as_deref() != Some(why);
            *trouble = Some(why.to_owned());
            is_new
        });
        if is_new {
            tracing::error!("{why}");
        }
        cause(why.to_owned())
    }

    /// All is well.
    pub(super) fn clear(&self) {
        if self.trouble.send_if_modified(|trouble| trouble.take().is_some()) {
            tracing::info!("the database {} is the right file again", self.said.display());
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn gone(&self) -> String {
        let file = self.said.display();
        format!(
            "the database {file} was deleted or moved away while it is in use: nothing is taken until it is back. Put \
             it there again, or a copy that is not older; to begin with another one, restart this process"
        )
    }

    pub(super) fn beside(&self) -> String {
        let file = self.said.display();
        format!(
            "{file}-wal or {file}-shm was deleted or replaced while the database is in use: nothing is taken until that \
             is put right, which is tried again and again"
        )
    }

    pub(super) fn another(&self) -> String {
        self.replaced("another file was put in its place")
    }

    pub(super) fn old_log(&self) -> String {
        let file = self.said.display();
        format!(
            "the database {file} was replaced while it is in use, and the log of the former file still lies beside it \
             ({file}-wal): together they are damaged. Nothing is taken until the former file is back, or {file}-wal and \
             {file}-shm are removed and the new one is a copy that is not older"
        )
    }

    pub(super) fn older(&self) -> String {
        self.replaced("what is there now is an older copy, and lacks operations that were acknowledged")
    }

    pub(super) fn foreign(&self) -> String {
        self.replaced("what is there now is another database, with another id")
    }

    pub(super) fn unreadable(&self, why: &dyn std::fmt::Display) -> String {
        self.replaced(&format!("what is there now cannot be read as this database ({why})"))
    }

    fn replaced(&self, how: &str) -> String {
        format!(
            "the database {} is not the file that was opened: {how}. Nothing is taken until the right one is back; to \
             accept what is there, restart this process",
            self.said.display()
        )
    }
}

fn cause(why: String) -> Cause {
    Cause::new(Code::DATABASE, why)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_exchange_one_of_the_three_files_is_told_from_writing_to_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, bytes: usize| fs::write(at(name), vec![0; bytes]).expect("written");
        for name in ["db", "db-wal", "db-shm"] {
            write(name, 100);
        }
        let place = Place::new(&at("db")).expect("a place");
        place.settle(place.look().expect("files"));
        let difference = || place.compare().map(|(difference, _)| difference);
        assert_eq!(difference(), Ok(Difference::None));
        write("db-wal", 200);
        assert_eq!(difference(), Ok(Difference::None), "it grows");
        place.settle(place.look().expect("files"));
        write("db-wal", 50);
        assert_eq!(difference(), Ok(Difference::Cut));
        place.settle(place.look().expect("files"));
        let exchange = |name: &str| {
            write("new", 100);
            fs::rename(at("new"), at(name)).expect("renamed");
        };
        exchange("db-shm");
        assert_eq!(difference(), Ok(Difference::Beside));
        place.settle(place.look().expect("files"));
        fs::remove_file(at("db-wal")).expect("removed");
        assert_eq!(difference(), Ok(Difference::Beside));
        exchange("db");
        assert_eq!(difference(), Ok(Difference::Main));
        write("db-wal", 50);
        place.settle(place.look().expect("files"));
        exchange("db");
        assert_eq!(difference(), Ok(Difference::MainBesideOldLog));
        write("db", 0);
        assert!(difference().is_err_and(|why| why.contains("emptied")));
        fs::rename(at("db"), at("elsewhere")).expect("renamed");
        assert!(difference().is_err_and(|why| why.contains("deleted or moved")));
        std::os::unix::fs::symlink(at("elsewhere"), at("db")).expect("linked");
        assert!(difference().is_err_and(|why| why.contains("symbolic link")));
    }
}
