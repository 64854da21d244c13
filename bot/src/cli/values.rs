//! Values of options, read by the parsers of the options themselves: those that a configuration file or a variable gives are
//! checked like those of the command line.

use clap::builder::{OsStringValueParser, Resettable};
use clap::error::{ContextKind, ErrorKind};
use clap::{Arg, Command};

use super::args::yes_or_no;
use super::environment::says_yes;
use super::secrets;

/// As much of a value is repeated in an error, at most.
const MOST: usize = 60;

/// Whether an error may repeat the value: one of a file or of a variable may be a password that stands in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Yes,
    No,
}

/// The commands, free of what the environment says and of what a command cannot do without.
pub(super) struct Parsers(Command);

impl Parsers {
    pub(super) fn new(command: &Command) -> Self {
        Self(free(command.clone()))
    }

    /// What is wrong with a value of this option, if anything is. `command` is empty for an option of all commands.
    pub(super) fn refuse(&self, command: &str, option: &str, value: &str, shown: Shown) -> Option<String> {
        let within = self.0.find_subcommand(command).unwrap_or(&self.0);
        let is_meant = |arg: &&Arg| arg.get_long() == Some(option);
        let arg = within.get_arguments().find(is_meant).or_else(|| self.0.get_arguments().find(is_meant))?;
        if !arg.get_action().takes_values() {
            return yes_or_no(value).err().map(|why| format!("expected {why}"));
        }
        let mut words = vec![self.0.get_name().to_owned()];
        words.extend((!command.is_empty()).then(|| command.to_owned()));
        words.push(format!("--{option}={value}"));
        let error = self.0.clone().try_get_matches_from(words).err()?;
        // Of another option, or of the command as a whole: not of this value.
        let about = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
        let is_meant = option_named(&about).as_deref() == Some(option);
        is_meant.then(|| why(&error, option, value, shown)).flatten()
    }
}

fn free(command: Command) -> Command {
    let command = command
        .mut_args(|arg| arg.env(Resettable::Reset).required(false))
        .subcommand_required(false)
        .arg_required_else_help(false);
    command.mut_subcommands(free)
}

/// The commands as they take any value at all: what is wrong with one is found out afterwards.
pub(super) fn lenient(command: Command) -> Command {
    let command = command
        .mut_args(|arg| match arg.get_action().takes_values() {
            true => arg.value_parser(OsStringValueParser::new()).required(false),
            false if arg.get_env().is_some() => {
                arg.value_parser(|text: &str| Ok::<_, String>(says_yes(text)))
            }
            false => arg,
        })
        .subcommand_required(false)
        .arg_required_else_help(false);
    command.mut_subcommands(lenient)
}

/// The option in `--keep <LIST>`.
pub(super) fn option_named(about: &str) -> Option<String> {
    about.split_whitespace().find_map(|word| word.strip_prefix("--")).map(str::to_owned)
}

/// Why a value is refused, without a password that may be in it.
pub(super) fn why(error: &clap::Error, option: &str, value: &str, shown: Shown) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation | ErrorKind::InvalidUtf8)
    {
        return None;
    }
    let why = match (error.get(ContextKind::ValidValue), std::error::Error::source(error)) {
        (Some(values), _) if !values.to_string().is_empty() => format!("expected one of {values}"),
        (Some(_), _) => "give one, or leave the option out".to_owned(),
        (None, Some(why)) => why.to_string(),
        (None, None) => "this value cannot be read".to_owned(),
    };
    if value.trim().is_empty() {
        return Some(format!("the value is blank; {why}"));
    }
    let harmless = secrets::value(option, value) == value && !value.contains('@');
    let safe = shown == Shown::Yes && harmless && value.chars().count() <= MOST;
    Some(match (why.contains(value), safe) {
        (true, true) => why,
        (false, true) => format!("{why}, found {value:?}"),
        (_, false) => unquoted(&why, option, value),
    })
}

/// The sentence without the parts of the value that it quotes, unless these stand in an address where no secret does.
fn unquoted(why: &str, option: &str, value: &str) -> String {
    let shown = secrets::value(option, value);
    let is_harmless =
        |part: &str| value.contains("://") && part.chars().count() <= MOST && shown.contains(part);
    let mut text = why.replace(&format!("{value:?}"), "this value");
    for quote in ['"', '`'] {
        let parts: Vec<String> = text.split(quote).map(str::to_owned).collect();
        let mut shown = String::new();
        for (index, part) in parts.iter().enumerate() {
            // Every second part stands between two quotes.
            match index % 2 {
                1 if value.contains(part.as_str()) && !is_harmless(part) => shown.push_str("this value"),
                1 => shown.push_str(&format!("{quote}{part}{quote}")),
                _ => shown.push_str(part),
            }
        }
        text = shown;
    }
    text
}
