//! The command line: arguments, configuration, telemetry, and one file per command.

mod args;
mod bot;
mod causes;
mod config;
mod console;
mod dead;
mod demo;
mod exit;
mod keep;
#[cfg(unix)]
mod memory;
mod outbox;
mod paths;
mod query;
mod send;
mod serve;
mod signals;
mod tally;
mod timeline;
mod up;
mod verify;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::{CommandFactory, FromArgMatches};
use exit::{Exit, Failure};

/// Runs the command line of this process, and says how it ended.
pub fn main() -> ExitCode {
    let (command, file) = match config::apply(Cli::command()) {
        Ok(applied) => applied,
        Err(failure) => return failure.report(),
    };
    let matches = command.get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => e.exit(),
    };
    #[cfg(unix)]
    if matches!(cli.command, Command::Serve(_) | Command::Up(_)) {
        memory::give_back();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return Failure::new(Exit::Failed, format!("no runtime: {e}")).report(),
    };
    let result = console::logs(&cli.global, cli.command.log()).and_then(|()| {
        causes::of_panics();
        if let Some(file) = &file {
            tracing::debug!(file = %file.display(), "configuration");
        }
        runtime.block_on(run(cli))
    });
    // Blocking reads of stdin cannot be cancelled: they must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    let global = cli.global;
    match cli.command {
        Command::Up(args) => up::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Bot(args) => bot::run(args).await,
        Command::Send(args) => send::run(&global, args).await,
        Command::Stats(args) => query::stats(&global, args).await,
        Command::Recent(args) => query::recent(&global, args).await,
        Command::Tell(args) => query::tell(&global, args).await,
        Command::Outbox(args) => outbox::run(&global, args).await,
        Command::Verify(args) => verify::run(&global, args).await,
        Command::Dead(args) => dead::run(&global, args).await,
        Command::Demo(args) => demo::run(&global, args).await,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "rosey", &mut script);
            console::print(String::from_utf8_lossy(&script).trim_end());
            Ok(Exit::Ok)
        }
    }
}
