//! What is said, as lines that a server does not cut.

use super::super::link::continued::{MARK, is_command};

/// The longest line: older servers cut what is longer. They count units of UTF-16.
const LONGEST: usize = 240;
/// The most lines of one message.
pub(in crate::bot::chat) const MOST_LINES: usize = 4;
/// The longest name.
const LONGEST_NAME: usize = 20;

/// The text as lines, split where it has line ends, between words, or else between characters. None is a command of the server: a
/// blank stands in front of a `/`. Where the text goes on with what could be a command of another bot, a mark stands in front of it.
pub(in crate::bot::chat) fn lines(text: &str) -> Vec<String> {
    let clean = |line: &str| {
        let line: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        line.trim().to_owned()
    };
    let lines =
        text.split(['\r', '\n']).map(clean).flat_map(|line| split(&line, LONGEST - MARK.chars().count()));
    let harmless = |(n, line): (usize, String)| match n {
        0 if line.starts_with('/') => format!(" {line}"),
        1.. if is_command(&line) => format!("{MARK}{line}"),
        _ => line,
    };
    lines.enumerate().map(harmless).collect()
}

fn split(line: &str, most: usize) -> Vec<String> {
    let (mut rest, mut lines) = (line, Vec::new());
    while !rest.is_empty() {
        let mut units = 0;
        let fits = rest.char_indices().find(|(_, c)| {
            units += c.len_utf16();
            units > most
        });
        let Some((fits, _)) = fits else {
            lines.push(rest.to_owned());
            break;
        };
        // The word that ends at the limit is whole.
        let next = fits + rest[fits..].chars().next().map_or(0, char::len_utf8);
        let between = rest[..next].rfind(' ').filter(|at| *at > 0);
        let (line, after) = rest.split_at(between.unwrap_or(fits));
        lines.push(line.trim_end().to_owned());
        rest = after.trim_start();
    }
    lines.retain(|line| !line.is_empty());
    lines
}

/// Whether a user can have this name.
pub(in crate::bot::chat) fn is_name(name: &str) -> bool {
    let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '\u{c0}'..='\u{ff}');
    !name.is_empty() && name.chars().count() <= LONGEST_NAME && name.chars().all(sign)
}

/// What is left of a text when a channel's filters have changed its looks.
pub(super) fn core(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_split_between_words_and_nothing_in_it_is_a_command() {
        assert_eq!(lines("one\r\n\r\n two \n"), ["one", "two"]);
        assert_eq!(lines("/clear\nsay /me"), [" /clear", "say /me"]);
        assert_eq!(lines("a\tb\0c"), ["a b c"]);
        let words = "wörd 🦀 ".repeat(200);
        let said = lines(&words);
        assert!(said.iter().all(|line| line.encode_utf16().count() <= LONGEST), "{said:?}");
        assert!(
            said.iter().all(|line| line.split(' ').all(|word| matches!(word, "wörd" | "🦀"))),
            "{said:?}"
        );
        assert_eq!(said.join(" "), words.trim());
        let long = "🦀".repeat(500);
        assert_eq!(lines(&long).concat(), long);
        let slash = format!("{} /clear", "x".repeat(LONGEST - 2));
        assert_eq!(lines(&slash)[1], "… /clear", "also at the begin of a later line");
        assert_eq!(lines("one\n!kick bob")[1], "… !kick bob");
    }

    #[test]
    fn a_name_has_the_signs_that_cytube_allows() {
        assert!(["rosey", "Rosey_2", "a-b", "Zoë"].into_iter().all(is_name));
        assert!(!["", "[server]", "a b", "x\n", "123456789012345678901", "ą"].into_iter().any(is_name));
    }
}
