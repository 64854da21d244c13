//! What happens on the screen, and when the room laughs.

use super::rng::Deck;
use crate::failure::Failure;

/// A moment of the film that people react to.
#[derive(Debug)]
pub(super) struct Beat {
    /// The second of the recording.
    pub(super) at: u64,
    /// For how many seconds people talk about it. Longer ones are louder too.
    pub(super) span: u64,
    /// The list of reactions.
    pub(super) mood: &'static str,
    /// What is on the screen: `show`, `lake` or `castle`.
    pub(super) part: &'static str,
    /// What people say about it.
    pub(super) lines: Deck<&'static str>,
}

impl Beat {
    /// Messages per thousand seconds that it causes at a given second.
    pub(super) fn heat(&self, second: u64) -> u64 {
        match second.checked_sub(self.at) {
            Some(age) if age < self.span => {
                let left = self.span - age;
                125 * left * left / self.span
            }
            _ => 0,
        }
    }
}

/// Parses the script: `@ hours:minutes mood seconds part`, followed by one line per remark.
pub(super) fn script(text: &'static str) -> Result<Vec<Beat>, Failure> {
    let mut heads: Vec<(&str, Vec<&'static str>)> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match (line.strip_prefix("@ "), heads.last_mut()) {
            (Some(head), _) => heads.push((head, Vec::new())),
            (None, Some((_, lines))) => lines.push(line),
            (None, None) => return Err(wrong(line)),
        }
    }
    heads.into_iter().map(|(head, lines)| beat(head, lines)).collect()
}

fn beat(head: &'static str, lines: Vec<&'static str>) -> Result<Beat, Failure> {
    let words: Vec<&'static str> = head.split_whitespace().collect();
    let [time, mood, span, part] = words[..] else { return Err(wrong(head)) };
    let at = second(time).ok_or_else(|| wrong(head))?;
    let span: u64 = span.parse().map_err(|_| wrong(head))?;
    let span = span.max(1);
    Ok(Beat { at, span, mood, part, lines: Deck::new(lines) })
}

/// Parses the announcements of the room: `hours:minutes` and the text, one per line. Returns the second and
/// the text.
pub(super) fn announcements(text: &'static str) -> Result<Vec<(u64, &'static str)>, Failure> {
    let parsed = |line: &'static str| {
        let (time, words) = line.split_once(' ')?;
        Some((second(time)?, words))
    };
    text.lines().map(|line| parsed(line).ok_or_else(|| wrong(line))).collect()
}

/// The second of `hours:minutes`.
fn second(time: &str) -> Option<u64> {
    let (hours, minutes) = time.split_once(':')?;
    Some(hours.parse::<u64>().ok()? * 3600 + minutes.parse::<u64>().ok()? * 60)
}

fn wrong(line: &str) -> Failure {
    Failure::new(format!("cannot read {line:?} in xtask/words; xtask/src/session/film.rs tells the form"))
}
