//! The page of the options: each with its variable, its default, its meaning, and the commands that take it.

use std::collections::BTreeMap;
use std::fmt::Write;

use clap::Arg;

use super::command::Cli;
use crate::reference;

const ABOUT: &str = "\
# Options

What each command takes. An option may also be set by its environment variable or by a line of the configuration file, whose name is that of
the option without the dashes ([command-line.md](command-line.md)). `bot/src/cli` makes this page; `DOCS=write cargo test -p rosey-bot --lib
is_made_of` writes it anew.
";

#[test]
fn the_page_of_options_is_made_of_the_command_line() {
    reference::assert_made("options.md", &page());
}

fn page() -> String {
    let mut usual = Cli::usual();
    usual.build();
    let mut options = BTreeMap::<String, (String, Vec<String>)>::new();
    let mut page = format!("{ABOUT}\n| command | |\n|---|---|\n");
    for command in usual.get_subcommands().filter(|command| command.get_name() != "help") {
        let _ = writeln!(
            page,
            "| `rosey {}` | {} |",
            command.get_name(),
            cell(&command.get_about().map(ToString::to_string).unwrap_or_default())
        );
        collect(command, command.get_name(), &mut options);
    }
    page.push_str("\n| option | variable | default | meaning | commands |\n|---|---|---|---|---|\n");
    let all = usual.get_subcommands().count();
    for (name, (rest, commands)) in options {
        let commands = if commands.len() + 1 >= all { "all".to_owned() } else { commands.join(", ") };
        let _ = writeln!(page, "| {name} | {rest} | {commands} |");
    }
    page
}

/// The options of a command and of its subcommands.
fn collect(command: &clap::Command, named: &str, options: &mut BTreeMap<String, (String, Vec<String>)>) {
    for arg in command
        .get_arguments()
        .filter(|arg| !arg.is_hide_set() && !matches!(arg.get_id().as_str(), "help" | "version"))
    {
        let Some(name) = name(arg) else { continue };
        let (_, commands) = options.entry(name).or_insert_with(|| (row(arg), Vec::new()));
        if commands.last().is_none_or(|last| last != named) {
            commands.push(named.to_owned());
        }
    }
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        collect(command, named, options);
    }
}

/// How it is written: `--limit N`.
fn name(arg: &Arg) -> Option<String> {
    let long = arg.get_long()?;
    let values = arg.get_value_names().filter(|_| arg.get_action().takes_values()).unwrap_or_default();
    let values: String = values.iter().map(|value| format!(" {value}")).collect();
    Some(format!("`--{long}{values}`"))
}

fn row(arg: &Arg) -> String {
    let variable = arg.get_env().map(|name| format!("`{}`", name.to_string_lossy())).unwrap_or_default();
    let default = arg.get_default_values().iter().map(|value| value.to_string_lossy());
    let default = default
        .filter(|value| value != "false")
        .map(|value| format!("`{value}`"))
        .collect::<Vec<_>>()
        .join(" ");
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    format!("{variable} | {default} | {}", cell(&help))
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.replace('|', "\\|").replace('<', "&lt;")
}
