//! The grammar of IRC: one line in, its parts out. Never fails for what a server may send; never panics.

use std::borrow::Cow;

/// The longest line that is read, in bytes: 8191 of tags and 512 of message.
pub(super) const LONGEST_LINE: usize = 8191 + 512;

/// The most parameters that the grammar allows.
const MOST_PARAMS: usize = 15;

/// One line from a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    tags: &'a str,
    /// Who sent it: a server, or a user as `nick!user@host`.
    pub(super) source: &'a str,
    /// A verb or a number of three digits.
    pub(super) command: &'a str,
    params: [&'a str; MOST_PARAMS],
    count: usize,
}

/// The text of a line: UTF-8, and what is not UTF-8 as Latin-1. A byte of another encoding costs one letter and not the line.
pub(super) fn text(line: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(line) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(line.len() * 2);
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| char::from(*byte)));
    }
    Cow::Owned(text)
}

impl<'a> Message<'a> {
    /// Parses a line without its line ending. `None` if it has no command.
    pub(super) fn parse(line: &'a str) -> Option<Self> {
        let mut rest = line.trim_end_matches(['\r', '\n']).trim_start_matches(' ');
        let tags = part(&mut rest, '@').unwrap_or_default();
        let source = part(&mut rest, ':').unwrap_or_default();
        let command = word(&mut rest);
        if command.is_empty() {
            return None;
        }
        let (mut params, mut count) = ([""; MOST_PARAMS], 0);
        while !rest.is_empty() && count < MOST_PARAMS {
            params[count] = match rest.strip_prefix(':') {
                Some(last) => std::mem::take(&mut rest).strip_prefix(':').unwrap_or(last),
                None if count == MOST_PARAMS - 1 => std::mem::take(&mut rest),
                None => word(&mut rest),
            };
            count += 1;
        }
        Some(Self { tags, source, command, params, count })
    }

    /// The parameters.
    pub(super) fn params(&self) -> &[&'a str] {
        &self.params[..self.count]
    }

    /// The parameter at this place, or nothing.
    pub(super) fn param(&self, place: usize) -> &'a str {
        self.params().get(place).copied().unwrap_or_default()
    }

    /// The last parameter: the text of a reply for people.
    pub(super) fn last(&self) -> &'a str {
        self.params().last().copied().unwrap_or_default()
    }

    /// The nickname of who sent it.
    pub(super) fn nick(&self) -> &'a str {
        self.source.split(['!', '@']).next().unwrap_or_default()
    }

    /// The `user@host` of who sent it, where it is known.
    pub(super) fn mask(&self) -> &'a str {
        self.source.split_once('!').map_or("", |(_, mask)| mask)
    }

    /// The value of a tag, if it has one.
    pub(super) fn tag(&self, name: &str) -> Option<Cow<'a, str>> {
        let of = |tag: &'a str| tag.split_once('=').filter(|(key, _)| *key == name);
        // Of a tag that comes twice, the last one counts.
        let (_, value) = self.tags.split(';').filter_map(of).next_back()?;
        Some(unescaped(value))
    }
}

/// The word that follows a sign at the beginning.
fn part<'a>(rest: &mut &'a str, sign: char) -> Option<&'a str> {
    *rest = rest.strip_prefix(sign)?;
    Some(word(rest))
}

/// The text up to a blank; the blanks after it are skipped.
fn word<'a>(rest: &mut &'a str) -> &'a str {
    let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
    *rest = after.trim_start_matches(' ');
    word
}

/// The value of a tag as it was before it was escaped.
fn unescaped(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let (mut plain, mut chars) = (String::with_capacity(value.len()), value.chars());
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some(':')) => plain.push(';'),
            ('\\', Some('s')) => plain.push(' '),
            ('\\', Some('r')) => plain.push('\r'),
            ('\\', Some('n')) => plain.push('\n'),
            ('\\', Some(other)) => plain.push(other),
            ('\\', None) => {}
            (c, _) => plain.push(c),
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_line_is_found() {
        let line =
            "@time=2026-11-27T12:00:00.000Z;msgid=a\\sb\\:c;+x :ann!a@host PRIVMSG  #c :hello  there : you\r";
        let message = Message::parse(line).expect("a message");
        assert_eq!((message.nick(), message.mask()), ("ann", "a@host"));
        assert_eq!((message.command, message.params()), ("PRIVMSG", &["#c", "hello  there : you"][..]));
        assert_eq!(message.tag("msgid").as_deref(), Some("a b;c"));
        assert_eq!(message.tag("time").as_deref(), Some("2026-11-27T12:00:00.000Z"));
        assert_eq!((message.tag("+x"), message.tag("nothing")), (None, None));
    }

    #[test]
    fn odd_lines_have_their_meaning_too() {
        let params = |line: &'static str| Message::parse(line).expect(line).params().to_vec();
        assert_eq!(params("PING :"), [""]);
        assert_eq!(params("PING"), [""; 0]);
        assert_eq!(params(":s 353 me = #c :@ann +bob "), ["me", "=", "#c", "@ann +bob "]);
        assert_eq!(params("MODE #c +o ann"), ["#c", "+o", "ann"]);
        assert_eq!(params("X 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 :17").last(), Some(&"15 16 :17"));
        assert_eq!(params("X :"), [""]);
        for nothing in ["", " ", "\r", ":source", "@tags", "@tags :source", "@ : "] {
            assert_eq!(Message::parse(nothing), None, "{nothing:?}");
        }
        assert_eq!(Message::parse("@msgid=1;msgid=2 X").and_then(|m| m.tag("msgid")).as_deref(), Some("2"));
    }

    #[test]
    fn a_byte_that_is_not_utf_8_is_a_letter_of_latin_1() {
        assert_eq!(text(b"caf\xe9 \xc3\xa9 \xff"), "café é ÿ");
        assert_eq!(text(b"\xe2\x82"), "â\u{82}");
    }
}
