//! What is wrong with a command line, in words: for people with the usage that follows, for machines as a sentence. No secret
//! and no character that commands a terminal is repeated.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::command_line::CommandLine;
use super::config::Source;
use super::values::Shown;
use super::{console, known, secrets, shown, values};

/// The sentence, without the usage that follows.
pub(super) fn sentence(
    error: &clap::Error,
    command: &clap::Command,
    words: &CommandLine,
    source: &Source,
) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command or an argument is missing; see --help".to_owned();
    }
    if let Some(sentence) = of_a_value(error, command, words, source) {
        return sentence;
    }
    let text = error.render().to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or_default();
    let text = text.split("\n\nFor more information").next().unwrap_or_default();
    let words = text.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace(" tip: ", "; tip: ")
}

/// The sentence about a value that cannot be read, with the place where it was found.
pub(super) fn of_a_value(
    error: &clap::Error,
    command: &clap::Command,
    words: &CommandLine,
    source: &Source,
) -> Option<String> {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let about = text(ContextKind::InvalidArg)?;
    let value = text(ContextKind::InvalidValue).unwrap_or_default();
    let Some(option) = values::option_named(&about) else {
        return Some(format!("{about}: {}", values::why(error, "", &value, Shown::Yes)?));
    };
    let (origin, shown) = match origin(&option, command, words, source) {
        Some(origin) => (origin, Shown::No),
        None => (format!("--{option}"), Shown::Yes),
    };
    Some(format!("{origin}: {}", values::why(error, &option, &value, shown)?))
}

/// What gives the option its value: a variable, or a line of the file; nothing, if the command line does.
fn origin(option: &str, command: &clap::Command, words: &CommandLine, source: &Source) -> Option<String> {
    let name = words.command().unwrap_or_default();
    let within = command.find_subcommand(name).unwrap_or(command);
    let is_meant = |arg: &&clap::Arg| arg.get_long() == Some(option);
    let arg = within.get_arguments().find(is_meant).or_else(|| command.get_arguments().find(is_meant));
    let short = arg.and_then(clap::Arg::get_short).map(|short| format!("-{short}"));
    let is_short = |word: &std::ffi::OsStr| {
        short.as_ref().is_some_and(|short| word.as_encoded_bytes().starts_with(short.as_bytes()))
    };
    if words.has(&format!("--{option}")) || words.all().any(is_short) {
        return None;
    }
    let variable = arg.and_then(clap::Arg::get_env).filter(|name| std::env::var_os(name).is_some());
    match variable {
        Some(variable) => Some(variable.to_string_lossy().into_owned()),
        None => source.said(name, option).map(|said| format!("{}: {option}", said.from)),
    }
}

/// Prints what clap has to say for people: an error on stderr, help and version on stdout.
pub(super) fn print(error: &clap::Error) {
    let text = error.render().to_string();
    let clean = shown::lines(&text);
    // The addresses in the help are examples: values that may hold a password are left out of it beforehand.
    let clean = if error.use_stderr() { secrets::hide(&clean) } else { known::mask(clean) };
    if clean == text {
        // As it is, and coloured on a terminal.
        let printed = error.print();
        if !error.use_stderr() {
            console::written(printed);
        }
    } else if error.use_stderr() {
        console::raw_stderr(clean.as_bytes());
    } else {
        console::print_text(&clean);
    }
}
