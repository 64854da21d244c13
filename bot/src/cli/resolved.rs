//! What the command line, the environment and the configuration file say together, and what is wrong with it.

use std::process::ExitCode;

use clap::FromArgMatches;

use super::command::Cli;
use super::command_line::CommandLine;
use super::config::{self, Source};
use super::exit::{Exit, Failure};
use super::settings::{self, Setting};
use super::{console, environment, known, usage};

/// A command with its options, and where they came from.
pub(super) struct Resolved {
    pub(super) cli: Cli,
    pub(super) source: Source,
    pub(super) settings: Vec<Setting>,
}

/// Why there is none.
pub(super) enum Unresolved {
    /// Help or version was asked for.
    Asked(clap::Error),
    /// The command line is wrong in a way that clap explains, with the usage.
    Line { error: clap::Error, sentence: String, forms: Forms },
    /// A value of an option is wrong, or the configuration file is.
    Values { problems: Vec<String>, forms: Forms },
}

/// Whether failures, and the log, are JSON.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forms {
    pub(super) results: bool,
    pub(super) log: bool,
}

/// The commands with the file's lines as their defaults, and what the file says.
#[derive(Clone)]
pub(super) struct Configured {
    pub(super) command: clap::Command,
    pub(super) source: Source,
}

/// Reads the configuration file.
pub(super) fn configured(words: &CommandLine) -> Configured {
    known::learn_all(words.all());
    let (command, source) = config::apply(environment::respected(Cli::usual()), words);
    Configured { command, source }
}

impl Forms {
    pub(super) fn new(words: &CommandLine, source: &Source) -> Self {
        let command = words.command().unwrap_or_default();
        Self {
            results: words.want_json() || source.wants_json(command),
            log: words.want_json_log().unwrap_or_else(|| source.wants_json_log(command)),
        }
    }
}

impl Resolved {
    pub(super) fn new(words: &CommandLine) -> Result<Self, Unresolved> {
        Self::of(words, configured(words))
    }

    /// The same of a configuration that has been read: a named pipe gives what it holds only once.
    pub(super) fn of(words: &CommandLine, configured: Configured) -> Result<Self, Unresolved> {
        let Configured { mut command, source } = configured;
        command.build();
        let forms = Forms::new(words, &source);
        let program = std::env::args_os().take(1);
        let parsed = command.clone().try_get_matches_from(program.chain(words.all().map(Into::into)));
        let line = |error: clap::Error| Unresolved::Line {
            sentence: usage::sentence(&error, &command, words, &source),
            error,
            forms,
        };
        let mut problems = source.problems.clone();
        let matches = match parsed {
            Err(error) if !error.use_stderr() => return Err(Unresolved::Asked(error)),
            Err(error) => match usage::of_a_value(&error, &command, words, &source) {
                Some(sentence) => {
                    problems.push(sentence);
                    return Err(Unresolved::Values { problems, forms });
                }
                None if problems.is_empty() => return Err(line(error)),
                None => return Err(Unresolved::Values { problems, forms }),
            },
            Ok(matches) => matches,
        };
        let settings = settings::in_force(&command, &matches, &source);
        problems.extend(settings.iter().filter_map(Setting::blank));
        if !problems.is_empty() {
            return Err(Unresolved::Values { problems, forms });
        }
        let cli = Cli::from_arg_matches(&matches).map_err(line)?;
        Ok(Self { cli, source, settings })
    }
}

impl Unresolved {
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Asked(_) => Failure::new(Exit::Usage, "help was asked for"),
            Self::Line { sentence, .. } => Failure::new(Exit::Usage, sentence),
            Self::Values { problems, .. } => failure(&problems),
        }
    }

    pub(super) fn report(self) -> ExitCode {
        match self {
            Self::Asked(error) => {
                usage::print(&error);
                ExitCode::SUCCESS
            }
            Self::Line { error, forms: Forms { results: false, log: false }, .. } => {
                usage::print(&error);
                Exit::Usage.into()
            }
            Self::Line { forms, .. } | Self::Values { forms, .. } => {
                console::speak(forms.results, forms.log);
                self.into_failure().report()
            }
        }
    }
}

/// What is wrong with options and file, as one failure.
pub(super) fn failure(problems: &[String]) -> Failure {
    match problems {
        [one] => Failure::new(Exit::Usage, one.as_str()),
        all => {
            let listed: String = all.iter().map(|problem| format!("\n  {problem}")).collect();
            Failure::new(Exit::Usage, format!("{} settings are wrong:{listed}", all.len()))
        }
    }
}
