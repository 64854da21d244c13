//! Who holds the lock of a SQLite file without letting go: others cannot write meanwhile, and SQLite does not say who it is.

use std::fs;
use std::path::Path;
use std::time::Duration;

use tokio::time;

use super::super::shown::clean;
use super::finding::Findings;

const NAME: &str = "database lock";

/// A transaction of ours is over long before.
const LOOKS: u32 = 20;
const APART: Duration = Duration::from_millis(100);

pub(super) async fn look(path: &Path, findings: &mut Findings) {
    let mut index = path.as_os_str().to_owned();
    index.push("-shm");
    let Some(first) = writer(Path::new(&index)) else { return };
    for _ in 1..LOOKS {
        time::sleep(APART).await;
        if writer(Path::new(&index)) != Some(first) {
            return;
        }
    }
    let name = fs::read_to_string(format!("/proc/{first}/comm")).unwrap_or_default();
    findings.warn(
        NAME,
        format!(
            "process {first} ({}) keeps the database from all who write, for {} s or more",
            clean(name.trim()),
            (APART * LOOKS).as_secs()
        ),
        "end its transaction, or the process",
    );
}

/// The process that writes to a database, by the index of its log: it has a lock on the byte 120,
/// <https://www.sqlite.org/walformat.html>. None where the system does not tell.
#[cfg(target_os = "linux")]
fn writer(index: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;

    const BYTE: u64 = 120;
    let inode = fs::metadata(index).ok()?.ino();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // `7: POSIX  ADVISORY  WRITE 23181 fe:00:10079464 120 120`
    locks.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let &[_, "POSIX", _, "WRITE", process, place, first, last] = words.as_slice() else { return None };
        let its = place.rsplit(':').next()?.parse::<u64>().ok()?;
        let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
        let process = process.parse::<u32>().ok().filter(|process| *process > 0)?;
        (its == inode && first <= BYTE && last >= BYTE).then_some(process)
    })
}

#[cfg(not(target_os = "linux"))]
fn writer(_: &Path) -> Option<u32> {
    None
}
