//! Files that commands write: who may read them.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Who may read and write a new file, unless something else is said: its owner.
pub(super) const PRIVATE: u32 = 0o600;

/// An empty file to write to: a new one with this mode, whatever the umask says, or the one that is there, which keeps its
/// mode.
pub(super) fn begin(path: &Path, mode: u32) -> io::Result<File> {
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
