//! The program of before, which the tests of an upgrade run beside this one: that of the newest release, or of an older commit as
//! long as there is none.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::{cargo, step};

/// Until there is a release: the last commit before the newest change of wire and schema (refusals in a form of the operation's own;
/// people who are forgotten).
const COMMIT: &str = "25ce31b0139f7de2abacfaf2d74e40ba03dd6412";

/// Another revision, instead of the newest release.
const REVISION: &str = "ROSEY_BEFORE";

/// Names the program to the tests. If it is set, that program is taken.
pub(crate) const VARIABLE: &str = "ROSEY_BEFORE_BIN";

/// The program, which is built unless it is there; none where the commit is not. Its dependencies are those of this workspace, as far
/// as their versions are the same.
pub(crate) fn find_or_build(paths: &Paths) -> Result<Option<PathBuf>, Failure> {
    if let Some(program) = std::env::var_os(VARIABLE) {
        return Ok(Some(program.into()));
    }
    let revision = match revision(paths) {
        // A clone without history, as many CI systems make it.
        Err(missing) if std::env::var_os(REVISION).is_none() => {
            eprintln!("xtask: SKIPPED: {missing}");
            return Ok(None);
        }
        revision => revision?,
    };
    let folder = paths.target().join("upgrade");
    let program = folder.join(format!("rosey-{revision}"));
    eprintln!("xtask: the program of before is that of {revision}");
    if program.is_file() {
        return Ok(Some(program));
    }
    let sources = folder.join(&revision);
    let failed = |e: std::io::Error| Failure::io(format!("make {}", sources.display()), &e);
    std::fs::create_dir_all(&sources).map_err(failed)?;
    unpack(paths, &revision, &sources)?;
    let mut build = cargo(paths);
    build.current_dir(&sources).env("CARGO_TARGET_DIR", paths.target());
    build.args(["build", "--locked", "--package", "rosey-bot", "--bin", "rosey"]);
    step(build, "the older commit does not build with this Rust, or its dependencies cannot be fetched")?;
    // Under another name: the next build of this workspace puts its own in that place.
    let built = paths.target().join("debug/rosey");
    let part = folder.join(format!("part-{}", std::process::id()));
    let copied = std::fs::copy(&built, &part).and_then(|_| std::fs::rename(&part, &program));
    copied.map_err(|e| Failure::io(format!("copy {}", built.display()), &e))?;
    let _ = std::fs::remove_dir_all(&sources);
    Ok(Some(program))
}

/// The commit of the newest release that is older than this commit.
fn revision(paths: &Paths) -> Result<String, Failure> {
    let named = std::env::var(REVISION).ok();
    let released = || {
        let tags =
            ["tag", "--list", "v[0-9]*", "--merged", "HEAD", "--no-contains", "HEAD", "--sort=-v:refname"];
        git(paths, &tags).map(|tags| tags.lines().next().map(str::to_owned))
    };
    let wanted = match named {
        Some(named) => named,
        None => released()?.unwrap_or_else(|| COMMIT.to_owned()),
    };
    resolved(paths, &wanted)
}

fn resolved(paths: &Paths, wanted: &str) -> Result<String, Failure> {
    let commit = format!("{wanted}^{{commit}}");
    git(paths, &["rev-parse", "--short=12", "--verify", "--quiet", &commit]).map_err(|why| {
        Failure::new(format!(
            "the commit {wanted} is not here: `git fetch --unshallow --tags` brings all of them ({why})"
        ))
    })
}

fn git(paths: &Paths, words: &[&str]) -> Result<String, Failure> {
    let output = Command::new("git").current_dir(paths.root()).args(words).output();
    let output = output.map_err(|e| Failure::io("run git", &e))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::new(format!("`git {}` failed: {}", words.join(" "), said.trim())));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The files of a commit, without anything that git would have to be told to forget later.
fn unpack(paths: &Paths, revision: &str, to: &std::path::Path) -> Result<(), Failure> {
    let failed = |e: std::io::Error| Failure::io("unpack the older commit", &e);
    let mut archive = Command::new("git");
    archive.current_dir(paths.root()).args(["archive", "--format=tar", revision]).stdout(Stdio::piped());
    let mut archive = archive.spawn().map_err(failed)?;
    let mut unpack = Command::new("tar");
    unpack.args(["-xf", "-", "-C"]).arg(to);
    unpack.stdin(archive.stdout.take().map_or_else(Stdio::null, Stdio::from));
    let unpacked = unpack.status().map_err(failed)?;
    let archived = archive.wait().map_err(failed)?;
    if archived.success() && unpacked.success() {
        return Ok(());
    }
    Err(Failure::new(format!("the files of {revision} cannot be unpacked")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_is_not_here_is_told_with_what_to_do() {
        let paths = Paths::find().expect("the workspace");
        let failure = resolved(&paths, &"0".repeat(40)).expect_err("there is none");
        assert!(failure.to_string().contains("git fetch"), "{failure}");
        assert_eq!(resolved(&paths, "HEAD").expect("there is one").len(), 12);
    }
}
