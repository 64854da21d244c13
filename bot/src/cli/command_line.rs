//! What the words of a command line say before they are parsed: which command is meant, where the configuration file is, and
//! in which form failures are wanted. A command line that is wrong says that much, too.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::environment;

/// The options of every command that take a value.
const GLOBAL: [&str; 4] = ["--log", "--log-format", "--log-file", "--config"];

/// The words of a command line.
pub(super) struct CommandLine(Vec<OsString>);

impl CommandLine {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        Self(std::env::args_os().skip(1).collect())
    }

    /// All that may be options: what follows a `--` is none.
    fn options(&self) -> impl Iterator<Item = &OsStr> {
        self.0.iter().map(OsString::as_os_str).take_while(|word| *word != "--")
    }

    /// Every word.
    pub(super) fn all(&self) -> impl Iterator<Item = &OsStr> {
        self.0.iter().map(OsString::as_os_str)
    }

    /// The place of the command's name.
    pub(super) fn place_of_command(&self) -> Option<usize> {
        let mut options = self.options().enumerate();
        while let Some((place, word)) = options.next() {
            if GLOBAL.iter().any(|option| word == *option) {
                options.next();
            } else if !word.as_encoded_bytes().starts_with(b"-") {
                return Some(place);
            }
        }
        None
    }

    /// What follows the word at this place.
    pub(super) fn behind(&self, place: usize) -> Self {
        Self(self.0.get(place + 1..).unwrap_or_default().to_vec())
    }

    /// The name of the command.
    pub(super) fn command(&self) -> Option<&str> {
        self.0.get(self.place_of_command()?)?.to_str()
    }

    /// The last value that an option is given.
    pub(super) fn value_of(&self, option: &str) -> Option<OsString> {
        let mut options = self.options();
        let mut value = None;
        while let Some(word) = options.next() {
            if word == option {
                value = options.next().map(OsStr::to_owned);
            } else if let Some(rest) = word.to_str().and_then(|word| word.strip_prefix(option)) {
                value = rest.strip_prefix('=').map(OsString::from).or(value);
            }
        }
        value
    }

    /// Whether an option is among them.
    pub(super) fn has(&self, option: &str) -> bool {
        self.options().any(|word| {
            let rest = word.as_encoded_bytes().strip_prefix(option.as_bytes());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"="))
        })
    }

    /// The configuration file that is named: by the option, else by the variable.
    pub(super) fn config(&self) -> Option<PathBuf> {
        let of_variable = || std::env::var_os("ROSEY_CONFIG").filter(|file| !environment::is_blank(file));
        self.value_of("--config").or_else(of_variable).map(PathBuf::from)
    }

    /// Whether results and failures are to be JSON.
    pub(super) fn want_json(&self) -> bool {
        self.has("--json") || environment::flag("ROSEY_JSON")
    }

    /// Whether the log is to be JSON, if option or variable say anything about it.
    pub(super) fn want_json_log(&self) -> Option<bool> {
        let said = self.value_of("--log-format").and_then(|format| format.into_string().ok());
        said.or_else(|| environment::text("ROSEY_LOG_FORMAT")).map(|format| format == "json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> CommandLine {
        CommandLine(line.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn the_command_is_the_first_word_that_no_option_takes() {
        for (line, command) in [
            ("serve", Some("serve")),
            ("--log debug --json serve", Some("serve")),
            ("--log=debug up --chat x", Some("up")),
            ("stats serve", Some("stats")),
            ("--config serve stats", Some("stats")),
            ("--json", None),
            ("-- serve", None),
        ] {
            assert_eq!(words(line).command(), command, "{line}");
        }
    }

    #[test]
    fn the_last_value_counts_and_nothing_behind_two_dashes_does() {
        assert_eq!(words("a --config x --config=y -- --config z").value_of("--config"), Some("y".into()));
        assert_eq!(words("a --configure x").value_of("--config"), None);
        assert!(words("--json=3").has("--json") && !words("-- --json").has("--json"));
    }
}
