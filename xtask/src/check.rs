//! `cargo xtask test` and `cargo xtask ci`.

use std::path::Path;
use std::process::ExitCode;

use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::{Steps, cargo};
use crate::{before, book, browser, deploy, irc, package, postgres, server};

/// The features of each package that must build alone.
const FEATURES: [(&str, &[&str]); 3] = [
    ("eitherway", &["nats", "sqlite", "postgres", "axum", "opentelemetry", "schemars"]),
    (
        "eitherway-layers",
        &[
            "balance",
            "breaker",
            "bulkhead",
            "chaos",
            "fallback",
            "hedge",
            "http-body",
            "log",
            "metrics",
            "stale",
            "timeout",
        ],
    ),
    ("rosey-bot", &["otlp"]),
];

/// The parts of `cargo xtask test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Tests,
    Features,
    PublicApi,
    Demo,
    /// Three nats-servers, three services, four bots and PostgreSQL: one test at a time, after the others.
    Cluster,
    /// Part of `ci`, but not of a plain `test`.
    Oldest,
    /// Likewise.
    OtherPostgres,
    /// Likewise: what operators copy, checked by the programs that read it.
    Deploy,
    /// Likewise: a program built from the packages alone.
    Package,
    Book,
    /// Likewise: services and bots of before beside those of now.
    Upgrade,
}

/// What the names of the tests that use PostgreSQL have in common.
const WITH_POSTGRES: &str = "postgres";

/// The modules of tests that use what differs between versions of nats-server.
const WITH_A_SERVER: [&str; 10] = [
    "nats::",
    "stream::",
    "durable::",
    "handover::",
    "notices::",
    "outages::",
    "schedules::",
    "hostile::",
    "golden::",
    "demo::",
];

/// The plan that the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    parts: Vec<Part>,
    cargo_test: Vec<String>,
}

impl Plan {
    /// All parts of `test`.
    fn full() -> Self {
        Self { parts: vec![Part::Tests, Part::Features, Part::PublicApi, Part::Demo], cargo_test: Vec::new() }
    }

    /// All parts that must pass before a change lands.
    fn ci() -> Self {
        let mut plan = Self::full();
        let more =
            [Part::Oldest, Part::OtherPostgres, Part::Deploy, Part::Package, Part::Book, Part::Upgrade];
        plan.parts.extend(more);
        plan
    }

    /// Parses the arguments of `cargo xtask test`.
    fn parse(args: &[String]) -> Result<Self, Failure> {
        let mut parts = Vec::new();
        let mut cargo_test = Vec::new();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--only" => parts.push(match args.next().map(String::as_str) {
                    Some("tests") => Part::Tests,
                    Some("features") => Part::Features,
                    Some("public-api") => Part::PublicApi,
                    Some("demo") => Part::Demo,
                    Some("cluster") => Part::Cluster,
                    Some("oldest") => Part::Oldest,
                    Some("other-postgres") => Part::OtherPostgres,
                    Some("deploy") => Part::Deploy,
                    Some("package") => Part::Package,
                    Some("book") => Part::Book,
                    Some("upgrade") => Part::Upgrade,
                    _ => {
                        let parts = "--only wants tests, features, public-api, demo, cluster, oldest, other-postgres, \
                                     deploy, package, book or upgrade";
                        return Err(Failure::usage(parts));
                    }
                }),
                "--" => cargo_test.extend(args.by_ref().cloned()),
                option if option.starts_with('-') => {
                    let hint = format!("`test` has no option {option}; for `cargo test`, put it after `--`");
                    return Err(Failure::usage(hint));
                }
                filter => cargo_test.push(filter.to_owned()),
            }
        }
        match (parts.is_empty(), cargo_test.is_empty()) {
            (true, true) => Ok(Self::full()),
            (true, false) => Ok(Self { parts: vec![Part::Tests], cargo_test }),
            _ => Ok(Self { parts, cargo_test }),
        }
    }
}

/// Tests, features and the short demo, or the parts that are asked for.
pub(crate) fn test(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let plan = Plan::parse(args)?;
    let mut steps = Steps::default();
    add_tests(paths, &plan, &mut steps)?;
    steps.finish().map(|()| ExitCode::SUCCESS)
}

/// Format check, clippy, then everything `test` does, and the other versions of the servers.
pub(crate) fn ci(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    if let Some(arg) = args.first() {
        return Err(Failure::usage(format!("`ci` takes no arguments, not even {arg}")));
    }
    let mut steps = Steps::default();
    let mut format = cargo(paths);
    format.args(["fmt", "--all", "--check"]);
    steps.run("format", format, "`cargo fmt --all` puts it right");
    let mut clippy = cargo(paths);
    clippy.args(["clippy", "--workspace", "--all-targets", "--all-features", "--", "-D", "warnings"]);
    steps.run("clippy", clippy, "every warning above has to go");
    add_tests(paths, &Plan::ci(), &mut steps)?;
    steps.finish().map(|()| ExitCode::SUCCESS)
}

/// Runs the parts of the plan.
fn add_tests(paths: &Paths, plan: &Plan, steps: &mut Steps) -> Result<(), Failure> {
    let needs_server = plan
        .parts
        .iter()
        .any(|part| matches!(part, Part::Tests | Part::Demo | Part::Cluster | Part::Upgrade));
    let server = if needs_server { Some(server::find_or_fetch(paths)?) } else { None };
    for part in &plan.parts {
        match (part, &server) {
            (Part::Tests, Some(server)) => {
                let mut command = cargo(paths);
                command.args(["test", "--workspace", "--all-features"]).args(&plan.cargo_test);
                command.env(server::VARIABLE, server);
                command.env(postgres::VARIABLE, postgres::find_or_fetch(paths)?);
                command
                    .envs(irc::for_tests(paths))
                    .envs(browser::for_tests(paths))
                    .envs(deploy::for_tests(paths));
                steps.run("tests", command, "the first failing test is named above");
            }
            (Part::Demo, Some(server)) => {
                let mut command = cargo(paths);
                command.args(["run", "--package", "rosey-bot", "--bin", "rosey", "--"]);
                command.args(["demo", "--fast", "--nats-server"]).arg(server);
                steps.run("demo", command, "its last lines above say which count does not match");
            }
            (Part::Oldest, _) => {
                let mut command = cargo(paths);
                command.args(["test", "--all-features", "--test", "it"]);
                if plan.cargo_test.is_empty() {
                    command.arg("--").args(WITH_A_SERVER).args(["--skip", WITH_POSTGRES]);
                } else {
                    command.args(&plan.cargo_test);
                }
                let server = server::oldest(paths)?;
                eprintln!("xtask: the oldest server at hand: {}", server::shown_version(&server));
                command.env(server::VARIABLE, server).envs(irc::for_tests(paths));
                steps.run(
                    "oldest server",
                    command,
                    "it passes with the usual server? then 2.9 lacks something",
                );
            }
            (Part::Cluster, Some(server)) => {
                let mut command = cargo(paths);
                command.args(["test", "--package", "rosey-bot", "--test", "it", "--"]);
                command.args(["--ignored", "cluster::", "--test-threads", "1"]);
                command.env(server::VARIABLE, server);
                command.env(postgres::VARIABLE, postgres::find_or_fetch(paths)?);
                steps.run(
                    "cluster",
                    command,
                    "its last lines name the seed and the count that does not match",
                );
            }
            (Part::PublicApi, _) => {
                let own = std::env::current_exe().map_err(|e| Failure::io("find xtask".to_owned(), &e))?;
                let mut command = std::process::Command::new(own);
                command.args(["public-api", "--check"]);
                steps.run("public API", command, "the lines above were added or removed");
            }
            (Part::OtherPostgres, _) => add_other_postgres(paths, plan, steps)?,
            (Part::Deploy, _) => deploy::add(paths, steps)?,
            (Part::Package, _) => package::add(paths, steps)?,
            (Part::Upgrade, Some(server)) => add_upgrade(paths, plan, server, steps)?,
            (Part::Book, _) => {
                if let Err(failure) = book::add(paths, steps) {
                    steps.does("book", || Err(failure));
                }
            }
            _ => add_features(paths, steps),
        }
    }
    Ok(())
}

/// The tests that run the program of before beside this one.
fn add_upgrade(paths: &Paths, plan: &Plan, server: &Path, steps: &mut Steps) -> Result<(), Failure> {
    let Some(before) = before::find_or_build(paths)? else { return Ok(()) };
    let mut command = cargo(paths);
    // As the other tests are built.
    command.args(["test", "--workspace", "--all-features", "--test", "it"]);
    command.args(["--", "--ignored", "--nocapture", "upgrade::"]);
    command.args(&plan.cargo_test);
    command.env(server::VARIABLE, server).env(before::VARIABLE, before);
    command.env(postgres::VARIABLE, postgres::find_or_fetch(paths)?);
    steps.run("upgrade", command, "its lines above name the count that does not match");
    Ok(())
}

/// The tests that use PostgreSQL, with a version that the others do not.
fn add_other_postgres(paths: &Paths, plan: &Plan, steps: &mut Steps) -> Result<(), Failure> {
    let Some(other) = postgres::other(paths)? else {
        eprintln!(
            "xtask: SKIPPED: PostgreSQL 15 is not here; Debian's package postgresql-15 is found by itself"
        );
        return Ok(());
    };
    eprintln!("xtask: the other PostgreSQL: {}", other.display());
    let mut command = cargo(paths);
    command.args(["test", "--all-features", "--test", "it"]);
    if plan.cargo_test.is_empty() {
        command.arg(WITH_POSTGRES);
    } else {
        command.args(&plan.cargo_test);
    }
    command.env(server::VARIABLE, server::find_or_fetch(paths)?).env(postgres::VARIABLE, other);
    steps.run("other PostgreSQL", command, "it passes with the usual PostgreSQL? then this version differs");
    Ok(())
}

/// Builds each package without features, and with each alone.
fn add_features(paths: &Paths, steps: &mut Steps) {
    for (package, features) in FEATURES {
        let check = || {
            let mut command = cargo(paths);
            command.args(["check", "--package", package, "--no-default-features"]);
            command
        };
        let name = format!("no features of {package}");
        steps.run(name, check(), "something uses a feature without saying so");
        for feature in features {
            let mut command = check();
            command.args(["--features", feature]);
            let advice = format!("something uses more than the feature {feature} without saying so");
            steps.run(format!("feature {feature} of {package}"), command, &advice);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn parse(text: &str) -> Result<Plan, Failure> {
        Plan::parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn nothing_said_means_everything() {
        assert_eq!(parse("").expect("valid"), Plan::full());
    }

    #[test]
    fn arguments_for_cargo_test_mean_only_the_tests() {
        let plan = parse("outage -- --test recovery -- --nocapture").expect("valid");
        assert_eq!(plan.parts, [Part::Tests]);
        assert_eq!(plan.cargo_test, ["outage", "--test", "recovery", "--", "--nocapture"]);
    }

    /// Files and folders of the repository that name commands.
    const NAMED_IN: [&str; 7] = [
        "README.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "docs",
        "deploy",
        ".github/workflows",
        "bot/tests/it",
    ];

    fn texts(place: &Path, into: &mut Vec<(PathBuf, String)>) {
        if let Ok(entries) = std::fs::read_dir(place) {
            entries.for_each(|entry| texts(&entry.expect("an entry").path(), into));
        } else if let Ok(text) = std::fs::read_to_string(place) {
            into.push((place.to_owned(), text));
        }
    }

    #[test]
    fn every_part_that_a_page_or_a_file_names_is_one() {
        let paths = Paths::find().expect("the workspace");
        let mut all = Vec::new();
        NAMED_IN.iter().for_each(|place| texts(&paths.root().join(place), &mut all));
        let mut looked = 0;
        for (file, text) in all {
            // Also over the end of a line, in comments as well.
            let words: Vec<&str> =
                text.split_whitespace().filter(|word| !["#", "//", "//!", "///"].contains(word)).collect();
            for part in words.windows(2).filter(|pair| pair[0] == "--only").map(|pair| pair[1]) {
                let part = part.trim_matches(|c: char| !c.is_ascii_lowercase());
                looked += 1;
                assert!(
                    part.is_empty() || parse(&format!("--only {part}")).is_ok(),
                    "{}: --only {part}",
                    file.display()
                );
            }
        }
        assert!(looked > 5, "{looked} parts");
        let jobs = std::fs::read_to_string(paths.root().join(".github/workflows/ci.yml")).expect("the jobs");
        let (_, parts) = jobs.split_once("part: [").expect("the parts of a job");
        for part in parts.split(']').next().unwrap_or_default().split(", ") {
            assert!(parse(&format!("--only {part}")).is_ok(), "{part} is no part");
        }
    }

    #[test]
    fn parts_can_be_chosen() {
        assert_eq!(parse("--only demo --only tests").expect("valid").parts, [Part::Demo, Part::Tests]);
        assert_eq!(parse("--only oldest").expect("valid").parts, [Part::Oldest]);
        assert_eq!(parse("--only other-postgres").expect("valid").parts, [Part::OtherPostgres]);
        assert!(parse("--only sleep").is_err());
        assert!(parse("--only").is_err());
        assert!(parse("--nocapture").is_err());
    }
}
