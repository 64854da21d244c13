//! The configuration file: its lines become the defaults of the options, so that option and environment win, and
//! `--help` shows what is in force.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use clap::builder::Resettable;
use clap::{Arg, ArgAction, Command};
use toml::de::DeTable;
use toml::{Table, Value};

use super::command_line::CommandLine;
use super::values::{Parsers, Shown};
use super::{environment, known, secrets};

/// Variables that other programs use too, and the options they stand for.
const SHARED: [(&str, &str); 5] = [
    ("NATS_URL", "nats-url"),
    ("DATABASE_URL", "database-url"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "otlp-endpoint"),
    ("OTEL_RESOURCE_ATTRIBUTES", "otlp-attributes"),
    ("OTEL_SERVICE_NAME", "otlp-service-name"),
];

/// As many bytes has a configuration file at most.
const LARGEST: u64 = 1024 * 1024;

/// What file and shared variables say of each option, for all commands and for some.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// The file, if there is one.
    pub(super) file: Option<PathBuf>,
    /// What is wrong with it, a sentence each. Lines that are wrong say nothing.
    pub(super) problems: Vec<String>,
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

    /// Whether what says this is a line of the file.
    pub(super) fn is_of_file(&self, from: &str) -> bool {
        let file = self.file.as_ref().map(|file| format!("{}:", file.display()));
        file.is_some_and(|file| from.starts_with(&file))
    }

    /// Whether the file asks for JSON, for this command.
    pub(super) fn wants_json(&self, command: &str) -> bool {
        self.said(command, "json").is_some_and(|said| environment::says_yes(&said.value))
    }

    /// Whether the file asks for a log in JSON, for this command.
    pub(super) fn wants_json_log(&self, command: &str) -> bool {
        self.said(command, "log-format").is_some_and(|said| said.value == "json")
    }
}

/// The command with the file's lines as defaults, and what the file says.
pub(super) fn apply(command: Command, words: &CommandLine) -> (Command, Source) {
    let here = || Some(PathBuf::from("rosey.toml")).filter(|here| here.symlink_metadata().is_ok());
    let mut source = match (words.config(), here()) {
        (Some(file), _) => read(&command, file, contents),
        (None, Some(file)) => read(&command, file, ordinary),
        (None, None) => Source::default(),
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
    (command, source)
}

/// The text of a file that is not named, but lies here. A named pipe would hold up every command until a program writes to it.
fn ordinary(file: &Path) -> io::Result<String> {
    if std::fs::metadata(file)?.file_type().is_fifo() {
        return Err(io::Error::other("that is a named pipe; name it with --config if it is meant"));
    }
    contents(file)
}

/// The text of a file. A device may have no end.
fn contents(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    if File::open(file)?.take(LARGEST + 1).read_to_string(&mut text)? as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(text)
}

/// Reads the file. What is wrong with it is said with line and column, and never with its value: that may be a
/// password.
fn read(command: &Command, file: PathBuf, text: fn(&Path) -> io::Result<String>) -> Source {
    let shown = file.display().to_string();
    let mut source = Source { file: Some(file.clone()), ..Source::default() };
    let text = match text(&file) {
        Ok(text) => text,
        // Said with the other blank values.
        Err(_) if shown.trim().is_empty() => return source,
        Err(e) => {
            source.problems.push(format!("the configuration file {shown} cannot be read: {e}"));
            return source;
        }
    };
    text.lines().for_each(known::learn);
    let (places, errors) = DeTable::parse_recoverable(&text);
    let syntax = |e: toml::de::Error| {
        let place = e.span().map_or_else(String::new, |span| format!(":{}", place(&text, span.start)));
        format!("{shown}{place}: {}", e.message())
    };
    source.problems.extend(errors.into_iter().map(syntax));
    if !source.problems.is_empty() {
        return source;
    }
    let table: Table = match text.parse() {
        Ok(table) => table,
        Err(e) => {
            source.problems.push(syntax(e));
            return source;
        }
    };
    let places = Places { text: &text, table: places.get_ref(), file: &file };
    let reader = Reader { command, parsers: Parsers::new(command), places };
    let mut problems = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(table) => {
                if let Some(lines) = reader.table(&key, table, &mut problems) {
                    source.own.insert(key, lines);
                }
            }
            value => match reader.common(&key, value) {
                Ok(said) => drop(source.common.insert(key, said)),
                Err(problem) => problems.push(problem),
            },
        }
    }
    // In the order in which they stand in the file.
    problems.sort();
    source.problems = problems.into_iter().map(|(_, problem)| problem).collect();
    // A blank line says nothing, like a blank variable.
    for lines in source.own.values_mut() {
        lines.retain(|_, said| !said.value.trim().is_empty());
    }
    source.common.retain(|_, said| !said.value.trim().is_empty());
    source
}

/// What is wrong, behind the place in the text where it stands.
type Problem = (usize, String);

/// Reads the lines of a file for the options of the commands.
struct Reader<'a> {
    command: &'a Command,
    parsers: Parsers,
    places: Places<'a>,
}

impl Reader<'_> {
    /// A line for every command that has such an option.
    fn common(&self, key: &str, value: Value) -> Result<Said, Problem> {
        let wrong = |why: String| self.places.wrong(None, key, &why);
        let of = |sub: &&Command| knows(sub, key);
        let sub = self.command.get_subcommands().find(of).or_else(|| Some(self.command).filter(of));
        let sub = sub.ok_or_else(|| wrong(format!("{key}: there is no such option")))?;
        let value = self.text_of(sub, key, value).map_err(wrong)?;
        Ok(Said { value, from: self.places.from(None, key) })
    }

    /// The lines of a table, for the command of its name.
    fn table(&self, name: &str, table: Table, problems: &mut Vec<Problem>) -> Option<Lines> {
        let Some(sub) = self.command.get_subcommands().find(|sub| sub.get_name() == name) else {
            problems.push(self.places.wrong(None, name, &format!("[{name}]: there is no such command")));
            return None;
        };
        let mut lines = Lines::new();
        for (key, value) in table {
            let wrong = |why: String| self.places.wrong(Some(name), &key, &why);
            if !knows(sub, &key) && !knows(self.command, &key) {
                problems.push(wrong(format!("{key} in [{name}]: `rosey {name}` has no such option")));
                continue;
            }
            match self.text_of(sub, &key, value) {
                Ok(value) => {
                    let from = self.places.from(Some(name), &key);
                    lines.insert(key, Said { value, from });
                }
                Err(why) => problems.push(wrong(why)),
            }
        }
        Some(lines)
    }

    /// The value as an option takes it.
    fn text_of(&self, command: &Command, key: &str, value: Value) -> Result<String, String> {
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
            Value::Array(list) if takes_several(command, key) => {
                let texts = list.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
                texts.ok_or_else(|| format!("{key}: expected a list of strings"))?.join(",")
            }
            other => {
                return Err(format!(
                    "{key}: expected a string, an integer, true or false, found a value of type {}",
                    other.type_str()
                ));
            }
        };
        if text.trim().is_empty() {
            return Ok(text);
        }
        let name = if command.get_name() == self.command.get_name() { "" } else { command.get_name() };
        match self.parsers.refuse(name, key, &text, Shown::No) {
            Some(why) => Err(format!("{key}: {why}")),
            None => Ok(text),
        }
    }
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

    fn wrong(&self, table: Option<&str>, key: &str, why: &str) -> Problem {
        let at = self.of(table, key);
        let place = at.map_or_else(String::new, |at| format!(":{}", place(self.text, at)));
        (at.unwrap_or_default(), format!("{}{place}: {why}", self.file.display()))
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

/// Whether the option of this name takes an address.
fn wants_url(command: &Command, key: &str) -> bool {
    let takes = |arg: &Arg| {
        arg.get_long() == Some(key) && arg.get_value_names().is_some_and(|names| names == ["URL"])
    };
    command.get_arguments().any(takes)
}

/// Whether the option of this name may be given several times, or with commas.
fn takes_several(command: &Command, key: &str) -> bool {
    let takes = |arg: &Arg| arg.get_long() == Some(key) && matches!(arg.get_action(), ArgAction::Append);
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
