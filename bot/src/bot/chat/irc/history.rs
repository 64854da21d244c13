//! What the server repeats: batches of lines from before, which it sends unasked at an entry, or is asked for where it keeps them
//! (`draft/chathistory`).

use super::message::Message;
use eitherway::clock;

/// As many lines are asked for at once.
const PAGE: usize = 200;
/// How often in a row: what there is beyond is left out.
const MOST_PAGES: usize = 50;
/// Batches that are open at once. A line of another one is a new line.
const MOST_OPEN: usize = 8;

/// What is known of the lines before, and of the batches that are open.
#[derive(Debug, Default)]
pub(super) struct History {
    open: Vec<String>,
    /// When the newest line of the channel was said, by the server's clock.
    newest: Option<i64>,
    /// Lines of the batch that is open, and how many batches there were since the entry.
    lines: usize,
    pages: usize,
}

impl History {
    /// Of a channel that was left after a line of this time.
    pub(super) fn after(newest: Option<i64>) -> Self {
        Self { newest, ..Self::default() }
    }

    /// When the newest line was said.
    pub(super) const fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// Notes a line of the channel, said at this time of the server.
    pub(super) fn line(&mut self, at: Option<i64>) {
        self.newest = self.newest.max(at);
    }

    /// Whether it is a repeated one, which is counted.
    pub(super) fn is_repeated(&mut self, message: &Message<'_>) -> bool {
        if self.open.is_empty() {
            return false;
        }
        let repeated = message.tag("batch").is_some_and(|batch| self.open.iter().any(|open| *open == batch));
        self.lines += usize::from(repeated);
        repeated
    }

    /// A batch begins or ends. What is to be asked then, of a server that keeps the lines of this channel.
    pub(super) fn batch(&mut self, message: &Message<'_>, channel: &str, keeps: bool) -> Option<String> {
        let (sign, reference) = message.param(0).split_at_checked(1)?;
        match sign {
            "+" if message.param(1) == "chathistory" && self.open.len() < MOST_OPEN => {
                self.open.push(reference.to_owned());
                self.lines = 0;
                None
            }
            "-" => {
                let place = self.open.iter().position(|open| open == reference)?;
                self.open.remove(place);
                (self.lines >= PAGE).then(|| self.question(channel, keeps)).flatten()
            }
            _ => None,
        }
    }

    /// What is to be asked at an entry: for the lines since the newest one that is known.
    pub(super) fn question(&mut self, channel: &str, keeps: bool) -> Option<String> {
        if !keeps || self.pages == MOST_PAGES {
            return None;
        }
        self.pages += 1;
        let since = clock::rfc3339(self.newest?);
        Some(format!("CHATHISTORY AFTER {channel} timestamp={since} {PAGE}"))
    }
}
