//! Files that commands write: who may read them.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Who may read and write a new file, unless something else is said: its owner.
pub(super) const PRIVATE: u32 = 0o600;

/// An empty file to write to: a new one with this mode, whatever the umask says, or the one that is there, which keeps its
/// mode. A pipe is one if it has a reader.
pub(super) fn begin(path: &Path, mode: u32) -> io::Result<File> {
    #[cfg(unix)]
    if let Some(pipe) = pipe(path)? {
        return Ok(pipe);
    }
    let mut options = File::options();
    options.write(true).create_new(true);
    // From its first moment on: what is opened by others before the mode is set stays open.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    match options.open(path) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => {
            File::options().write(true).truncate(true).open(path)
        }
        created => {
            let file = created?;
            #[cfg(unix)]
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
            #[cfg(not(unix))]
            let _ = mode;
            Ok(file)
        }
    }
}

/// The pipe that is there, if one is. To open one without a reader would wait without limit.
#[cfg(unix)]
fn pipe(path: &Path) -> io::Result<Option<File>> {
    use std::os::unix::fs::FileTypeExt;

    if !std::fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo()) {
        return Ok(None);
    }
    let opened = tokio::net::unix::pipe::OpenOptions::new().open_sender(path).map_err(|e| {
        // ENXIO, which has no kind.
        if e.raw_os_error() == Some(6) { io::Error::other("it is a pipe that no program reads") } else { e }
    })?;
    opened.into_blocking_fd().map(|pipe| Some(File::from(pipe)))
}
