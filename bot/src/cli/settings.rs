//! What is in force and where it came from: for `rosey config`, and to see what a reload has changed.

use std::ffi::{OsStr, OsString};

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};
use serde_json::{Value, json};

use super::config::Source;
use super::exit::{Exit, Failure};
use super::resolved::{self, Configured, Forms};
use super::values::{self, Parsers, Shown};
use super::words::Words;
use super::{args, console, keep, outbox, paths, secrets, usage};

/// An option that has a value, or could have one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    /// Its long name.
    pub(super) name: String,
    /// What it says; none if it is not set.
    pub(super) value: Option<String>,
    /// The same one by one, for an option that may be given several times.
    values: Vec<String>,
    /// Who says so.
    pub(super) from: String,
}

/// What a setting of the command line comes from.
const LINE: &str = "command line";

impl Setting {
    /// What is wrong with a value of the command line that is blank. A blank variable or line of the file says nothing.
    pub(super) fn blank(&self) -> Option<String> {
        let blank = self.from == LINE && self.values.iter().any(|value| value.trim().is_empty());
        blank.then(|| format!("--{}: the value is blank; give one, or leave the option out", self.name))
    }

    /// What is wrong with its values: a sentence that begins with the place where they were found.
    fn problems(&self, command: &str, parsers: &Parsers) -> Vec<String> {
        if let Some(blank) = self.blank() {
            return vec![blank];
        }
        let (place, shown) = match self.from.as_str() {
            DEFAULT => return Vec::new(),
            LINE => (format!("--{}", self.name), Shown::Yes),
            from => (format!("{from}: {}", self.name), Shown::No),
        };
        let refused =
            self.values.iter().filter_map(|value| parsers.refuse(command, &self.name, value, shown));
        refused.map(|why| format!("{place}: {why}")).collect()
    }
}

/// What a setting comes from that nothing says.
const DEFAULT: &str = "default";

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
            let values: Option<Vec<_>> =
                values.map(|values| values.map(|value| value.to_string_lossy().into_owned()).collect());
            let from = match matches.try_contains_id(id).ok().and_then(|_| matches.value_source(id)) {
                Some(ValueSource::CommandLine) => LINE.to_owned(),
                Some(ValueSource::EnvVariable) => {
                    arg.get_env().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
                }
                _ => source.said(first, name).map_or_else(|| DEFAULT.to_owned(), |said| said.from.clone()),
            };
            settings.retain(|setting| setting.name != name);
            let value = values.as_ref().map(|values| values.join(","));
            settings.push(Setting { name: name.to_owned(), value, values: values.unwrap_or_default(), from });
        }
        let Some((name, inner)) = matches.subcommand() else { return settings };
        let Some(sub) = command.find_subcommand(name) else { return settings };
        (command, matches) = (sub, inner);
    }
}

/// Gives the options that nothing sets the value that the command uses then. What has none is unset.
fn fill_in(command: &str, settings: &mut [Setting]) {
    let is = |name: &str, value: &str| {
        settings.iter().any(|setting| setting.name == name && setting.value.as_deref() == Some(value))
    };
    let json = is("json", "true") && command != "demo";
    let several = settings.iter().any(|setting| match setting.name.as_str() {
        "namespaces-dir" => setting.value.is_some(),
        "namespace" => setting.value.as_deref().is_some_and(|value| value.contains('=')),
        _ => false,
    });
    for setting in settings.iter_mut().filter(|setting| setting.from == DEFAULT) {
        let usual = match setting.name.as_str() {
            "database-url" if !several && matches!(command, "serve" | "up" | "dead" | "verify") => {
                paths::DEFAULT_DATABASE.to_owned()
            }
            "keep" => keep::usual(),
            "log" => args::usual_log(command).to_owned(),
            "log-format" => if json { "json" } else { "text" }.to_owned(),
            "outbox" => outbox::USUAL.to_owned(),
            _ => {
                setting.value = setting.value.take().filter(|value| !value.is_empty());
                continue;
            }
        };
        setting.value = Some(usual);
    }
}

/// `rosey config`: the options in force, or everything that is wrong with them.
pub(super) fn show(words: &Words, configured: Configured) -> Result<Exit, Failure> {
    let Configured { command, source } = configured;
    let forms = Forms::new(words, &source);
    console::speak(forms.results, forms.log);
    let parsers = Parsers::new(&command);
    let mut command = values::lenient(command);
    command.build();
    let matches = command.clone().try_get_matches_from(asked(words));
    let matches = match matches {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => {
            usage::print(&error);
            return Ok(Exit::Ok);
        }
        Err(error) => {
            let mut problems = source.problems.clone();
            problems.push(usage::sentence(&error, &command, words, &source));
            return Err(resolved::failure(&problems));
        }
    };
    // A line of the file for that is for the command that is asked about, and for this one.
    console::speak(forms.results || matches.get_flag("json"), forms.log);
    let mut settings = in_force(&command, &matches, &source);
    let name = matches.subcommand_name().unwrap_or_default();
    let mut problems = source.problems.clone();
    // What the file says has been checked, line by line.
    let elsewhere = settings.iter().filter(|setting| !source.is_of_file(&setting.from));
    problems.extend(elsewhere.flat_map(|setting| setting.problems(name, &parsers)));
    if !problems.is_empty() {
        return Err(resolved::failure(&problems));
    }
    fill_in(name, &mut settings);
    let shown =
        |setting: &Setting| setting.value.as_deref().map(|value| secrets::value(&setting.name, value));
    if console::results_json() {
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

/// The command that is asked about, as a command line: what stands before `config` is for all commands, and counts too.
fn asked(words: &Words) -> Vec<OsString> {
    let place = words.place_of_command().unwrap_or(0);
    let behind = words.behind(place);
    let after: Vec<&OsStr> = behind.all().collect();
    let mut asked = vec![OsString::from("rosey")];
    // Said twice, a switch would be an error.
    asked.extend(words.all().take(place).filter(|word| !after.contains(word)).map(OsStr::to_owned));
    // A command that is not named: what is asked about is `serve`.
    if behind.command().is_none() {
        asked.push("serve".into());
    }
    asked.extend(after.into_iter().map(OsStr::to_owned));
    asked
}
