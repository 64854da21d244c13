//! Which other processes have a file open for writing, as far as this user may know.

use std::path::Path;

/// The largest number of processes that are named.
#[cfg(target_os = "linux")]
const NAMED: usize = 5;

/// The processes, each as its number and its name. Where the system does not tell, there are none.
#[cfg(target_os = "linux")]
pub(super) fn of(path: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;

    let (Ok(file), Ok(processes)) = (std::fs::metadata(path), std::fs::read_dir("/proc")) else {
        return Vec::new();
    };
    let own = std::process::id();
    let is_it = |opened: &Path| {
        std::fs::metadata(opened).is_ok_and(|m| (m.dev(), m.ino()) == (file.dev(), file.ino()))
    };
    let mut holders = Vec::new();
    for process in processes.flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(opened) = std::fs::read_dir(process.path().join("fd")) else { continue };
        let writes =
            opened.flatten().any(|fd| is_it(&fd.path()) && may_write(&process.path(), &fd.file_name()));
        if id != own && writes {
            holders.push(named(id));
        }
        if holders.len() == NAMED {
            break;
        }
    }
    holders
}

/// Whether a descriptor was opened for writing: one for reading does no harm.
#[cfg(target_os = "linux")]
fn may_write(process: &Path, fd: &std::ffi::OsStr) -> bool {
    let info = std::fs::read_to_string(process.join("fdinfo").join(fd)).unwrap_or_default();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
    // The last octal digit holds the way of access; 0 is for reading.
    flags
        .and_then(|flags| flags.trim().chars().last())
        .is_some_and(|last| matches!(last, '1' | '2' | '5' | '6'))
}

/// The processes that have a transaction open for reading, by the index of a log: each as its number and its name. SQLite's
/// readers hold a lock on one of five bytes, <https://www.sqlite.org/walformat.html>.
#[cfg(target_os = "linux")]
pub(super) fn of_readers(index: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;

    const FIRST: u64 = 123;
    const LAST: u64 = 127;
    let (Ok(file), Ok(locks)) = (std::fs::metadata(index), std::fs::read_to_string("/proc/locks")) else {
        return Vec::new();
    };
    // `7: POSIX  ADVISORY  READ 23181 fe:00:10079464 124 124`
    let reader = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let &[_, "POSIX", _, "READ", process, place, first, last] = words.as_slice() else { return None };
        let inode = place.rsplit(':').next()?.parse::<u64>().ok()?;
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        (inode == file.ino() && first <= LAST && last >= FIRST).then(|| process.parse::<u32>().ok())?
    };
    let readers: std::collections::BTreeSet<_> =
        locks.lines().filter_map(reader).filter(|id| *id > 0).collect();
    readers.into_iter().take(NAMED).map(named).collect()
}

#[cfg(target_os = "linux")]
fn named(process: u32) -> String {
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    format!("process {process} ({})", name.trim().escape_debug())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of_readers(_: &Path) -> Vec<String> {
    Vec::new()
}

/// The process that has the lock of a file, for the end of a sentence; empty where the system does not tell.
#[cfg(target_os = "linux")]
pub(super) fn of_lock(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;

    let (Ok(file), Ok(locks)) = (std::fs::metadata(path), std::fs::read_to_string("/proc/locks")) else {
        return String::new();
    };
    // `3: FLOCK  ADVISORY  WRITE 23181 fe:00:10079464 0 EOF`; one that waits has `->` behind its number.
    let holder = locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let &[_, "FLOCK", _, _, process, place, ..] = words.as_slice() else { return None };
        let inode = place.rsplit(':').next()?.parse::<u64>().ok()?;
        (inode == file.ino()).then(|| process.parse::<u32>().ok())?
    });
    let Some(process) = holder else { return String::new() };
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    format!(" (process {process}, {})", name.trim().escape_debug())
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of_lock(_: &Path) -> String {
    String::new()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn of(_: &Path) -> Vec<String> {
    Vec::new()
}
