//! What a user in a channel has seen, read from the received lines by code that shares nothing with the bot's.

use std::collections::BTreeMap;

use super::Person;

/// Who said what, and who came and went, in the order in which the user saw it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// `name: text`.
    pub(crate) lines: Vec<String>,
    /// Of each name, `+` for every time that it came and `-` for every time that it went.
    pub(crate) moves: BTreeMap<String, String>,
    /// The most who were there at once.
    pub(crate) most: usize,
}

impl Record {
    /// Of a user who was in the channel before those who count, and has not left.
    pub(crate) fn of(person: &Person) -> Self {
        let mut record = Self::default();
        for line in person.lines() {
            record.read(&line);
        }
        record
    }

    fn read(&mut self, line: &str) {
        let Some((source, rest)) = line.strip_prefix(':').and_then(|line| line.split_once(' ')) else {
            return;
        };
        let nick = source.split('!').next().unwrap();
        let (verb, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let text = rest.split_once(" :").map_or(rest, |(_, text)| text);
        match verb {
            "JOIN" => self.moved(nick, '+'),
            "PART" => self.moved(nick, '-'),
            "QUIT" if self.is_in(nick) => self.moved(nick, '-'),
            "KICK" => self.moved(rest.split(' ').nth(1).unwrap(), '-'),
            "NICK" if self.is_in(nick) => {
                self.moved(nick, '-');
                self.moved(rest.trim_start_matches(':'), '+');
            }
            "PRIVMSG" if rest.starts_with("#lounge ") => self.lines.push(format!("{nick}: {text}")),
            _ => {}
        }
    }

    fn is_in(&self, name: &str) -> bool {
        self.moves.get(name).is_some_and(|moves| moves.ends_with('+'))
    }

    fn moved(&mut self, name: &str, how: char) {
        self.moves.entry(name.to_owned()).or_default().push(how);
        self.most = self.most.max(self.moves.keys().filter(|name| self.is_in(name)).count());
    }
}
