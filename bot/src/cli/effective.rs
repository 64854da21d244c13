//! `rosey config`: the options in force and where each came from, or everything that is wrong with them.

use std::ffi::{OsStr, OsString};

use serde_json::{Value, json};

use super::command_line::CommandLine;
use super::exit::{Exit, Failure};
use super::resolved::{self, Configured, Forms};
use super::settings::{DEFAULT, Setting, in_force};
use super::values::{self, Parsers};
use super::{command, console, direct, outbox, retention, secrets, usage};

/// Gives the options that nothing sets the value that the command uses then. What has none is unset.
fn fill_in(command: &str, settings: &mut [Setting]) {
    let is = |name: &str, value: &str| {
        settings.iter().any(|setting| setting.name == name && setting.value.as_deref() == Some(value))
    };
    let json = is("json", "true") && command != "demo";
    let several = settings.iter().any(|setting| match setting.name.as_str() {
        "namespaces-dir" | "namespaces-url" => setting.value.is_some(),
        "namespace" => setting.value.as_deref().is_some_and(|value| value.contains('=')),
        _ => false,
    });
    for setting in settings.iter_mut().filter(|setting| setting.from == DEFAULT) {
        let usual = match setting.name.as_str() {
            "database-url"
                if !several
                    && matches!(command, "serve" | "up" | "dead" | "verify" | "backup" | "restore") =>
            {
                direct::DEFAULT_DATABASE.to_owned()
            }
            "keep" => retention::usual(),
            "log" => command::usual_log(command).to_owned(),
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
pub(super) fn show(words: &CommandLine, configured: Configured) -> Result<Exit, Failure> {
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
fn asked(words: &CommandLine) -> Vec<OsString> {
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
