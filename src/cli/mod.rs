//! The command line: arguments, configuration, telemetry, and one file per command.

mod advice;
mod args;
mod bot;
mod causes;
mod config;
mod confirm;
mod console;
mod dead;
mod demo;
mod environment;
mod exit;
mod keep;
mod logfile;
#[cfg(unix)]
mod memory;
mod outbox;
mod paths;
mod query;
mod reload;
mod secrets;
mod send;
mod serve;
mod settings;
mod shown;
mod signals;
mod tally;
mod timeline;
mod up;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use args::{Cli, Command};
use clap::FromArgMatches;
use clap::error::ErrorKind;
use config::Source;
use exit::{Exit, Failure};
use settings::Setting;

/// What the command line, the environment and the configuration file say together.
struct Resolved {
    cli: Cli,
    source: Source,
    settings: Vec<Setting>,
}

/// Why they say nothing.
enum Unresolved {
    /// The command line is wrong, or asks for help.
    Line { error: clap::Error, json: bool },
    /// The configuration file is wrong.
    File(Failure),
}

impl Resolved {
    fn new(words: impl IntoIterator<Item = OsString>) -> Result<Self, Unresolved> {
        let command = environment::respected(Cli::usual());
        let (mut command, source) = config::apply(command).map_err(Unresolved::File)?;
        command.build();
        // The file may ask for JSON: then what is wrong with the command line is said so, too.
        let json = source.wants_json();
        let line = |error| Unresolved::Line { error, json };
        let matches = command.clone().try_get_matches_from(words).map_err(line)?;
        let settings = settings::in_force(&command, &matches, &source);
        let cli = Cli::from_arg_matches(&matches).map_err(line)?;
        Ok(Self { cli, source, settings })
    }
}

impl Unresolved {
    fn into_failure(self) -> Failure {
        match self {
            Self::Line { error, .. } => Failure::new(Exit::Usage, sentence(&error)),
            Self::File(failure) => failure,
        }
    }

    fn report(self, json: bool) -> ExitCode {
        match self {
            // Asked for: help, version.
            Self::Line { error, .. } if !error.use_stderr() => {
                let _ = error.print();
                ExitCode::SUCCESS
            }
            Self::Line { error, json: false } if !json => {
                let text = error.render().to_string();
                let shown = secrets::redact(&text);
                if shown == text {
                    let _ = error.print();
                } else {
                    console::raw_stderr(shown.as_bytes());
                }
                Exit::Usage.into()
            }
            unresolved => {
                if matches!(unresolved, Self::Line { json: true, .. }) {
                    console::speak(true, console::logs_json());
                }
                unresolved.into_failure().report()
            }
        }
    }
}

/// What is wrong with a command line, without the usage that follows.
fn sentence(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command or an argument is missing; see --help".to_owned();
    }
    let text = error.render().to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or_default();
    let text = text.split("\n\nFor more information").next().unwrap_or_default();
    text.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether failures are to be JSON, and the log: as far as that can be told of a command line that is wrong.
fn wishes() -> (bool, bool) {
    let words: Vec<OsString> = std::env::args_os().skip(1).take_while(|word| word != "--").collect();
    let says = |pair: [&str; 2]| {
        words.windows(2).any(|two| two[0] == pair[0] && two[1] == pair[1])
            || words.iter().any(|word| *word == *pair.join("="))
    };
    let json = words.iter().any(|word| word == "--json") || environment::flag("ROSEY_JSON");
    let of_variable = environment::text("ROSEY_LOG_FORMAT").is_some_and(|format| format == "json");
    let log = says(["--log-format", "json"]) || (of_variable && !says(["--log-format", "text"]));
    (json, log)
}

/// Runs the command line of this process, and says how it ended.
pub fn main() -> ExitCode {
    let (json, log) = wishes();
    console::speak(json, log);
    let resolved = match Resolved::new(std::env::args_os()) {
        Ok(resolved) => resolved,
        Err(unresolved) => return unresolved.report(json || log),
    };
    let Resolved { cli, source, settings } = resolved;
    console::speak_as(&cli.global, matches!(cli.command, Command::Demo(_)));
    #[cfg(unix)]
    if matches!(cli.command, Command::Serve(_) | Command::Up(_)) {
        memory::give_back();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return Failure::new(Exit::Failed, format!("no runtime: {e}")).report(),
    };
    if cli.command.stays() {
        reload::remember(settings);
        let _within = runtime.enter();
        signals::stay();
    }
    let result = logfile::start(&cli.global, cli.command.log()).and_then(|()| {
        causes::of_panics();
        if let Some(file) = &source.file {
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
        Command::Config(args) => settings::show(&global, args),
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
