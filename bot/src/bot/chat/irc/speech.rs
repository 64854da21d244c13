//! What is said, as lines that a server relays whole.

use super::super::link::continued::{MARK, is_command};

/// The longest line with its line ending, in bytes, as the server relays it.
const LONGEST: usize = 512;
/// The most lines of one message: what may be said at once. More take longer than a bot that ends may wait, and of long ones
/// old servers take no more than 1024 bytes ahead.
pub(super) const MOST_LINES: usize = 4;

/// How many bytes of text fit into a line that the server relays with our prefix in front of it.
pub(super) fn room(prefix: &str, target: &str) -> usize {
    let around = ":".len() + prefix.len() + " PRIVMSG ".len() + target.len() + " :".len() + "\r\n".len();
    // A server whose names leave no room has no right to expect a line.
    LONGEST.saturating_sub(around).max(16)
}

/// The text as lines of at most `most` bytes, split where it has line ends, between words, or else between characters.
/// Nothing in them ends a line or begins a command: line ends, NUL and the sign of CTCP are not part of them, and where the text goes
/// on with what could be a command of another bot, a mark stands in front of it.
pub(super) fn lines(text: &str, most: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.split(['\r', '\n']) {
        split(line.replace(['\0', '\x01'], "").trim_end(), most, &mut lines);
    }
    lines
}

fn split(line: &str, most: usize, lines: &mut Vec<String>) {
    let marked = |rest: &str, is_first: bool| {
        let mark = if !is_first && most > 2 * MARK.len() && is_command(rest) { MARK } else { "" };
        format!("{mark}{rest}")
    };
    let mut rest = marked(line, lines.is_empty());
    while rest.len() > most {
        let first = rest.chars().next().map_or(1, char::len_utf8);
        let fits = rest.floor_char_boundary(most).max(first);
        // The word that begins right behind the limit is whole.
        let between = rest[..rest.floor_char_boundary(most + 1)]
            .rfind(' ')
            .filter(|at| *at >= MARK.len() || *at > 0 && !rest.starts_with(MARK));
        let (line, after) = rest.split_at(between.unwrap_or(fits));
        if !line.trim_end().is_empty() {
            lines.push(line.trim_end().to_owned());
        }
        rest = marked(after.trim_start_matches(' '), lines.is_empty());
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
}

/// Whether a name can be that of a user: nothing in it ends the parameter, or makes it several, or a channel.
pub(super) fn is_nick(name: &str) -> bool {
    let sign = |c: char| c <= ' ' || matches!(c, ',' | '*' | '?' | '!' | '@' | '\x7f');
    !name.is_empty()
        && name.len() <= 64
        && !name.starts_with([':', '#', '&', '$', '+', '~', '%', '.'])
        && !name.contains(sign)
}

/// What was said, without the codes of colours and faces.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let mut digits = |most: usize, is: fn(&char) -> bool| {
            let taken = std::iter::from_fn(|| chars.next_if(is)).take(most).count();
            taken > 0
        };
        match c {
            '\x03' => {
                if digits(2, char::is_ascii_digit) && chars.peek() == Some(&',') {
                    let mut ahead = chars.clone();
                    ahead.next();
                    if ahead.peek().is_some_and(char::is_ascii_digit) {
                        chars = ahead;
                        let _ = chars.next();
                        let _ = chars.next_if(char::is_ascii_digit);
                    }
                }
            }
            '\x04' => {
                let _ = digits(6, char::is_ascii_hexdigit);
            }
            '\x02' | '\x0f' | '\x11' | '\x16' | '\x1d' | '\x1e' | '\x1f' | '\0' => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_between_words_and_never_within_a_character() {
        assert_eq!(lines("one two three", 7), ["one two", "three"]);
        assert_eq!(lines("one two three", 8), ["one two", "three"]);
        assert_eq!(lines("abcdefgh", 3), ["abc", "def", "gh"]);
        assert_eq!(lines("äöüä", 3), ["ä", "ö", "ü", "ä"]);
        assert_eq!(lines(" x", 3), [" x"]);
        assert_eq!(lines("🦀🦀", 1), ["🦀", "🦀"], "a character is not split, however little room there is");
        let text = "ünï wörds 🦀🦀🦀 ".repeat(99);
        for most in 16..40 {
            let said = lines(&text, most);
            assert!(said.iter().all(|line| line.len() <= most && !line.is_empty()), "{most}");
            let whole = |text: &str| text.split_whitespace().collect::<String>();
            assert_eq!(whole(&said.concat()), whole(&text), "{most}: nothing is lost");
        }
    }

    #[test]
    fn nothing_that_is_said_is_a_command() {
        assert_eq!(lines("hi\r\nQUIT :x\n\nbye\0\x01", 100), ["hi", "QUIT :x", "bye"]);
        assert_eq!(lines("\r\n\0\x01 ", 100), [""; 0]);
        for name in ["", "a b", "a,b", "#c", ":a", "a\r\nQUIT", "*", "a!b@c", "$x", &"x".repeat(65)] {
            assert!(!is_nick(name), "{name:?}");
        }
        assert!(["ann", "[x]{}|^`-_\\", "Ünïx", "0day"].into_iter().all(is_nick));
    }

    #[test]
    fn a_message_does_not_go_on_with_what_another_bot_takes_for_a_command() {
        assert_eq!(lines("!first is the sender's own word", 16), ["!first is the", "sender's own", "word"]);
        assert_eq!(lines("bob: ann said: !kick bob", 16), ["bob: ann said:", "… !kick bob"]);
        assert_eq!(lines("one\n .two", 100), ["one", "…  .two"]);
        let hard = "!".repeat(100);
        let said = lines(&hard, 20);
        assert!(said.iter().all(|line| line.len() <= 20), "{said:?}");
        assert!(said[1..].iter().all(|line| line.starts_with(MARK)), "{said:?}");
        assert_eq!(said.concat().replace(MARK, ""), hard);
    }

    #[test]
    fn a_relayed_line_has_at_most_512_bytes() {
        let (prefix, target) = ("rosey!~rosey@host.example.org", "#lounge");
        let text = "x".repeat(room(prefix, target));
        assert_eq!(format!(":{prefix} PRIVMSG {target} :{text}\r\n").len(), 512);
    }

    #[test]
    fn colours_are_not_text() {
        assert_eq!(
            plain("\x02bold\x0f \x034,12red\x03 \x0312x \x035,y \x04ff00aaz\x1d!"),
            "bold red x ,y z!"
        );
        assert_eq!(plain("\x03123"), "3");
    }
}
