//! What is in force and where it came from: for `rosey config`, and to see what a reload has changed.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::args::{Cli, ConfigArgs, Global};
use super::config::{self, Source};
use super::exit::{Exit, Failure};
use super::{console, environment, secrets};

/// An option that has a value, or could have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its long name.
    pub(super) name: String,
    /// What it says; none if it is not set.
    pub(super) value: Option<String>,
    /// Who says so.
    pub(super) from: String,
}

/// Every option of the command that was given.
pub(super) fn in_force(command: &Command, matches: &ArgMatches, source: &Source) -> Vec<Setting> {
    let first = matches.subcommand_name().unwrap_or_default();
    let (mut command, mut matches) = (command, matches);
    let mut settings: Vec<Setting> = Vec::new();
    loop {
        for arg in command.get_arguments() {
            let Some(name) = arg.get_long().filter(|name| !matches!(*name, "help" | "version")) else {
                continue;
            };
            let id = arg.get_id().as_str();
            let values = matches.try_get_raw(id).ok().flatten();
            let value = values.map(|values| {
                values.map(|value| value.to_string_lossy().into_owned()).collect::<Vec<_>>().join(",")
            });
            let from = match matches.try_contains_id(id).ok().and_then(|_| matches.value_source(id)) {
                Some(ValueSource::CommandLine) => "command line".to_owned(),
                Some(ValueSource::EnvVariable) => {
                    arg.get_env().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
                }
                _ => source.said(first, name).map_or_else(|| "default".to_owned(), |said| said.from.clone()),
            };
            settings.retain(|setting| setting.name != name);
            settings.push(Setting { name: name.to_owned(), value, from });
        }
        let Some((name, inner)) = matches.subcommand() else { return settings };
        let Some(sub) = command.find_subcommand(name) else { return settings };
        (command, matches) = (sub, inner);
    }
}

/// `rosey config`.
pub(super) fn show(global: &Global, args: ConfigArgs) -> Result<Exit, Failure> {
    let mut words = args.words;
    if words.iter().any(|word| word == "--json") {
        console::speak(true, console::logs_json());
    }
    if words.is_empty() {
        words.push("serve".into());
    }
    let (command, source) = config::apply(environment::respected(Cli::usual()))?;
    // What a command cannot do without may be missing: nothing is run.
    let mut command = command.mut_subcommands(|sub| {
        sub.mut_args(|arg| arg.required(false)).subcommand_required(false).arg_required_else_help(false)
    });
    command.build();
    let matches = command.clone().try_get_matches_from(std::iter::once("rosey".into()).chain(words));
    let matches = matches.map_err(|e| Failure::new(Exit::Usage, super::sentence(&e)))?;
    let settings = in_force(&command, &matches, &source);
    let name = matches.subcommand_name().unwrap_or_default();
    let shown =
        |setting: &Setting| setting.value.as_deref().map(|value| secrets::value(&setting.name, value));
    // A line of the file for that is for the command, and for this one.
    if global.json || matches.get_flag("json") {
        let options: serde_json::Map<String, Value> = settings
            .iter()
            .map(|setting| (setting.name.clone(), json!({"value": shown(setting), "from": setting.from})))
            .collect();
        let file = source.file.as_ref().map(|file| file.display().to_string());
        console::print_json(&json!({"command": name, "file": file, "options": options}));
        return Ok(Exit::Ok);
    }
    let width = settings.iter().map(|setting| setting.name.len()).max().unwrap_or(0);
    let mut text = match &source.file {
        Some(file) => format!("rosey {name}, configuration file {}", file.display()),
        None => format!("rosey {name}, no configuration file"),
    };
    for setting in &settings {
        let value = shown(setting).filter(|value| !value.is_empty()).unwrap_or_else(|| "(unset)".to_owned());
        text.push_str(&format!("\n{:<width$}  {value}  ({})", setting.name, setting.from));
    }
    console::print(text);
    Ok(Exit::Ok)
}
