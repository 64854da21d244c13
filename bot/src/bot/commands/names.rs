//! Which commands there are, and which of them a line gives.

use std::str::FromStr;

/// A command that people give in the channel, or in a private message to the bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Which commands there are.
    Help,
    /// When a user was here last, and spoke last.
    Seen,
    /// Leaves a message for a user, lists those that wait, or takes one back.
    Tell,
    /// How many messages wait for the one who asks, and all of them.
    Inbox,
    /// What is known of a user.
    Stats,
    /// Who has said most.
    Top,
    /// The newest lines.
    Last,
    /// A quote, or a new one.
    Quote,
    /// Forgets the one who asks.
    Forgetme,
}

impl Command {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Help,
        Self::Seen,
        Self::Tell,
        Self::Inbox,
        Self::Stats,
        Self::Top,
        Self::Last,
        Self::Quote,
        Self::Forgetme,
    ];

    /// Its word, without the prefix.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Help => "help",
            Self::Seen => "seen",
            Self::Tell => "tell",
            Self::Inbox => "inbox",
            Self::Stats => "stats",
            Self::Top => "top",
            Self::Last => "last",
            Self::Quote => "quote",
            Self::Forgetme => "forgetme",
        }
    }
}

impl FromStr for Command {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().copied().find(|command| command.as_str() == word);
        known.ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|command| command.as_str()).collect();
            format!("{word:?} is not one of {}", words.join(", "))
        })
    }
}

/// A command, and what follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    pub(super) command: Command,
    pub(super) rest: &'a str,
}

/// The command that a line gives, if it is one of these. Case does not matter.
pub(super) fn read<'a>(line: &'a str, prefix: &str, known: &[Command]) -> Option<Asked<'a>> {
    let (word, rest) = word(line.strip_prefix(prefix)?);
    let command = known.iter().copied().find(|command| command.as_str().eq_ignore_ascii_case(word))?;
    Some(Asked { command, rest })
}

/// The first word, and what follows it.
pub(super) fn word(text: &str) -> (&str, &str) {
    let text = text.trim_end();
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_gives_a_command_behind_the_prefix_and_no_other_line_does() {
        let read = |line| read(line, "!", Command::ALL).map(|asked| (asked.command, asked.rest));
        assert_eq!(read("!seen alice"), Some((Command::Seen, "alice")));
        assert_eq!(read("!SEEN  alice bob \t"), Some((Command::Seen, "alice bob")));
        assert_eq!(read("!help"), Some((Command::Help, "")));
        for other in ["seen alice", " !seen alice", "!seenalice", "!", "!!seen alice", "! seen alice", ""] {
            assert_eq!(read(other), None, "{other:?}");
        }
        assert_eq!(super::read("!top", "!", &[Command::Help]), None, "it is switched off");
        assert_eq!(super::read(".-top 3", ".-", Command::ALL).map(|asked| asked.rest), Some("3"));
    }

    #[test]
    fn each_command_is_read_by_its_word() {
        for command in Command::ALL {
            assert_eq!(command.as_str().parse(), Ok(*command));
        }
        assert!("sing".parse::<Command>().is_err_and(|why| why.contains("help, seen")));
    }
}
