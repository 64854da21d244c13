//! The content of a database's file: whether what was written to it came out of its log.
//!
//! While a database is in use, only SQLite's checkpoints write to its file: they move pages out of the log, and count in the
//! index of the log (`-shm`) how far they have come. A file that was written to while that stands still was overwritten by
//! another program. The layout of the index is part of SQLite's file format, <https://www.sqlite.org/walformat.html>.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::sync::Arc;

/// Up to this many pages are looked at: all of a small file. Of a larger one the first page always counts, which changes
/// whenever the file grows.
const LOOKED_AT: u64 = 128;
const PAGE: u64 = 4096;
/// What every file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// Where the header counts the changes.
const COUNTER: usize = 24;

/// The header of the index, twice, and how far the checkpoints have come.
const INDEX: usize = 136;
pub(super) type Index = [u8; INDEX];

/// A path, and the node (device and inode) that it named.
type Named<'a> = (&'a Path, (u64, u64));

/// The files of one database, open for looking at their bytes.
#[derive(Clone, Debug)]
pub(super) struct Files {
    main: Arc<File>,
    index: Arc<File>,
    log: Option<Arc<File>>,
}

impl Files {
    /// The files at these paths, if they are those of the nodes.
    pub(super) fn of(main: Named<'_>, index: Named<'_>, log: Option<Named<'_>>) -> Option<Self> {
        let [main, index] = [keep::file(main.0, main.1)?, keep::file(index.0, index.1)?];
        Some(Self { main, index, log: log.and_then(|log| keep::file(log.0, log.1)) })
    }

    /// The first bytes of the index.
    pub(super) fn index(&self) -> Option<Index> {
        let mut bytes = [0; INDEX];
        keep::read(&self.index, &mut bytes, 0).map(|()| bytes)
    }

    fn moved(&self) -> Option<Moved> {
        self.index().as_ref().map(Moved::of)
    }

    pub(super) fn log(&self) -> Option<&File> {
        self.log.as_deref()
    }
}

/// Whether the file keeps a rollback journal, as no file of ours does. Such a file gets a log only after it has been taken over: one
/// that is refused stays as it is, to the byte.
pub(crate) fn keeps_journal(path: &Path) -> bool {
    // https://www.sqlite.org/fileformat.html: the versions of the format for writing and for reading, 2 for a log
    header(path).is_some_and(|header| header.starts_with(MAGIC) && header[18..20] != [2, 2])
}

/// How far the checkpoints have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moved {
    /// Changes when the log begins anew.
    salt: [u8; 8],
    frames: [u8; 4],
    attempted: [u8; 4],
}

impl Moved {
    pub(super) fn of(bytes: &Index) -> Self {
        let (mut salt, mut frames, mut attempted) = ([0; 8], [0; 4], [0; 4]);
        salt.copy_from_slice(&bytes[32..40]);
        frames.copy_from_slice(&bytes[96..100]);
        attempted.copy_from_slice(&bytes[128..132]);
        Self { salt, frames, attempted }
    }

    /// A checkpoint runs, or one was broken off.
    fn is_under_way(&self) -> bool {
        self.frames != self.attempted
    }
}

/// How many bytes of the log no checkpoint has moved yet.
pub(super) fn backlog(files: &Files) -> Option<u64> {
    let mut bytes = [0; 100];
    keep::read(&files.index, &mut bytes, 0)?;
    let number = |at: usize| bytes[at..at + 4].try_into().map_or(0, u32::from_ne_bytes);
    let page = match u16::from_ne_bytes([bytes[14], bytes[15]]) {
        1 => 65_536,
        page => u64::from(page),
    };
    let (frames, moved) = (number(16), number(96));
    Some(u64::from(frames.saturating_sub(moved)) * page)
}

/// The content at one moment, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Content {
    counter: Option<u32>,
    /// Of the pages; none if a checkpoint may have run meanwhile.
    print: Option<u64>,
}

impl Content {
    /// The content of a file that was looked at when the checkpoints had come this far.
    pub(super) fn of(moved: Option<Moved>, files: &Files) -> Self {
        let counter = counter(&files.main);
        let still = moved.is_some_and(|moved| !moved.is_under_way());
        let print = if still { print_of(&files.main).filter(|_| files.moved() == moved) } else { None };
        Self { counter, print }
    }

    /// Whether it is worth while to look again.
    pub(super) const fn is_partial(&self) -> bool {
        self.print.is_none()
    }

    /// What another program has done to the file since then, in words; nothing, if SQLite has written what is new, or may
    /// have. `moved`: how far the checkpoints had come then.
    pub(super) fn overwritten(&self, moved: Option<Moved>, files: &Files) -> Option<&'static str> {
        let Some(counter) = counter(&files.main) else { return Some("it is no SQLite database any more") };
        // Of two numbers that go round, the later one.
        if self.counter.is_some_and(|before| counter.wrapping_sub(before) > u32::MAX / 2) {
            return Some("what is there now is older");
        }
        // One that is put back, or was only touched, is the same.
        let print = self.print?;
        let still = || moved.is_some_and(|moved| !moved.is_under_way()) && files.moved() == moved;
        let differs = still() && print_of(&files.main) != Some(print) && still();
        differs.then_some("what is there now is not what was written to it")
    }
}

/// What a file begins with. It may be open in this process already, and stays open.
pub(super) fn header(path: &Path) -> Option<[u8; 20]> {
    let (file, mut header) = (keep::at(path)?, [0; 20]);
    keep::read(&file, &mut header, 0)?;
    Some(header)
}

fn counter(main: &File) -> Option<u32> {
    let mut header = [0; 100];
    keep::read(main, &mut header, 0)?;
    let bytes = header[COUNTER..COUNTER + 4].try_into().ok()?;
    header.starts_with(MAGIC).then(|| u32::from_be_bytes(bytes))
}

fn print_of(main: &File) -> Option<u64> {
    let length = main.metadata().ok()?.len();
    let pages = length.div_ceil(PAGE);
    let looked_at = pages.min(LOOKED_AT);
    let mut print = DefaultHasher::new();
    print.write_u64(length);
    let mut bytes = vec![0; 4096];
    for number in 0..looked_at {
        let at = number * pages / looked_at * PAGE;
        let wanted = usize::try_from((length - at).min(PAGE)).ok()?;
        keep::read(main, &mut bytes[..wanted], at)?;
        print.write(&bytes[..wanted]);
    }
    Some(print.finish())
}

/// Files that are never closed while they have a name: to close one would give up the locks that SQLite has on it in this
/// process.
#[cfg(unix)]
pub(super) mod keep {
    use std::collections::HashMap;
    use std::collections::hash_map::Entry;
    use std::fs::File;
    use std::os::unix::fs::{FileExt, MetadataExt};
    use std::path::Path;
    use std::sync::{Arc, LazyLock};

    use parking_lot::Mutex;

    type Node = (u64, u64);

    static OPEN: LazyLock<Mutex<HashMap<Node, Arc<File>>>> = LazyLock::new(Mutex::default);

    pub(super) fn file(path: &Path, node: Node) -> Option<Arc<File>> {
        let mut open = OPEN.lock();
        open.retain(|kept, file| {
            let gone = *kept != node && file.metadata().is_ok_and(|file| file.nlink() == 0);
            !gone || Arc::strong_count(file) > 1
        });
        if let Some(file) = open.get(&node) {
            return Some(Arc::clone(file));
        }
        let file = Arc::new(File::open(path).ok()?);
        // Whatever it is: from now on it stays open.
        let found = file.metadata().map_or(node, |file| (file.dev(), file.ino()));
        match open.entry(found) {
            Entry::Vacant(place) => {
                place.insert(Arc::clone(&file));
            }
            Entry::Occupied(_) => std::mem::forget(Arc::clone(&file)),
        }
        (found == node).then_some(file)
    }

    /// What is at the path now.
    pub(super) fn at(path: &Path) -> Option<Arc<File>> {
        let found = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
        file(path, (found.dev(), found.ino()))
    }

    pub(crate) fn read(file: &File, bytes: &mut [u8], at: u64) -> Option<()> {
        file.read_exact_at(bytes, at).ok()
    }
}

/// Elsewhere a file that is open cannot be overwritten by another program.
#[cfg(not(unix))]
pub(super) mod keep {
    use std::fs::File;
    use std::path::Path;
    use std::sync::Arc;

    pub(super) fn file(_: &Path, _: (u64, u64)) -> Option<Arc<File>> {
        None
    }

    pub(super) fn at(path: &Path) -> Option<Arc<File>> {
        File::open(path).ok().map(Arc::new)
    }

    pub(crate) fn read(mut file: &File, bytes: &mut [u8], at: u64) -> Option<()> {
        use std::io::{Read, Seek, SeekFrom};
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(bytes)).ok()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use sqlx::Connection;

    #[tokio::test]
    async fn a_file_that_is_open_keeps_its_locks_when_it_is_looked_at() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("db");
        let mut connection = crate::sqlite::connect::new(&path).await;
        sqlx::raw_sql("CREATE TABLE t (n)").execute(&mut connection).await.expect("created");
        let inode = std::fs::metadata(&path).expect("there").ino();
        let locks = || {
            let all = std::fs::read_to_string("/proc/locks").expect("locks");
            all.lines().filter(|line| line.contains(&format!(":{inode} "))).count()
        };
        assert!(locks() > 0, "a connection with an open log holds a lock on the file");
        assert!(!super::keeps_journal(&path));
        assert!(locks() > 0, "another process would take itself for the last one, and delete the log");
        connection.close().await.expect("closed");
    }
}
