//! Text as it may be shown: without characters that are commands to a terminal, or invisible.

use std::fmt::Write;

use eitherway::clock;

/// Whether a terminal or a viewer takes the character for a command, or shows nothing at all for it: control characters
/// of both sets, directions of writing, separators of lines, everything of no width.
const fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\0'..='\u{1f}'
            | '\u{7f}'..='\u{9f}'
            | '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

fn escaped(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if keep(c) || !is_hidden(c) => shown.push(c),
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    shown
}

/// A name or a message, which stays on one line: hidden characters are written as `\u{202e}`.
pub(super) fn clean(text: &str) -> String {
    escaped(text, |_| false)
}

/// The same for text of several lines.
pub(super) fn lines(text: &str) -> String {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// The same for a line of the log that is coloured by ourselves: what strangers wrote in it holds no escape any more.
pub(super) fn coloured(text: &str) -> String {
    escaped(text, |c| c == '\u{1b}')
}

/// JSON as it was serialised, with hidden characters as `\u202e`: they stand in its strings alone.
pub(super) fn json(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c > '\u{7e}' && is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The end of the year 9999, in unix milliseconds.
const LAST: i64 = 253_402_300_800_000;

/// A unix second as a date and time of day, which says that it is UTC.
pub(super) fn time(second: i64) -> String {
    match second.checked_mul(1000) {
        Some(millis) if (0..LAST).contains(&millis) => {
            let whole = clock::rfc3339(millis).replace('T', " ");
            format!("{} UTC", whole.trim_end_matches(".000Z"))
        }
        _ => format!("second {second}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_written_out() {
        assert_eq!(clean("a\u{1b}[2Jb\u{202e}c\u{9b}d\ne"), "a\\u{1b}[2Jb\\u{202e}c\\u{9b}d\\ne");
        assert_eq!(lines("one\u{2028}\ntwo\r\n"), "one\\u{2028}\ntwo\\r\n");
        assert_eq!(coloured("\u{1b}[32mINFO\u{9b}"), "\u{1b}[32mINFO\\u{9b}");
        assert_eq!(clean("Zoë 日本 👍🏽 – ok"), "Zoë 日本 👍🏽 – ok");
    }

    #[test]
    fn json_stays_json_and_means_the_same() {
        let value = serde_json::json!({"a\u{85}": "\u{1b}\u{7f}\u{9b}\u{200b}\u{e0041}é"});
        let shown = json(&value.to_string());
        assert_eq!(shown, r#"{"a\u0085":"\u001b\u007f\u009b\u200b\udb40\udc41é"}"#);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
    }

    #[test]
    fn a_second_is_shown_as_its_date() {
        assert_eq!(time(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(time(1_700_000_000), "2023-11-14 22:13:20 UTC");
        assert_eq!(time(i64::MAX), "second 9223372036854775807");
    }
}
