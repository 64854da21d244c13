//! Before something is removed permanently: a question on a terminal, `--yes` elsewhere.

use std::io::{self, BufRead, IsTerminal};

use super::args::Global;
use super::console;
use super::exit::{Exit, Failure};

/// Asks whether it shall be done. `what` is the subject of a sentence: "3 dead letters in rosey.db".
///
/// # Errors
/// When the answer is no. Without `--yes` where nothing can be asked: stdin is no terminal, or a program reads the answer
/// (`--json`).
pub(super) fn removal(global: &Global, yes: bool, what: &str, effect: &str) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if global.json || !io::stdin().is_terminal() {
        return Err(Failure::new(
            Exit::Usage,
            format!("{what} {effect}: add --yes if that is intended; nothing was removed"),
        ));
    }
    console::say(format!("{what} {effect}. Remove? [yes/no]"));
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    read.map_err(|e| Failure::new(Exit::Usage, format!("the answer: {e}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "yes" | "y" => Ok(()),
        _ => Err(Failure::new(Exit::Failed, "nothing was removed")),
    }
}
