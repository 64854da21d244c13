//! The command line: arguments, configuration, telemetry, and one file per command.

mod addresses;
mod advice;
mod args;
mod asyncapi;
mod backup;
mod bot;
mod causes;
mod command;
mod command_line;
mod config;
mod confirm;
mod console;
mod database_options;
mod databases;
mod dead;
mod demo;
mod direct;
mod doctor;
mod effective;
mod environment;
mod exit;
mod files;
mod human;
mod known;
mod listen;
mod log;
mod logfile;
#[cfg(unix)]
mod memory;
mod namespaces;
mod number;
#[cfg(test)]
mod options_page;
mod outbox;
mod path_stats;
mod paths;
mod people;
mod query;
mod reachable;
mod reload;
mod resolved;
mod restore;
mod retention;
mod rooms;
mod secrets;
mod send;
mod serve;
mod settings;
mod shown;
mod signals;
mod supervisor;
mod timeline;
mod top;
mod traces;
mod up;
mod usage;
mod values;
mod verify;

use std::process::ExitCode;

use command::{Cli, Command};
use command_line::CommandLine;
use eitherway::hints::{self, Hints};
use exit::{Exit, Failure};
use resolved::{Resolved, Unresolved};
use traces::Traces;

/// What the messages of the framework call our commands and options.
const HINTS: Hints = Hints {
    dead_letters: "`rosey dead list`",
    outbox: "`rosey outbox`",
    verify: "`rosey verify`",
    restore: "`rosey restore`",
    migrate: "`rosey serve` or `rosey up`",
    program: "rosey",
    option: |name| format!("--{name}"),
};

/// Runs the command line of this process, and says how it ended.
pub fn main() -> ExitCode {
    let code = ended();
    match console::unwritten() {
        None => code,
        Some(why) => {
            let failed =
                Failure::new(Exit::Failed, format!("the results could not be written to stdout: {why}"));
            let failed = failed.report();
            if code == ExitCode::SUCCESS { failed } else { code }
        }
    }
}

fn ended() -> ExitCode {
    hints::set(HINTS);
    let command_line = CommandLine::of_process();
    let name = command_line.command().unwrap_or_default();
    console::speak(command_line.want_json(), command_line.want_json_log().unwrap_or_default());
    #[cfg(unix)]
    if matches!(name, "serve" | "up") {
        memory::give_back();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return Failure::new(Exit::Failed, format!("no runtime: {e}")).report(),
    };
    // Before anything is read: a signal that comes meanwhile must not end what is to stay.
    let caught = matches!(name, "serve" | "up" | "bot").then(|| signals::Caught::new(&runtime));
    let configured = resolved::configured(&command_line);
    // What is asked about is resolved once more, as another command.
    let asked = (name == "config").then(|| configured.clone());
    let result = match (Resolved::of(&command_line, configured), asked) {
        (Err(Unresolved::Line { .. } | Unresolved::Values { .. }), Some(asked)) => {
            effective::show(&command_line, asked)
        }
        (Err(unresolved), _) => return unresolved.report(),
        (Ok(resolved), asked) => {
            let Resolved { cli, source, settings } = resolved;
            console::speak_as(&cli.global, matches!(cli.command, Command::Demo(_)));
            reload::remember(&source, settings);
            let traces = Traces::begin(cli.command.traces(), runtime.handle());
            traces.and_then(|traces| {
                log::start(&cli.global, cli.command.log(), &traces)?;
                traces.started();
                causes::of_panics();
                if let Some(file) = &source.file {
                    tracing::debug!(file = %file.display(), "configuration");
                }
                if let Some(caught) = caught {
                    caught.stay(&runtime);
                }
                match asked {
                    Some(asked) => effective::show(&command_line, asked),
                    None => {
                        let result = runtime.block_on(run(cli));
                        traces.finish();
                        result
                    }
                }
            })
        }
    };
    // Blocking reads of stdin cannot be cancelled: they must not hold up the end.
    runtime.shutdown_background();
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

async fn run(cli: Cli) -> Result<Exit, Failure> {
    let global = cli.global;
    if let Some(nats) = cli.command.lasting_nats() {
        doctor::warn_of_keys(nats);
    }
    match cli.command.in_its_namespace() {
        Command::Up(args) => up::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Bot(args) => bot::run(args).await,
        Command::Send(args) => send::run(&global, args).await,
        Command::Stats(args) => query::stats(&global, args).await,
        Command::Recent(args) => query::recent(&global, args).await,
        Command::Seen(args) => people::seen(&global, args).await,
        Command::Leaderboard(args) => people::leaderboard(&global, args).await,
        Command::Quote(args) => people::quote(&global, args).await,
        Command::Inbox(args) => people::inbox(&global, args).await,
        Command::Tell(args) => people::tell(&global, args).await,
        Command::Forget(args) => people::forget(&global, args).await,
        Command::Outbox(args) => outbox::run(&global, args).await,
        Command::Verify(args) => verify::run(&global, args).await,
        Command::Doctor(args) => doctor::run(&global, args).await,
        Command::Backup(args) => backup::run(&global, args).await,
        Command::Restore(args) => restore::run(&global, args).await,
        Command::Dead(args) => dead::run(&global, args).await,
        Command::Top(args) => top::run(&global, args).await,
        Command::Demo(args) => demo::run(&global, args).await,
        // Shown before, of the configuration as it was read.
        Command::Config(_) => Ok(Exit::Ok),
        Command::Asyncapi { namespace } => {
            let document = asyncapi::document(&namespace.unwrap_or_default());
            if global.json {
                console::print_json(&document);
            } else {
                console::print(format!("{document:#}"));
            }
            Ok(Exit::Ok)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::usual(), "rosey", &mut script);
            let script = String::from_utf8_lossy(&script);
            if global.json {
                console::print_json(&serde_json::json!({"shell": shell.to_string(), "script": script}));
            } else {
                console::print(script.trim_end());
            }
            Ok(Exit::Ok)
        }
    }
}
