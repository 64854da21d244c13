//! The environment: a blank variable says nothing, and no value of a variable that may hold a password is shown.

use std::ffi::OsStr;

use clap::Command;
use clap::builder::Resettable;

use super::secrets;

/// Whether there is nothing in it but white space.
pub(super) fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

/// The text of a variable that is not blank.
pub(super) fn text(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.trim().is_empty())
}

/// Whether a variable says yes, as an option does that takes none.
pub(super) fn flag(variable: &str) -> bool {
    text(variable).is_some_and(|text| says_yes(&text))
}

/// Whether this value switches something on.
pub(super) fn says_yes(value: &str) -> bool {
    !["n", "no", "f", "false", "off", "0"].contains(&value.to_lowercase().as_str())
}

/// The command as this environment leaves it: blank variables count as unset, for every option of every command, and what
/// may hold a password is not shown by `--help`.
pub(super) fn respected(command: Command) -> Command {
    let command = command.mut_args(|arg| {
        let Some(value) = arg.get_env().and_then(std::env::var_os) else { return arg };
        if is_blank(&value) {
            return arg.env(Resettable::Reset);
        }
        let text = value.to_string_lossy();
        let secret = text.contains('@') || secrets::value(arg.get_long().unwrap_or_default(), &text) != text;
        if secret { arg.hide_env_values(true) } else { arg }
    });
    command.mut_subcommands(respected)
}
