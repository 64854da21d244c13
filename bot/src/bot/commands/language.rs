//! The words of the answers.

use super::names::Command;
use crate::op::{Seen, UserStats};

/// The language of the bot's answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Language {
    /// `en`
    #[default]
    English,
    /// `de`
    German,
}

use Language::{English, German};

impl Language {
    const fn of<T: Copy>(self, english: T, german: T) -> T {
        match self {
            English => english,
            German => german,
        }
    }

    /// What follows a command.
    pub(super) const fn form(self, command: Command) -> &'static str {
        match command {
            Command::Help | Command::Inbox => "",
            Command::Top => self.of("[HOURS]", "[STUNDEN]"),
            Command::Seen => "NICK",
            Command::Tell => "NICK[,NICK] TEXT | undo",
            Command::Stats => "[NICK]",
            Command::Last => self.of("[NUMBER | NICK]", "[ZAHL | NICK]"),
            Command::Forgetme => self.of("[yes]", "[ja]"),
            Command::Quote => self.of("[NUMBER | NICK | add NICK]", "[ZAHL | NICK | add NICK]"),
        }
    }

    /// How a command is given.
    pub(super) fn whom(self, command: Command) -> String {
        format!("{} {}", command.as_str(), self.form(command))
    }

    pub(super) fn asks_another(self, leader: &str) -> String {
        match self {
            English => format!("{leader} answers here at present: ask that one"),
            German => format!("hier antwortet im Moment {leader}: frag dort"),
        }
    }

    pub(super) const fn yourself(self) -> &'static str {
        self.of("that is you, and you are here", "das bist du, und du bist da")
    }

    pub(super) fn never_seen(self, name: &str) -> String {
        match self {
            English => format!("I have never seen {name}"),
            German => format!("{name} habe ich nie gesehen"),
        }
    }

    pub(super) fn seen(self, seen: &Seen, now: i64) -> String {
        let (name, ago) = (&seen.username, |at: Option<i64>| at.map(|at| self.ago(now - at)));
        let here = match (seen.here_since, self) {
            (Some(since), English) => format!("{name} is here, for {}", self.span(now - since)),
            (Some(since), German) => format!("{name} ist da, seit {}", self.span(now - since)),
            (None, English) => format!("{name} was here {}", ago(seen.last_seen).unwrap_or_default()),
            (None, German) => format!("{name} war {} da", ago(seen.last_seen).unwrap_or_default()),
        };
        match (ago(seen.last_line), self) {
            (Some(spoke), English) => format!("{here}; spoke {spoke}"),
            (Some(spoke), German) => format!("{here}; schrieb {spoke}"),
            (None, English) => format!("{here}; has said nothing"),
            (None, German) => format!("{here}; hat nichts gesagt"),
        }
    }

    pub(super) fn stats(self, stats: &UserStats, now: i64) -> String {
        let (name, lines) = (&stats.username, stats.total_chat_lines.unwrap_or(0));
        let here = stats.current_session_start.map_or(0, |since| (now - since).max(0));
        let time = self.span(stats.total_time_connected.unwrap_or(0) + here);
        let first = self.ago(now - stats.first_seen.unwrap_or(now));
        match self {
            English => format!("{name}: {lines} lines, {time} here, first seen {first}"),
            German => format!("{name}: {lines} Zeilen, {time} hier, zuerst gesehen {first}"),
        }
    }

    /// A time in the past, of so many seconds ago.
    pub(super) fn ago(self, seconds: i64) -> String {
        if seconds < 5 {
            return self.of("just now", "gerade eben").to_owned();
        }
        match self {
            English => format!("{} ago", self.span(seconds)),
            German => format!("vor {}", self.span(seconds)),
        }
    }

    /// A length of time, in its two largest units.
    fn span(self, seconds: i64) -> String {
        let seconds = seconds.max(0);
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
        let d = self.of("d", "T");
        match (days, hours, minutes) {
            (0, 0, 0) => format!("{seconds} s"),
            (0, 0, minutes) => format!("{minutes} min"),
            (0, hours, 0) => format!("{hours} h"),
            (0, hours, minutes) => format!("{hours} h {minutes} min"),
            (days, 0, _) => format!("{days} {d}"),
            (days, hours, _) => format!("{days} {d} {hours} h"),
        }
    }

    pub(super) const fn nothing_said(self) -> &'static str {
        self.of("nothing was said yet", "noch hat niemand etwas gesagt")
    }

    pub(super) fn nothing_of(self, name: &str) -> String {
        match self {
            English => format!("{name} has said nothing lately"),
            German => format!("{name} hat in letzter Zeit nichts gesagt"),
        }
    }

    pub(super) const fn no_quote(self) -> &'static str {
        self.of("there is no such quote", "so ein Zitat gibt es nicht")
    }

    pub(super) fn kept(self, id: i64) -> String {
        match self {
            English => format!("kept as #{id}"),
            German => format!("behalten als #{id}"),
        }
    }

    /// The word that confirms.
    pub(super) const fn yes(self) -> &'static str {
        self.of("yes", "ja")
    }

    /// What is forgotten, and how that is asked for.
    pub(super) fn whether_to_forget(self, command: &str) -> String {
        match self {
            English => format!(
                "I would forget your lines, times, messages and quotes, for good. If you mean it: {command}"
            ),
            German => format!(
                "ich würde deine Zeilen, Zeiten, Nachrichten und Zitate vergessen, für immer. Wenn du das willst: {command}"
            ),
        }
    }

    pub(super) const fn forgotten(self) -> &'static str {
        self.of("what I knew of you is forgotten", "was ich von dir wusste, ist vergessen")
    }

    pub(super) const fn not_now(self) -> &'static str {
        self.of(
            "I cannot do that now, try again later",
            "das geht gerade nicht, versuch es später noch einmal",
        )
    }

    pub(super) const fn not_yourself(self) -> &'static str {
        self.of("tell somebody else", "sag es jemand anderem")
    }

    pub(super) fn too_many(self, most: usize) -> String {
        match self {
            English => format!("{most} at once at most"),
            German => format!("höchstens {most} auf einmal"),
        }
    }

    pub(super) fn full(self, name: &str) -> String {
        match self {
            English => format!("too much waits for {name} already"),
            German => format!("für {name} wartet schon zu viel"),
        }
    }

    pub(super) fn noted(self, names: &str) -> String {
        match self {
            English => format!("I will tell {names}"),
            German => format!("ich sage es {names}"),
        }
    }

    pub(super) const fn none_of_yours(self) -> &'static str {
        self.of("nothing of yours waits", "von dir wartet nichts")
    }

    pub(super) fn taken_back(self, id: i64) -> String {
        match self {
            English => format!("#{id} is taken back"),
            German => format!("#{id} ist zurückgenommen"),
        }
    }

    pub(super) fn not_taken_back(self, id: i64) -> String {
        match self {
            English => format!("#{id} is not yours, or was told"),
            German => format!("#{id} ist nicht von dir, oder schon gesagt"),
        }
    }

    pub(super) fn waits_for_you(self, count: usize) -> String {
        match (self, count) {
            (English, 0) => "nothing waits for you".to_owned(),
            (English, 1) => "one message waits for you".to_owned(),
            (English, count) => format!("{count} messages wait for you"),
            (German, 0) => "für dich wartet nichts".to_owned(),
            (German, 1) => "eine Nachricht wartet auf dich".to_owned(),
            (German, count) => format!("{count} Nachrichten warten auf dich"),
        }
    }

    /// A message that was left by `sender` so many seconds ago.
    pub(in crate::bot) fn told(self, sender: &str, seconds: i64, text: &str) -> String {
        let ago = self.ago(seconds);
        match self {
            English => format!("{sender} said {ago}: {text}"),
            German => format!("{sender} schrieb {ago}: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_two_largest_units() {
        for (seconds, english, german) in [
            (0, "just now", "gerade eben"),
            (-30, "just now", "gerade eben"),
            (59, "59 s ago", "vor 59 s"),
            (60, "1 min ago", "vor 1 min"),
            (7_260, "2 h 1 min ago", "vor 2 h 1 min"),
            (7_200, "2 h ago", "vor 2 h"),
            (90_000, "1 d 1 h ago", "vor 1 T 1 h"),
            (864_000, "10 d ago", "vor 10 T"),
        ] {
            assert_eq!((English.ago(seconds), German.ago(seconds)), (english.to_owned(), german.to_owned()));
        }
    }
}
