//! The configuration file: its lines become the defaults of the options, so that option and environment win, and
//! `--help` shows what is in force.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use clap::Command;
use toml::{Table, Value};

use super::exit::{Exit, Failure};

/// Variables that other programs use too, and the options they stand for.
const SHARED: [(&str, &str); 2] = [("NATS_URL", "nats-url"), ("DATABASE_URL", "database-url")];

/// The command with the file's lines as defaults, and the file, if there is one.
pub(super) fn apply(command: Command) -> Result<(Command, Option<PathBuf>), Failure> {
    let (table, file) = match find() {
        Some(file) => (read(&file)?, Some(file)),
        None => (Table::new(), None),
    };
    let shown = file.clone().unwrap_or_default();
    let wrong = |what: String| Failure::new(Exit::Usage, format!("{}: {what}", shown.display()));

    let mut common = BTreeMap::new();
    let mut own: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (key, value) in table {
        match value {
            Value::Table(table) => {
                let lines = table.into_iter().map(|(k, v)| Ok((k.clone(), text(&command, &k, v)?)));
                own.insert(key, lines.collect::<Result<_, String>>().map_err(wrong)?);
            }
            value => {
                let value = text(&command, &key, value).map_err(wrong)?;
                common.insert(key, value);
            }
        }
    }
    check(&command, common.keys(), &own).map_err(wrong)?;
    for (variable, option) in SHARED {
        if let Ok(value) = std::env::var(variable) {
            common.insert(option.to_owned(), value);
        }
    }
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let mut command = defaults(command, &common);
    for name in names {
        let mut lines = common.clone();
        lines.extend(own.remove(&name).unwrap_or_default());
        command = command.mut_subcommand(&name, |sub| defaults(sub, &lines));
    }
    Ok((command, file))
}

/// The file that is named, or the one that lies here.
fn find() -> Option<PathBuf> {
    let mut args = std::env::args_os().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--config" {
            return args.next().map(PathBuf::from);
        }
        if let Some(file) = arg.to_str().and_then(|arg| arg.strip_prefix("--config=")) {
            return Some(PathBuf::from(file));
        }
    }
    let named =
        std::env::var_os("ROSEY_CONFIG").filter(|file: &OsString| !file.is_empty()).map(PathBuf::from);
    named.or_else(|| Some(PathBuf::from("rosey.toml")).filter(|here| here.is_file()))
}

fn read(file: &PathBuf) -> Result<Table, Failure> {
    let failed = |why: String| Failure::new(Exit::Usage, format!("{}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|e| failed(e.to_string()))?;
    text.parse().map_err(|e: toml::de::Error| failed(e.to_string()))
}

fn text(command: &Command, key: &str, value: Value) -> Result<String, String> {
    match value {
        Value::Integer(_) | Value::Boolean(_) if wants_url(command, key) => Err(format!(
            "{key}: expected an address in quotes, such as {key} = \"{}\", found {value}",
            if key == "nats-url" { "nats://127.0.0.1:4222" } else { "sqlite://rosey.db" }
        )),
        Value::String(text) => Ok(text),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Boolean(flag) => Ok(flag.to_string()),
        other => Err(format!(
            "{key}: expected a text, a whole number, true or false, found a {}",
            other.type_str()
        )),
    }
}

/// Whether the option of this name takes an address.
fn wants_url(command: &Command, key: &str) -> bool {
    let takes = |arg: &clap::Arg| {
        arg.get_long() == Some(key) && arg.get_value_names().is_some_and(|names| names == ["URL"])
    };
    command.get_arguments().any(takes) || command.get_subcommands().any(|sub| sub.get_arguments().any(takes))
}

/// A line that no option understands is a mistake: say so, instead of passing over it.
fn check<'a>(
    command: &Command,
    common: impl Iterator<Item = &'a String>,
    own: &BTreeMap<String, BTreeMap<String, String>>,
) -> Result<(), String> {
    let knows = |command: &Command, key: &str| command.get_arguments().any(|a| a.get_long() == Some(key));
    for key in common {
        if !knows(command, key) && !command.get_subcommands().any(|sub| knows(sub, key)) {
            return Err(format!("{key}: there is no such option"));
        }
    }
    for (name, lines) in own {
        let Some(sub) = command.get_subcommands().find(|sub| sub.get_name() == name) else {
            return Err(format!("[{name}]: there is no such command"));
        };
        for key in lines.keys() {
            if !knows(sub, key) && !knows(command, key) {
                return Err(format!("{key} in [{name}]: `rosey {name}` has no such option"));
            }
        }
    }
    Ok(())
}

fn defaults(command: Command, lines: &BTreeMap<String, String>) -> Command {
    let ids: Vec<(clap::Id, String)> = command
        .get_arguments()
        .filter_map(|arg| Some((arg.get_id().clone(), lines.get(arg.get_long()?)?.clone())))
        .collect();
    ids.into_iter().fold(command, |command, (id, value)| {
        // An address may hold a password: the help must not show it.
        let secret = value.contains('@');
        command.mut_arg(id, |arg| {
            arg.default_value(clap::builder::OsStr::from(value)).required(false).hide_default_value(secret)
        })
    })
}
