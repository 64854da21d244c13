//! Passwords that stand in files: whether anyone else may read them, and what is said when one is wrong.

use std::env;
use std::path::{Path, PathBuf};

/// Whether others than the owner may read a file. A file that is not there is read by none.
pub(super) fn is_open(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    false
}

/// The file of passwords, as libpq finds it.
fn passfile() -> Option<PathBuf> {
    match env::var_os("PGPASSFILE") {
        Some(path) => Some(path.into()),
        None => env::var_os("HOME").map(|home| Path::new(&home).join(".pgpass")),
    }
}

/// What to do about a password that is wrong, or missing.
pub(super) fn advice() -> String {
    let wrong = "; the role or its password is wrong";
    let Some(path) = passfile() else { return format!("{wrong}, or it is nowhere") };
    let file = path.display();
    if is_open(&path) {
        return format!("{wrong}. {file} is not read, because others may read it as well: chmod 600 {file}");
    }
    if path.exists() {
        return format!(
            "{wrong}; no line of {file} (PGPASSFILE) with that is for this host, port, database and role, perhaps"
        );
    }
    format!(
        "{wrong}: a password may also stand in the file that PGPASSFILE names ({file}, which is not there)"
    )
}
