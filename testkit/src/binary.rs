//! Where nats-server is found.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The environment variable that names the program.
const VARIABLE: &str = "NATS_SERVER_BIN";
const PROGRAM: &str = "nats-server";

/// There is no nats-server.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoServer {
    /// The variable names something else.
    #[error(
        "NATS_SERVER_BIN names {}, which is not a file; set it to the path of a nats-server (2.9 or later), or unset it",
        .0.display()
    )]
    Named(PathBuf),
    /// Neither the variable nor `PATH` nor the target directory leads to one.
    #[error(
        "there is no nats-server: install version 2.9 or later so that it is in PATH, or set NATS_SERVER_BIN to its path \
         (in the repository of eitherway, `cargo xtask test` fetches one)"
    )]
    Nowhere,
}

/// The nats-server that tests use: the one that `NATS_SERVER_BIN` names, else the one in `PATH`, else `tools/bin/nats-server`
/// in the Cargo target directory of the running test.
///
/// # Errors
/// There is none; the text says what to do.
pub fn nats_server() -> Result<PathBuf, NoServer> {
    let own = std::env::current_exe().unwrap_or_default();
    find(std::env::var_os(VARIABLE), std::env::var_os("PATH"), &own)
}

fn find(named: Option<OsString>, path: Option<OsString>, own: &Path) -> Result<PathBuf, NoServer> {
    if let Some(named) = named.filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        return if named.is_file() { Ok(named) } else { Err(NoServer::Named(named)) };
    }
    let in_path = path.iter().flat_map(std::env::split_paths).map(|dir| dir.join(PROGRAM));
    // `target/debug/deps/…`, or deeper where a target triple is named.
    let in_target = own.ancestors().skip(1).take(5).map(|dir| dir.join("tools/bin").join(PROGRAM));
    in_path.chain(in_target).find(|program| program.is_file()).ok_or(NoServer::Nowhere)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Creates an empty file and the directories above it.
    fn file(dir: &Path, name: &str) -> PathBuf {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "").unwrap();
        path
    }

    #[test]
    fn the_variable_comes_before_the_path_and_the_path_before_the_target_directory() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("target/debug/deps/it-0123");
        let path = || Some(dir.path().join("usr").into_os_string());
        assert!(matches!(find(None, path(), &own), Err(NoServer::Nowhere)));
        let fetched = file(dir.path(), "target/tools/bin/nats-server");
        assert_eq!(find(None, path(), &own).unwrap(), fetched);
        let installed = file(dir.path(), "usr/nats-server");
        assert_eq!(find(Some("".into()), path(), &own).unwrap(), installed);
        let named = file(dir.path(), "named");
        assert_eq!(find(Some(named.clone().into()), path(), &own).unwrap(), named);
    }

    #[test]
    fn a_variable_that_names_no_file_is_an_error_that_says_what_to_do() {
        let error = find(Some("/nonexistent/nats".into()), None, Path::new("/")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/nats") && error.contains("unset it"), "{error}");
    }
}
