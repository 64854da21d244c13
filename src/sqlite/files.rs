//! Files that hold what was said in private, and what lies beside them: who may read them.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::hints::option;

/// Who may read and write a new file, unless something else is said: its owner.
pub(crate) const PRIVATE: u32 = 0o600;

/// Creates a file with this mode, whatever the umask says. Fails if there is one.
pub(crate) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    // From its first moment on: what is opened by others before the mode is set stays open.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    let file = options.open(path)?;
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    #[cfg(not(unix))]
    let _ = mode;
    Ok(file)
}

/// Creates an empty file if there is none; returns whether it did.
pub(crate) fn create(path: &Path, mode: u32) -> io::Result<bool> {
    match create_new(path, mode) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(false),
        created => created.map(|_| true),
    }
}

/// The file beside another one that is called like it, and then `end`.
pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.to_owned().into_os_string();
    name.push(end);
    PathBuf::from(name)
}

/// Whether a log lies beside a file that is empty or gone: SQLite would begin anew, and throw the log away.
///
/// # Errors
/// When one of them cannot be looked at, or is no ordinary file.
pub(crate) fn is_log_alone(path: &Path) -> io::Result<bool> {
    let bytes = |path: &Path| match fs::metadata(path) {
        // A pipe, for one, would be waited for without limit.
        Ok(file) if !file.is_file() => Err(io::Error::new(ErrorKind::InvalidInput, "it is no ordinary file")),
        Ok(file) => Ok(file.len()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error),
    };
    Ok(bytes(path)? == 0 && bytes(&beside(path, "-wal"))? > 0)
}

/// The file whose lock stands for `guarded`, which may not be there yet: a new one gets the mode of `guarded`, so that the
/// same users may take both, else this one.
pub(crate) fn lock(path: &Path, guarded: &Path, mode: u32) -> io::Result<File> {
    // Its owner must be able to take it, also of a file that may only be read.
    let mode = mode_of(guarded).unwrap_or(mode) | 0o600;
    match create_new(path, mode) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
        created => return created,
    }
    // A pipe, for one, would be waited for without limit.
    if !fs::metadata(path)?.is_file() {
        let why = format!("{} is no ordinary file; remove it", path.display());
        return Err(io::Error::new(ErrorKind::InvalidInput, why));
    }
    File::options().write(true).open(path)
}

/// The mode of a file; none where it cannot be told.
#[cfg(unix)]
pub(crate) fn mode_of(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).ok().map(|file| file.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
pub(crate) fn mode_of(_: &Path) -> Option<u32> {
    None
}

/// The user and the group of a file.
pub(crate) type Owners = (u32, u32);

/// Whose a file is; none where it cannot be told.
#[cfg(unix)]
pub(crate) fn owners_of(path: &Path) -> Option<Owners> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|file| (file.uid(), file.gid()))
}

#[cfg(not(unix))]
pub(crate) fn owners_of(_: &Path) -> Option<Owners> {
    None
}

/// Gives a file to this user and group: one that root has made is opened by another user.
///
/// # Errors
/// This process may not, and the file is as it was.
pub(crate) fn give(path: &Path, owners: Owners) -> io::Result<()> {
    #[cfg(unix)]
    if owners_of(path) != Some(owners) {
        std::os::unix::fs::chown(path, Some(owners.0), Some(owners.1))?;
    }
    #[cfg(not(unix))]
    let _ = (path, owners);
    Ok(())
}

/// Says that a file which was there before may be read by more users than a new one might.
pub(crate) fn warn_of_readers(path: &Path, mode: u32) {
    const OTHERS_READ: u32 = 0o044;
    if let Some(found) = mode_of(path).filter(|found| found & !mode & OTHERS_READ != 0) {
        let file = path.display();
        tracing::warn!(
            "{file} holds private messages, and other users may read it (its mode is {found:04o}): chmod {mode:04o} \
             {file}, or say {} if that is meant",
            option(&format!("file-mode {found:04o}"))
        );
    }
}

/// Takes the right to read and write from those that a new file would not give it to; returns the mode that it had, if that
/// was another one.
pub(crate) fn confine(path: &Path, mode: u32) -> Option<u32> {
    let found = mode_of(path).filter(|found| found & !mode != 0)?;
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(found & mode)).ok()?;
    Some(found)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_lock_belongs_to_the_users_of_what_it_guards_and_is_an_ordinary_file() {
        let place = tempfile::tempdir().expect("a folder");
        let [guarded, beside, folder] = ["db", "db.lock", "folder"].map(|name| place.path().join(name));
        lock(&beside, &guarded, PRIVATE).expect("a lock");
        assert_eq!(mode_of(&beside), Some(PRIVATE), "before there is anything to guard");
        fs::remove_file(&beside).expect("removed");
        create_new(&guarded, 0o660).expect("a file");
        lock(&beside, &guarded, PRIVATE).expect("a lock");
        assert_eq!(mode_of(&beside), Some(0o660));
        fs::create_dir(&folder).expect("a folder");
        assert!(lock(&folder, &guarded, PRIVATE).is_err());
    }
}
