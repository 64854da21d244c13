//! The names of a database's file. SQLite keeps what is new in a log beside the name by which the file was opened: what is
//! written under one name is not seen under another, and is lost.

use std::fs::Metadata;
use std::io;
use std::path::Path;

/// How many hard links there are to a file, where the system tells it.
#[cfg(unix)]
fn links(file: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::nlink(file)
}

#[cfg(not(unix))]
fn links(_: &Metadata) -> u64 {
    1
}

/// What is wrong with a file that has several hard links, and what to do; nothing, if it has one.
pub(crate) fn of_links(path: &Path, file: &Metadata) -> Option<String> {
    let links = links(file);
    let path = path.display();
    (links > 1).then(|| {
        format!(
            "{path} has {links} hard links: SQLite keeps a log (-wal) beside each name of a file, and what is written under \
             one name would be lost under the other. Remove the other names (`find / -xdev -samefile {path}` lists them); \
             for a backup, copy the file instead of linking it"
        )
    })
}

/// Refuses a file that has another name, or may have one. Symbolic links on the way to it are none: SQLite follows them.
///
/// # Errors
/// `InvalidInput`, with a sentence that says what to do; or what the system says of the file.
pub(crate) fn check(path: &Path) -> io::Result<()> {
    let path = std::fs::canonicalize(path)?;
    let why = of_links(&path, &std::fs::symlink_metadata(&path)?).or_else(|| {
        is_mounted_alone(&path).then(|| {
            "it is a mount of this one file: SQLite keeps a log (-wal) beside the file, which is not there under its other \
             name. Mount the folder, not the file"
                .to_owned()
        })
    });
    why.map_or(Ok(()), |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why)))
}

#[cfg(target_os = "linux")]
fn is_mounted_alone(path: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    std::fs::read("/proc/self/mountinfo")
        .is_ok_and(|mounts| is_mount_point(&mounts, path.as_os_str().as_bytes()))
}

#[cfg(not(target_os = "linux"))]
fn is_mounted_alone(_: &Path) -> bool {
    false
}

/// Whether a list of mounts has this path: in the fifth field of a line, as proc(5) says.
#[cfg(target_os = "linux")]
fn is_mount_point(mounts: &[u8], path: &[u8]) -> bool {
    let points =
        mounts.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.map(unescaped).any(|point| point == path)
}

/// Spaces, tabs, newlines and backslashes are written as `\040`, in octal.
#[cfg(target_os = "linux")]
fn unescaped(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.first_chunk::<3>().and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()).filter(|_| *first == b'\\') {
            Some(byte) => {
                plain.push(byte);
                rest = &after[3..];
            }
            None => {
                plain.push(*first);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_mount_point_is_found_whatever_its_name_is() {
        let mounts = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            57 22 8:1 /data/shop.db /srv/a\\040b\\134c/shop.db rw,relatime shared:1 - ext4 /dev/sda1 rw\n";
        assert!(is_mount_point(mounts, b"/srv/a b\\c/shop.db"));
        assert!(!is_mount_point(mounts, b"/srv/a b\\c"));
        assert!(!is_mount_point(mounts, b"/data/shop.db"), "that is what is mounted there");
    }
}
