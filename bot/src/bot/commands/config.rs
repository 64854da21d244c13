//! Which commands the bot takes, and what it remembers of those who give them.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::language::Language;
use super::names::Command;
use super::pace::Pace;
use crate::op::person::key;

/// How many are remembered of those who have spoken.
const MOST_HEARD: usize = 4096;

/// The commands that the bot takes, and how it speaks.
///
/// ```
/// use rosey::bot::{Command, Commands, Language};
///
/// let commands = Commands::default().prefix(".").only([Command::Seen, Command::Help]).language(Language::German);
/// ```
#[derive(Debug)]
pub struct Commands {
    pub(super) prefix: String,
    pub(super) known: Vec<Command>,
    pub(super) language: Language,
    pub(super) pace: Mutex<Pace>,
    /// Those who have spoken since the bot came, or since a message was left for them: nothing waits for them that they were
    /// not told.
    heard: Mutex<HashSet<String>>,
    /// Who was told which bot answers here: user and bot.
    told: Mutex<HashSet<(String, String)>>,
}

impl Default for Commands {
    /// All of them, behind `!`, in English.
    fn default() -> Self {
        Self {
            prefix: "!".to_owned(),
            known: Command::ALL.to_vec(),
            language: Language::default(),
            pace: Mutex::default(),
            heard: Mutex::default(),
            told: Mutex::default(),
        }
    }
}

impl Commands {
    /// Sets what stands before a command. Default: `!`.
    #[must_use]
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..self }
    }

    /// Takes these commands alone.
    #[must_use]
    pub fn only(self, commands: impl IntoIterator<Item = Command>) -> Self {
        Self { known: commands.into_iter().collect(), ..self }
    }

    /// Sets the language of the answers. Default: English.
    #[must_use]
    pub fn language(self, language: Language) -> Self {
        Self { language, ..self }
    }

    /// Whether this user has not spoken since something may wait.
    pub(super) fn first_heard(&self, user: &str) -> bool {
        let mut heard = self.heard.lock();
        if heard.len() >= MOST_HEARD {
            heard.clear();
        }
        heard.insert(key(user).into_owned())
    }

    /// Whether this user was not told yet that this bot answers here.
    pub(super) fn first_told(&self, user: &str, leader: &str) -> bool {
        let mut told = self.told.lock();
        if told.len() >= MOST_HEARD {
            told.clear();
        }
        told.insert((user.to_owned(), leader.to_owned()))
    }

    /// Something waits for this user.
    pub(super) fn something_waits(&self, user: &str) {
        self.heard.lock().remove(key(user).as_ref());
    }

    /// The bot has lost the channel: who speaks next may have come anew.
    pub(super) fn forget_heard(&self) {
        self.heard.lock().clear();
    }

    /// The words of the answers.
    pub(in crate::bot) const fn speaks(&self) -> Language {
        self.language
    }
}
