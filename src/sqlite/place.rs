//! The path of a database: whether it still names the file that is open.
//!
//! A file can be deleted, moved or replaced while it is open; what is written to it then is nowhere. SQLite keeps what is
//! new in a second file beside it (`-wal`), and how processes share it in a third (`-shm`): all three must be those that
//! were there when the database was opened. A look costs three calls of `stat`. The files themselves are never opened here:
//! to close one would give up SQLite's locks on it.

mod sentences;

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::content::{self, Content, Files, Moved};
use super::files::beside;
use super::names;
use super::wal::{self, End};
use crate::error::{Cause, Code};
use crate::store::Concerns;

/// For how long a look holds: what follows a transaction directly needs no second one.
const FRESH: Duration = Duration::from_millis(1);

/// For how long a file may have a second name: a program that exchanges it may need one for a moment.
const LINKED: Duration = Duration::from_millis(300);

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
        self.name() == other.name()
    }

    const fn name(&self) -> (u64, u64) {
        (self.device, self.inode)
    }
}

/// The three files as they are at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    main: Node,
    changed: Option<SystemTime>,
    wal: Option<Node>,
    shm: Option<Node>,
    /// How far the checkpoints had come, before all this was looked at.
    moved: Option<Moved>,
    /// The end of the log, before the same.
    end: Option<End>,
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
    Beside,
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
            Difference::Beside
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
    fn is_written_since(&self, now: &Self) -> bool {
        self.changed != now.changed || self.main.length != now.main.length
    }

    /// Whether the file itself has become shorter.
    pub(crate) const fn is_main_cut(&self, now: &Self) -> bool {
        now.main.length < self.main.length
    }
}

/// Where a database is, and what is known of it.
#[derive(Debug)]
pub(crate) struct Place {
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
    concerns: watch::Sender<Concerns>,
}

#[derive(Debug)]
struct Known {
    open: Seen,
    looked: Instant,
    /// Since when it has a second name.
    linked: Option<Instant>,
    files: Option<Files>,
    content: Content,
}

impl Place {
    /// The place of a file that is there, under no other name. What is open is known only once [`settle`](Self::settle) was
    /// called.
    pub(crate) fn new(path: &Path) -> Result<Self, std::io::Error> {
        let said = std::path::absolute(path)?;
        let file = fs::canonicalize(&said)?;
        names::check(&file)?;
        let main = fs::symlink_metadata(&file)?;
        let open =
            Seen { main: Node::of(&main), changed: None, wal: None, shm: None, moved: None, end: None };
        let (wal, shm) = (beside(&file, "-wal"), beside(&file, "-shm"));
        let known = Mutex::new(Known {
            open,
            looked: Instant::now(),
            linked: None,
            files: None,
            content: Content::default(),
        });
        let (closed, trouble) = (AtomicBool::new(false), watch::Sender::new(None));
        Ok(Self { said, file, wal, shm, known, closed, trouble, concerns: watch::Sender::default() })
    }

    /// The path from the root.
    pub(crate) fn said(&self) -> &Path {
        &self.said
    }

    /// What is at the path now.
    ///
    /// # Errors
    /// In a sentence: that there is no file at all.
    pub(crate) fn look(&self) -> Result<Seen, String> {
        let files = self.known.lock().files.clone();
        self.look_with(files.as_ref())
    }

    fn look_with(&self, files: Option<&Files>) -> Result<Seen, String> {
        let index = files.and_then(Files::index);
        let moved = index.as_ref().map(Moved::of);
        let end = files.zip(index).and_then(|(files, index)| End::of(&index, files));
        let found = fs::symlink_metadata(&self.file).map_err(|e| match e.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => self.gone(),
            _ => format!("the database {} cannot be looked at: {e}", self.said.display()),
        })?;
        if !found.is_file() {
            let what = if found.is_symlink() { "a symbolic link" } else { "no ordinary file" };
            return Err(self.replaced(&format!("{what} was put in its place")));
        }
        self.has_one_name(&found)?;
        let main = Node::of(&found);
        // Through links that were there at the beginning.
        if self.said != self.file && !fs::metadata(&self.said).is_ok_and(|said| Node::of(&said).is(&main)) {
            return Err(self.replaced("its path leads elsewhere now"));
        }
        if main.length == 0 {
            return Err(self.replaced("it has been emptied"));
        }
        let beside = |path: &Path| fs::symlink_metadata(path).ok().map(|file| Node::of(&file));
        let (changed, wal, shm) = (found.modified().ok(), beside(&self.wal), beside(&self.shm));
        Ok(Seen { main, changed, wal, shm, moved, end })
    }

    /// Whether the file has one name.
    ///
    /// # Errors
    /// In a sentence: that it has several, and not for a moment only.
    fn has_one_name(&self, found: &Metadata) -> Result<(), String> {
        let linked = names::of_links(&self.said, found);
        let mut known = self.known.lock();
        match linked {
            None => known.linked = None,
            Some(why) if known.linked.get_or_insert_with(Instant::now).elapsed() > LINKED => {
                return Err(format!("{why}. Nothing is taken until then"));
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// The difference to what is open, also in what the log holds.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub(crate) fn compare(&self) -> Result<(Difference, Seen), String> {
        // Before the look: another task may settle meanwhile.
        let (before, files) = {
            let known = self.known.lock();
            (known.open.end, known.files.clone())
        };
        let (difference, now) = self.compare_files(files.as_ref())?;
        if difference.is_of_sqlite()
            && let Some((files, wal)) = files.zip(now.wal)
            && let Some(how) = wal::damage(before, now.end, wal.length, &files)
        {
            return Ok((Difference::Log(how), now));
        }
        Ok((difference, now))
    }

    fn compare_files(&self, files: Option<&Files>) -> Result<(Difference, Seen), String> {
        let now = self.look_with(files)?;
        let known = self.known.lock();
        let difference = known.open.compare(&now);
        if matches!(difference, Difference::Cut | Difference::Written)
            && known.open.is_written_since(&now)
            && let Some(how) =
                known.files.as_ref().and_then(|files| known.content.overwritten(known.open.moved, files))
        {
            return Ok((Difference::Overwritten(how), now));
        }
        Ok((difference, now))
    }

    /// What is open.
    pub(crate) fn open(&self) -> Seen {
        self.known.lock().open
    }

    /// What is at the path is what is open.
    pub(crate) fn settle(&self, open: Seen) {
        let mut known = self.known.lock();
        let before = std::mem::replace(&mut known.open, open);
        known.looked = Instant::now();
        let name = |node: Option<Node>| node.map(|node| node.name());
        if known.files.is_none()
            || [Some(before.main), before.shm, before.wal].map(name)
                != [Some(open.main), open.shm, open.wal].map(name)
        {
            let index = open.shm.map(|shm| (self.shm.as_path(), shm.name()));
            let log = open.wal.map(|wal| (self.wal.as_path(), wal.name()));
            known.files = index.and_then(|index| Files::of((&self.file, open.main.name()), index, log));
            // Not known when it was looked at.
            (known.open.moved, known.open.end) = (None, None);
            known.content = Content::default();
        } else if known.content.is_partial() || before.moved != open.moved || before.is_written_since(&open) {
            known.content =
                known.files.as_ref().map(|files| Content::of(open.moved, files)).unwrap_or_default();
        }
    }

    /// Whether a look was taken just now.
    pub(crate) fn is_fresh(&self) -> bool {
        self.known.lock().looked.elapsed() < FRESH
    }

    /// For readers: whether what was read is of the file at the path.
    ///
    /// # Errors
    /// Of class `Backend`.
    pub(crate) fn check(&self) -> Result<(), Cause> {
        self.readable()?;
        let files = self.known.lock().files.clone();
        match self.compare_files(files.as_ref()) {
            Ok((difference, _)) if difference.is_of_sqlite() => Ok(()),
            Ok((Difference::Beside, _)) => Err(cause(self.beside())),
            Ok((Difference::Overwritten(how), _)) => Err(cause(self.overwritten(how))),
            Ok(_) => Err(cause(self.another())),
            Err(why) => Err(cause(why)),
        }
    }

    /// What is known to be wrong.
    ///
    /// # Errors
    /// Of class `Backend`.
    pub(crate) fn usable(&self) -> Result<(), Cause> {
        match &*self.trouble.borrow() {
            None => Ok(()),
            Some(why) => Err(cause(why.clone())),
        }
    }

    /// The same for queries.
    ///
    /// # Errors
    /// Of class `Backend`.
    pub(crate) fn readable(&self) -> Result<(), Cause> {
        self.usable()?;
        if self.closed.load(Ordering::Acquire) {
            return Err(cause(format!("the database {} is being opened again", self.said.display())));
        }
        Ok(())
    }

    /// No query begins while this is so.
    pub(crate) fn close(&self, closed: bool) {
        self.closed.store(closed, Ordering::Release);
    }

    /// Told on every change.
    pub(crate) fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    /// What else is wrong. Told on every change.
    pub(crate) fn concerns(&self) -> watch::Receiver<Concerns> {
        self.concerns.subscribe()
    }

    /// Changes them, if this says that they are changed.
    pub(crate) fn with_concerns(&self, change: impl FnOnce(&mut Concerns) -> bool) {
        self.concerns.send_if_modified(change);
    }

    /// The index of the log.
    pub(crate) fn index(&self) -> &Path {
        &self.shm
    }

    /// How many bytes of the log are not moved into the file yet, as far as that is known.
    pub(crate) fn backlog(&self) -> Option<u64> {
        let files = self.known.lock().files.clone();
        files.as_ref().and_then(content::backlog)
    }

    /// Nothing is read or written from now on. Said when it begins, and when it becomes something else.
    pub(crate) fn raise(&self, why: &str) -> Cause {
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
    pub(crate) fn clear(&self) {
        if self.trouble.send_if_modified(|trouble| trouble.take().is_some()) {
            tracing::info!("the database {} is the right file again", self.said.display());
        }
    }
}

fn cause(why: String) -> Cause {
    Cause::new(Code::DATABASE, why)
}

#[cfg(all(test, unix))]
mod tests;
