//! Which other processes have a file open for writing, as far as this user may know.

use std::path::Path;

/// At the most so many are named.
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
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            holders.push(format!("process {id} ({})", name.trim().escape_debug()));
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
