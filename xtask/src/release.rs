//! `cargo xtask release --dry-run`: what must be so before a release, each with what to do about it.

use std::process::{Command, ExitCode};

use serde_json::Value;

use crate::failure::Failure;
use crate::package::{self, Package};
use crate::paths::Paths;
use crate::run::cargo;

/// What a registry shows of each package.
const SHOWN: [&str; 7] =
    ["description", "license", "readme", "repository", "rust_version", "keywords", "categories"];

/// The files that each package has a copy of.
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// What was looked at: what is wrong with it, if anything is.
struct Findings(Vec<(&'static str, Vec<String>)>);

/// Goes through the list. Publishing is left to whoever releases, in the order that is printed.
pub(crate) fn run(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    if args != ["--dry-run"] {
        return Err(Failure::usage("`release` publishes nothing: it takes --dry-run, and prints what to do"));
    }
    let packages = package::all(paths)?;
    let mut findings = Findings(vec![
        ("nothing is left to commit", uncommitted(paths)?),
        ("one version", versions(&packages)),
        ("what a registry shows is there", packages.iter().flat_map(described).collect()),
        ("licence files", licences(paths, &packages)?),
        ("changelogs are dated", changelogs(&packages)?),
    ]);
    let own = std::env::current_exe().map_err(|e| Failure::io("find xtask", &e))?;
    for (what, words) in [
        ("the public API is the listed one", &["public-api", "--check"][..]),
        ("the packages hold what they need, and build a program", &["test", "--only", "package"]),
    ] {
        let ended = Command::new(&own).args(words).status().map_err(|e| Failure::io("run xtask", &e))?;
        let said = (!ended.success()).then(|| format!("`cargo xtask {}` fails", words.join(" ")));
        findings.0.push((what, said.into_iter().collect()));
    }
    findings.0.push(("the oldest Rust that is promised builds it", oldest_rust(paths, &packages)?));
    findings.print();
    let missing = findings.0.iter().filter(|(_, wrong)| !wrong.is_empty()).count();
    if missing > 0 {
        return Err(Failure::new(format!("{missing} of {} points are open", findings.0.len())));
    }
    println!("\nThen, one after the other, each when the one before is on the registry:");
    packages.iter().for_each(|package| println!("  cargo publish --locked --package {}", package.name));
    Ok(ExitCode::SUCCESS)
}

impl Findings {
    fn print(&self) {
        println!();
        for (what, wrong) in &self.0 {
            println!("{} {what}", if wrong.is_empty() { "ok  " } else { "OPEN" });
            wrong.iter().for_each(|line| println!("       {line}"));
        }
    }
}

fn uncommitted(paths: &Paths) -> Result<Vec<String>, Failure> {
    let mut command = Command::new("git");
    command.current_dir(paths.root()).args(["status", "--porcelain"]);
    let output = command.output().map_err(|e| Failure::io("run git", &e))?;
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// All packages have the same version, and ask for that of each other.
fn versions(packages: &[Package]) -> Vec<String> {
    let Some(first) = packages.first() else { return vec!["there is no package".to_owned()] };
    let mut wrong = Vec::new();
    for package in packages {
        if package.version != first.version {
            wrong.push(format!(
                "{} is {}, {} is {}",
                package.name, package.version, first.name, first.version
            ));
        }
        for dependency in package.described["dependencies"].as_array().into_iter().flatten() {
            let name = dependency["name"].as_str().unwrap_or_default();
            let asked = dependency["req"].as_str().unwrap_or_default();
            let ours = packages.iter().any(|other| other.name == name) && dependency["kind"].is_null();
            if ours && asked != format!("^{}", first.version) {
                wrong.push(format!("{} asks for {name} {asked}", package.name));
            }
        }
    }
    wrong
}

fn described(package: &Package) -> Vec<String> {
    let is_empty = |value: &Value| match value {
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        _ => true,
    };
    let missing = SHOWN.iter().filter(|field| is_empty(&package.described[**field]));
    let mut wrong: Vec<String> = missing.map(|field| format!("{}: no {field}", package.name)).collect();
    if package.described["metadata"]["docs"]["rs"].is_null() {
        wrong.push(format!("{}: nothing is said to docs.rs", package.name));
    }
    wrong
}

fn licences(paths: &Paths, packages: &[Package]) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    for file in LICENCES {
        let root =
            std::fs::read(paths.root().join(file)).map_err(|e| Failure::io(format!("read {file}"), &e))?;
        for package in packages {
            let own = package.folder.join(file);
            if std::fs::read(&own).ok().as_ref() != Some(&root) {
                wrong.push(format!("{} is not a copy of that of the repository", own.display()));
            }
        }
    }
    Ok(wrong)
}

/// Each has a part with this version and a day.
fn changelogs(packages: &[Package]) -> Result<Vec<String>, Failure> {
    let mut wrong = Vec::new();
    for package in packages {
        let file = package.folder.join("CHANGELOG.md");
        let text = std::fs::read_to_string(&file);
        let text = text.map_err(|e| Failure::io(format!("read {}", file.display()), &e))?;
        if let Some(why) = undated(&text, &package.version) {
            wrong.push(format!("{}: {why}", file.display()));
        }
    }
    Ok(wrong)
}

fn undated(changelog: &str, version: &str) -> Option<String> {
    let heading = format!("## {version} - ");
    let dated = changelog.lines().filter_map(|line| line.strip_prefix(heading.as_str())).any(is_day);
    if !dated {
        return Some(format!("no heading `{heading}YYYY-MM-DD`"));
    }
    let unreleased = changelog.split("## Unreleased").nth(1)?;
    let rest = unreleased.split("\n## ").next().unwrap_or_default();
    (!rest.trim().is_empty()).then(|| "something is still under `Unreleased`".to_owned())
}

fn is_day(text: &str) -> bool {
    let parts: Vec<&str> = text.trim().split('-').collect();
    let digits = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
    matches!(parts[..], [year, month, day] if digits(year, 4) && digits(month, 2) && digits(day, 2))
}

fn oldest_rust(paths: &Paths, packages: &[Package]) -> Result<Vec<String>, Failure> {
    let promised = packages.first().and_then(|package| package.described["rust_version"].as_str());
    let promised = promised.unwrap_or_default();
    let toolchains = Command::new("rustup").args(["toolchain", "list"]).output();
    let toolchains = toolchains.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let here = toolchains.unwrap_or_default();
    if !here.lines().any(|line| line.starts_with(promised)) {
        return Ok(vec![format!("`rustup toolchain install {promised} --profile minimal`, and try again")]);
    }
    let mut command = cargo(paths);
    command.env("RUSTUP_TOOLCHAIN", promised).args(["check", "--locked", "--workspace", "--all-features"]);
    let ended = command.status().map_err(|e| Failure::io("run cargo", &e))?;
    Ok((!ended.success()).then(|| format!("Rust {promised} does not build it")).into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changelog_is_ready_when_its_version_has_a_day_and_nothing_is_unreleased() {
        let ready = "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2026-11-28\n\n- a\n";
        assert_eq!(undated(ready, "0.2.0"), None);
        assert!(undated(ready, "0.3.0").is_some());
        assert!(undated("## 0.2.0 - soon\n", "0.2.0").is_some());
        let open = ready.replace("## Unreleased\n", "## Unreleased\n\n- b\n");
        assert!(undated(&open, "0.2.0").expect("open").contains("Unreleased"));
        assert_eq!(undated("## 0.2.0 - 2026-11-28\n", "0.2.0"), None);
    }

    #[test]
    fn every_package_has_the_licences_of_the_repository_and_is_described() {
        let paths = Paths::find().expect("the workspace");
        let packages = package::all(&paths).expect("packages");
        assert!(packages.len() >= 4);
        assert_eq!(licences(&paths, &packages).expect("read"), Vec::<String>::new());
        assert_eq!(versions(&packages), Vec::<String>::new());
        let wrong: Vec<String> = packages.iter().flat_map(described).collect();
        let wrong: Vec<_> = wrong.iter().filter(|line| !line.ends_with("no repository")).collect();
        assert!(wrong.is_empty(), "{wrong:?}");
        let order: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
        assert_eq!(order[..2], ["eitherway-layers", "eitherway"]);
    }
}
