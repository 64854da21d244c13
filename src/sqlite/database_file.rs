//! The path of a database: whether it still names the file that is open.
//!
//! A file can be deleted, moved or replaced while it is open; what is written to it then is nowhere. SQLite keeps what is
//! new in a second file beside it (`-wal`), and how processes share it in a third (`-shm`): all three must be those that
//! were there when the database was opened. A look costs three calls of `stat`. The files themselves are never opened here:
//! to close one would give up SQLite's locks on it.

mod seen;
mod sentences;

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::watch;

use seen::Node;
pub(crate) use seen::{Difference, Seen};

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

/// Where a database is, and what is known of it.
#[derive(Debug)]
pub(crate) struct DatabaseFile {
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

impl DatabaseFile {
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
    pub(crate) fn adopt(&self, open: Seen) {
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
            Ok((Difference::Sidecars, _)) => Err(cause(self.beside())),
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
