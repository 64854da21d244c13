//! `cargo xtask demo`, `cargo xtask soak`, `cargo xtask proof` and `cargo xtask schedules`.

use std::process::ExitCode;

use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::{become_program, cargo, step};
use crate::server;
use crate::{irc, postgres};

/// Builds `rosey`, then becomes `rosey demo`.
pub(crate) fn demo(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let release = args.iter().any(|arg| arg == "--release");
    let args: Vec<&String> = args.iter().filter(|arg| *arg != "--release").collect();
    let package = ["--package", "rosey-bot", "--bin", "rosey"];
    let profile: &[&str] = if release { &["--release"] } else { &[] };

    let mut build = cargo(paths);
    build.arg("build").args(package).args(profile);
    step(build, "the compiler's message is above")?;

    let mut run = cargo(paths);
    run.args(["run", "--quiet"]).args(package).args(profile).args(["--", "demo"]);
    let given = |name: &str| args.iter().any(|arg| *arg == name || arg.starts_with(&format!("{name}=")));
    if !(given("--nats-server") || given("--no-nats") || given("--help") || given("-h")) {
        run.arg("--nats-server").arg(server::find_or_fetch(paths)?);
    }
    if given("--postgres") && !given("--postgres-bin") {
        run.env(postgres::VARIABLE, postgres::find_or_fetch(paths)?);
    }
    if given("--irc") && !given("--ngircd") {
        run.envs([irc::ngircd(paths)?]);
    }
    run.args(args);
    become_program(run, "is Rust installed as rustup.rs says?")
}

/// Runs the soak, which is a long test.
pub(crate) fn soak(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let minutes = minutes_of("soak", args)?;
    let mut command = cargo(paths);
    command.args(["test", "--package", "rosey-bot", "--test", "it"]);
    command.args(["--", "--ignored", "--nocapture", "soak::"]);
    command.env("ROSEY_MINUTES", minutes).env(server::VARIABLE, server::find_or_fetch(paths)?);
    eprintln!("→ {}", crate::run::shown(&command));
    become_program(command, "is Rust installed as rustup.rs says?")
}

/// Runs the proof on PostgreSQL for longer than the tests do.
pub(crate) fn proof(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let minutes = minutes_of("proof", args)?;
    let mut command = cargo(paths);
    command.args(["test", "--package", "eitherway", "--all-features", "--test", "it"]);
    command.args(["--", "--nocapture", "order_free::histories_end_the_same_on_postgresql"]);
    command.env("ROSEY_MINUTES", minutes).env(postgres::VARIABLE, postgres::find_or_fetch(paths)?);
    eprintln!("→ {}", crate::run::shown(&command));
    become_program(command, "is Rust installed as rustup.rs says?")
}

/// `--minutes N`; without it, ten.
fn minutes_of<'a>(command: &str, args: &'a [String]) -> Result<&'a str, Failure> {
    let minutes = match args {
        [] => Some("10"),
        [name, minutes] if name == "--minutes" => Some(minutes.as_str()),
        [one] => one.strip_prefix("--minutes="),
        _ => None,
    };
    minutes
        .filter(|minutes| minutes.parse().is_ok_and(|minutes: f64| minutes > 0.0))
        .ok_or_else(|| Failure::usage(format!("`{command}` takes `--minutes N`, a number above 0")))
}

/// Plays random schedules of faults, which is a test that takes its time.
pub(crate) fn schedules(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let [runs, seconds, seed] = schedules_of(args)?;
    let mut command = cargo(paths);
    command.args(["test", "--package", "rosey-bot", "--test", "it"]);
    command.args(["--", "--nocapture", "schedules::whatever_fails"]);
    command.env("ROSEY_SCHEDULES", runs).env("ROSEY_SECONDS", seconds).env("ROSEY_SEED", seed);
    command.env(server::VARIABLE, server::find_or_fetch(paths)?);
    eprintln!("→ {}", crate::run::shown(&command));
    become_program(command, "is Rust installed as rustup.rs says?")
}

/// How many runs, of how many seconds each, from which seed on.
fn schedules_of(args: &[String]) -> Result<[String; 3], Failure> {
    let mut found = ["25", "20", "1"].map(str::to_owned);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (arg.as_str(), args.next().map(String::as_str)),
        };
        let place = ["--runs", "--seconds", "--seed"].iter().position(|option| *option == name);
        match (place, value.filter(|value| value.parse().is_ok_and(|number: u32| number > 0))) {
            (Some(place), Some(value)) => value.clone_into(&mut found[place]),
            _ => {
                let hint = "`schedules` takes --runs, --seconds and --seed, each with a whole number above 0";
                return Err(Failure::usage(hint));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_long_run_of_schedules_is_the_default_and_each_number_can_be_said() {
        let of = |text: &str| schedules_of(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(of("").expect("valid"), ["25", "20", "1"]);
        assert_eq!(of("--seed 7 --runs=3 --seconds 5").expect("valid"), ["3", "5", "7"]);
        for wrong in ["--runs", "--runs 0", "--runs x", "7", "--minutes 3"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}
