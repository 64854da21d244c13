//! What is in force and where it came from.

use clap::parser::ValueSource;
use clap::{ArgMatches, Command};

use super::config::Source;
use super::values::{Parsers, Shown};

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
    /// Whether something says it: the command line, a variable or the file.
    pub(super) fn is_said(&self) -> bool {
        self.from != DEFAULT
    }

    /// What is wrong with a value of the command line that is blank. A blank variable or line of the file says nothing.
    pub(super) fn blank(&self) -> Option<String> {
        let blank = self.from == LINE && self.values.iter().any(|value| value.trim().is_empty());
        blank.then(|| format!("--{}: the value is blank; give one, or leave the option out", self.name))
    }

    /// What is wrong with its values: a sentence that begins with the place where they were found.
    pub(super) fn problems(&self, command: &str, parsers: &Parsers) -> Vec<String> {
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
pub(super) const DEFAULT: &str = "default";

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
