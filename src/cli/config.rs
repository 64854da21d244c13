//! The configuration file: its lines become the defaults of the options, so that option and environment win, and
//! `--help` shows what is in force.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::error::ContextKind;
use clap::{Arg, Command};
use toml::de::DeTable;
use toml::{Table, Value};

use super::exit::{Exit, Failure};
use super::{environment, secrets};

/// Variables that other programs use too, and the options they stand for.
const SHARED: [(&str, &str); 2] = [("NATS_URL", "nats-url"), ("DATABASE_URL", "database-url")];

/// What file and shared variables say of each option, for all commands and for some.
#[derive(Debug, Default)]
pub(super) struct Source {
    /// The file, if there is one.
    pub(super) file: Option<PathBuf>,
    common: Lines,
    own: BTreeMap<String, Lines>,
    shared: Lines,
}

type Lines = BTreeMap<String, Said>;

/// The value of an option, and where it was found: a line of the file, or a variable.
#[derive(Clone, Debug)]
pub(super) struct Said {
    value: String,
    pub(super) from: String,
}

impl Source {
    /// What counts for an option of this command.
    pub(super) fn said(&self, command: &str, option: &str) -> Option<&Said> {
        let of_file = || self.own.get(command).and_then(|lines| lines.get(option));
        self.shared.get(option).or_else(of_file).or_else(|| self.common.get(option))
    }

    /// Whether the file asks for JSON, whatever the command is.
    pub(super) fn wants_json(&self) -> bool {
        self.common.get("json").is_some_and(|said| environment::says_yes(&said.value))
    }
}

/// The command with the file's lines as defaults, and what the file says.
pub(super) fn apply(command: Command) -> Result<(Command, Source), Failure> {
    let mut source = match find() {
        Some(file) => read(&command, file)?,
        None => Source::default(),
    };
    for (variable, option) in SHARED {
        if let Some(value) = environment::text(variable) {
            source.shared.insert(option.to_owned(), Said { value, from: variable.to_owned() });
        }
    }
    let names: Vec<String> = command.get_subcommands().map(|c| c.get_name().to_owned()).collect();
    let mut command = defaults(command, &source, "");
    for name in names {
        command = command.mut_subcommand(&name, |sub| defaults(sub, &source, &name));
    }
    Ok((command, source))
}

/// The file that is named, or the one that lies here.
fn find() -> Option<PathBuf> {
    let mut args = std::env::args_os().skip(1).take_while(|arg| arg != "--");
    while let Some(arg) = args.next() {
        if arg == "--config" {
            return args.next().map(PathBuf::from);
        }
        if let Some(file) = arg.to_str().and_then(|arg| arg.strip_prefix("--config=")) {
            return Some(PathBuf::from(file));
        }
    }
    let named = std::env::var_os("ROSEY_CONFIG").filter(|file: &OsString| !environment::is_blank(file));
    named
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from("rosey.toml")).filter(|here| here.symlink_metadata().is_ok()))
}

/// Reads the file. What is wrong with it is said with line and column, and never with what stands there: that may be a
/// password.
fn read(command: &Command, file: PathBuf) -> Result<Source, Failure> {
    let shown = file.display().to_string();
    let failed = |why: String| Failure::new(Exit::Usage, format!("{shown}: {why}"));
    let text = std::fs::read_to_string(&file).map_err(|e| failed(e.to_string()))?;
    let syntax = |e: toml::de::Error| {
        let place = e.span().map_or_else(String::new, |span| format!(":{}", place(&text, span.start)));
        Failure::new(Exit::Usage, format!("{shown}{place}: {}", e.message()))
    };
    let places = DeTable::parse(&text).map_err(syntax)?;
    let places = Places { text: &text, table: places.get_ref(), file: &file };
    let table: Table = text.parse().map_err(syntax)?;

    let mut source = Source::default();
    for (key, value) in table {
        match value {
            Value::Table(table) => {
                let Some(sub) = command.get_subcommands().find(|sub| sub.get_name() == key) else {
                    return Err(places.wrong(None, &key, &format!("[{key}]: there is no such command")));
                };
                let mut lines = Lines::new();
                for (k, value) in table {
                    let name = &key;
                    if !knows(sub, &k) && !knows(command, &k) {
                        let why = format!("{k} in [{name}]: `rosey {name}` has no such option");
                        return Err(places.wrong(Some(name), &k, &why));
                    }
                    let value =
                        text_of(command, sub, &k, value).map_err(|why| places.wrong(Some(name), &k, &why))?;
                    let from = places.from(Some(name), &k);
                    lines.insert(k, Said { value, from });
                }
                source.own.insert(key, lines);
            }
            value => {
                let of = |sub: &&Command| knows(sub, &key);
                let sub = command.get_subcommands().find(of).or_else(|| Some(command).filter(of));
                let sub =
                    sub.ok_or_else(|| places.wrong(None, &key, &format!("{key}: there is no such option")))?;
                let value =
                    text_of(command, sub, &key, value).map_err(|why| places.wrong(None, &key, &why))?;
                let from = places.from(None, &key);
                source.common.insert(key, Said { value, from });
            }
        }
    }
    // A blank line says nothing, like a blank variable.
    for lines in source.own.values_mut() {
        lines.retain(|_, said| !said.value.trim().is_empty());
    }
    source.common.retain(|_, said| !said.value.trim().is_empty());
    source.file = Some(file);
    Ok(source)
}

/// Where everything stands in the file.
struct Places<'a> {
    text: &'a str,
    table: &'a DeTable<'a>,
    file: &'a Path,
}

impl Places<'_> {
    /// Line and column of a key, in a table if one is named.
    fn of(&self, table: Option<&str>, key: &str) -> Option<usize> {
        let table = match table {
            Some(name) => self.table.iter().find(|(k, _)| k.get_ref() == name)?.1.get_ref().as_table()?,
            None => self.table,
        };
        let (key, _) = table.iter().find(|(k, _)| k.get_ref() == key)?;
        Some(key.span().start)
    }

    fn wrong(&self, table: Option<&str>, key: &str, why: &str) -> Failure {
        let place = self.of(table, key).map_or_else(String::new, |at| format!(":{}", place(self.text, at)));
        Failure::new(Exit::Usage, format!("{}{place}: {why}", self.file.display()))
    }

    fn from(&self, table: Option<&str>, key: &str) -> String {
        let line = self.of(table, key).map_or(1, |at| line(self.text, at));
        format!("{}:{line}", self.file.display())
    }
}

fn line(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// `line:column`, both from 1.
fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    format!("{}:{}", line(text, at), before[start..].chars().count() + 1)
}

/// The value as an option takes it.
fn text_of(whole: &Command, command: &Command, key: &str, value: Value) -> Result<String, String> {
    let text = match value {
        Value::Integer(_) | Value::Boolean(_) if wants_url(command, key) => {
            return Err(format!(
                "{key}: expected an address in quotes, such as {key} = \"{}\", found {value}",
                if key == "nats-url" { "nats://127.0.0.1:4222" } else { "sqlite://rosey.db" }
            ));
        }
        Value::String(text) => text,
        Value::Integer(number) => number.to_string(),
        Value::Boolean(flag) => flag.to_string(),
        other => {
            return Err(format!(
                "{key}: expected a string, an integer, true or false, found a value of type {}",
                other.type_str()
            ));
        }
    };
    let blank = text.trim().is_empty();
    if blank { Ok(text) } else { accepted(whole, command, key, &text).map(|()| text) }
}

/// Whether the option takes this value: else the line of the file is wrong, and not the command line.
fn accepted(whole: &Command, command: &Command, key: &str, value: &str) -> Result<(), String> {
    let takes_values = |arg: &Arg| arg.get_long() == Some(key) && arg.get_action().takes_values();
    if !command.get_arguments().any(takes_values) {
        return Ok(());
    }
    let option = format!("--{key}");
    let mut words = vec![whole.get_name().to_owned()];
    if command.get_name() != whole.get_name() {
        words.push(command.get_name().to_owned());
    }
    words.push(format!("{option}={value}"));
    let Err(error) = whole.clone().try_get_matches_from(words) else { return Ok(()) };
    let about = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
    if about.split_whitespace().next() != Some(&option) {
        return Ok(());
    }
    let why = match (error.get(ContextKind::ValidValue), std::error::Error::source(&error)) {
        (Some(values), _) => format!("expected one of {values}"),
        (None, Some(why)) => why.to_string(),
        (None, None) => return Ok(()),
    };
    Err(format!("{key}: {}", why.replace(value, "this value")))
}

/// Whether the option of this name takes an address.
fn wants_url(command: &Command, key: &str) -> bool {
    let takes = |arg: &Arg| {
        arg.get_long() == Some(key) && arg.get_value_names().is_some_and(|names| names == ["URL"])
    };
    command.get_arguments().any(takes)
}

fn knows(command: &Command, key: &str) -> bool {
    command.get_arguments().any(|arg| arg.get_long() == Some(key))
}

fn defaults(command: Command, source: &Source, name: &str) -> Command {
    command.mut_args(|arg| {
        let Some(said) = arg.get_long().and_then(|option| source.said(name, option)) else { return arg };
        let shown = secrets::value(arg.get_long().unwrap_or_default(), &said.value);
        let secret = said.value.contains('@') || shown != said.value;
        let value = Resettable::Value(clap::builder::OsStr::from(said.value.clone()));
        arg.default_value(value).required(false).hide_default_value(secret)
    })
}
