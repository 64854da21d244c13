//! `cargo xtask`: set-up, tests, demo and benches of the project, in one command each.
//!
//! It has hardly a dependency, because it is the first program that is compiled on every machine.

#![allow(clippy::print_stdout, reason = "a command line program talks on stdout")]

mod bench;
mod book;
mod browser;
mod check;
mod dashboard;
mod debian;
mod deploy;
mod failure;
mod help;
#[cfg(test)]
mod imports;
mod irc;
mod launch;
#[cfg(test)]
mod links;
mod package;
mod paths;
mod postgres;
mod public_api;
mod ratios;
mod release;
mod run;
mod server;

use std::process::ExitCode;

use failure::Failure;
use paths::Paths;

fn main() -> ExitCode {
    let args: Vec<String> = match std::env::args_os().skip(1).map(|arg| arg.into_string()).collect() {
        Ok(args) => args,
        Err(arg) => return Failure::usage(format!("the argument {arg:?} is not UTF-8")).report(),
    };
    match dispatch(&args) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

/// Passes the arguments to the subcommand they name.
fn dispatch(args: &[String]) -> Result<ExitCode, Failure> {
    let Some((command, rest)) = args.split_first() else {
        print!("{}", help::OVERVIEW);
        return Ok(ExitCode::from(2));
    };
    if matches!(command.as_str(), "help" | "--help" | "-h") {
        print!("{}", rest.first().and_then(|name| help::of(name)).unwrap_or(help::OVERVIEW));
        return Ok(ExitCode::SUCCESS);
    }
    let Some(help) = help::of(command) else {
        return Err(Failure::usage(format!("there is no command `{command}`")));
    };
    if wants_help(command, rest) {
        print!("{help}");
        return Ok(ExitCode::SUCCESS);
    }
    let paths = Paths::find()?;
    match command.as_str() {
        "test" => check::test(&paths, rest),
        "ci" => check::ci(&paths, rest),
        "demo" => launch::demo(&paths, rest),
        "bench" => bench::run(&paths, rest),
        "soak" => launch::soak(&paths, rest),
        "proof" => launch::proof(&paths, rest),
        "schedules" => launch::schedules(&paths, rest),
        "nats-server" => server::print(&paths, rest),
        "postgres" => postgres::print(&paths, rest),
        "irc" => irc::print(&paths, rest),
        "browser" => browser::print(&paths, rest),
        "screenshots" => browser::screenshots(&paths, rest),
        "book" => book::build(&paths, rest),
        "release" => release::run(&paths, rest),
        "dashboard" => dashboard::write(&paths, rest),
        _ => public_api::list(&paths, rest),
    }
}

/// Whether `--help` is meant for xtask. After `--`, and for `demo` always, it belongs to the program that is
/// started.
fn wants_help(command: &str, rest: &[String]) -> bool {
    let mut own = rest.iter().take_while(|arg| *arg != "--");
    command != "demo" && own.any(|arg| arg == "--help" || arg == "-h")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn help_before_the_dashes_is_ours() {
        assert!(wants_help("test", &words("--help")));
        assert!(!wants_help("test", &words("-- --help")));
        assert!(!wants_help("demo", &words("--help")));
    }

    #[test]
    fn an_unknown_command_is_a_usage_error() {
        let failure = dispatch(&words("tset")).expect_err("not a command");
        assert_eq!(failure.code(), 2);
    }
}
