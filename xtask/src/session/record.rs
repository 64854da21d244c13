//! Writes events as JSON lines, in the order of their time.

use std::fmt::Write as _;

/// The unix second at which the recording begins.
const START: u64 = 1_700_000_000;

/// The lines so far.
#[derive(Debug, Default)]
pub(super) struct Record {
    text: String,
    /// The time of the last line, in milliseconds since the beginning.
    last: u64,
}

impl Record {
    /// Adds an event whose fields are given as JSON. Times are whole seconds unless `fine` is set, or the
    /// previous line is later than that second.
    pub(super) fn event(&mut self, at: u64, fine: bool, name: &str, fields: &str) {
        let whole = at / 1000 * 1000;
        let at = if fine || whole < self.last { at.max(self.last) } else { whole };
        self.last = at;
        let comma = if fields.is_empty() { "" } else { "," };
        // Writing to a string cannot fail.
        let _ = writeln!(
            self.text,
            r#"{{"event":"{name}"{comma}{fields},"timestamp":{}}}"#,
            seconds(START * 1000 + at)
        );
    }

    /// The whole recording.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// Milliseconds as seconds with no more decimals than needed.
fn seconds(milliseconds: u64) -> String {
    let (whole, part) = (milliseconds / 1000, milliseconds % 1000);
    if part == 0 {
        return whole.to_string();
    }
    format!("{whole}.{part:03}").trim_end_matches('0').to_owned()
}

/// A JSON string with its quotes.
pub(super) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// `{"username":…,"rank":…}`.
pub(super) fn user(name: &str, rank: u64) -> String {
    format!(r#"{{"username":{},"rank":{rank}}}"#, json(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short_and_never_go_back() {
        let mut record = Record::default();
        record.event(0, false, "connect", "");
        record.event(1_250, true, "a", r#""b":1"#);
        record.event(1_600, false, "a", r#""b":2"#);
        record.event(2_900, false, "a", r#""b":3"#);
        let text = record.into_text();
        let times: Vec<&str> =
            text.lines().filter_map(|line| line.rsplit_once(':')).map(|(_, time)| time).collect();
        assert_eq!(times, ["1700000000}", "1700000001.25}", "1700000001.6}", "1700000002}"]);
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(json("a\"b\\c\td🦞"), r#""a\"b\\c\u0009d🦞""#);
    }
}
