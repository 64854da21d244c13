//! Finds a working nats-server, or fetches one.

pub(crate) mod fetch;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::failure::Failure;
use crate::paths::Paths;

/// The environment variable that names the nats-server, for xtask and for the tests.
pub(crate) const VARIABLE: &str = "NATS_SERVER_BIN";

/// The program's file name.
const PROGRAM: &str = "nats-server";

/// The oldest supported version.
const OLDEST: (u32, u32) = (2, 9);

/// `cargo xtask nats-server`: prints the path.
pub(crate) fn print(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let path = match args {
        [] => find_or_fetch(paths)?,
        [debian] if debian == "--debian" => oldest(paths)?,
        [.., arg] => {
            return Err(Failure::usage(format!("`nats-server` takes --debian and nothing else, not {arg}")));
        }
    };
    println!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}

/// The absolute path of the oldest supported nats-server: Debian's.
pub(crate) fn oldest(paths: &Paths) -> Result<PathBuf, Failure> {
    fetch::oldest(&paths.tools())
}

/// The version that a nats-server reports.
pub(crate) fn shown_version(path: &Path) -> String {
    let output = Command::new(path).arg("--version").stdin(Stdio::null()).output();
    output.map_or_else(|e| e.to_string(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The absolute path of a nats-server that has been tried.
pub(crate) fn find_or_fetch(paths: &Paths) -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) {
        return named_by_variable(&named);
    }
    let tool = paths.tools().join("bin").join(PROGRAM);
    let search = std::env::var_os("PATH").unwrap_or_default();
    for candidate in in_path(&search, OsStr::new(PROGRAM)).into_iter().chain([tool]) {
        if !candidate.is_file() {
            continue;
        }
        match tried(&candidate) {
            Ok(path) => return Ok(path),
            Err(reason) => eprintln!("xtask: passing over {}: {reason}", candidate.display()),
        }
    }
    fetch::fetch(&paths.tools())
}

/// Accepts or refuses the server that the user names; there is no alternative to it.
fn named_by_variable(named: &OsStr) -> Result<PathBuf, Failure> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let bare = Path::new(named).components().count() == 1 && !Path::new(named).is_file();
    let path = if bare { in_path(&search, named).into_iter().next() } else { None };
    let path = path.unwrap_or_else(|| PathBuf::from(named));
    tried(&path).map_err(|reason| {
        let shown = path.display();
        Failure::new(format!(
            "{VARIABLE} names {shown}, but {reason}; set it to a nats-server of version {}.{} or later, or unset it",
            OLDEST.0, OLDEST.1
        ))
    })
}

/// Every file of that name in a search path, in order, with absolute paths.
pub(crate) fn in_path(search: &OsStr, name: &OsStr) -> Vec<PathBuf> {
    std::env::split_paths(search)
        .filter(|dir| !dir.as_os_str().is_empty())
        .filter_map(|dir| std::path::absolute(dir.join(name)).ok())
        .filter(|file| file.is_file())
        .collect()
}

/// Runs the program with `--version`. Returns its absolute path, or why it cannot be used.
fn tried(path: &Path) -> Result<PathBuf, String> {
    let path = std::path::absolute(path).map_err(|e| e.to_string())?;
    let output = Command::new(&path).arg("--version").stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("it does not start ({e})"))?;
    if !output.status.success() {
        return Err(format!("`{PROGRAM} --version` fails ({})", output.status));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    match version(&text) {
        None => Err(format!(
            "it does not answer as a nats-server would ({:?})",
            text.lines().next().unwrap_or("")
        )),
        Some(found) if found < OLDEST => Err(format!("its version {}.{} is too old", found.0, found.1)),
        Some(_) => Ok(path),
    }
}

/// Parses major and minor version from `nats-server: v2.15.1`.
fn version(text: &str) -> Option<(u32, u32)> {
    let (_, number) = text.split_once("nats-server: v")?;
    let mut parts = number.trim().split(['.', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(version("nats-server: v2.9.10"), Some((2, 9)));
        assert_eq!(version("nats-server: v2.12-rc.1"), Some((2, 12)));
        assert_eq!(version("redis-server v=7"), None);
        assert!(version("nats-server: v2.8.4") < Some(OLDEST));
    }

    #[test]
    fn a_program_that_is_not_there_is_refused_with_advice() {
        let failure = named_by_variable(OsStr::new("./no/such/nats-server")).expect_err("not there");
        let text = failure.to_string();
        assert!(text.contains(VARIABLE) && text.contains("unset it"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn the_search_path_is_searched_in_order() {
        let search = OsStr::new("/no/such/directory::/bin");
        assert_eq!(in_path(search, OsStr::new("sh")), [PathBuf::from("/bin/sh")]);
    }
}
