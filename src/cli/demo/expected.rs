//! What a recording must leave in the database: worked out from the file alone, by the simplest means.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::super::exit::{Exit, Failure};

/// What a recording holds.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) events: u64,
    /// The recorded time from the first to the last event, in seconds.
    pub(super) span: f64,
    pub(super) joins: i64,
    pub(super) leaves: i64,
    pub(super) lines: i64,
    /// Of these: said by the server, which are counted and not kept.
    pub(super) server_lines: i64,
    pub(super) counts: i64,
    pub(super) most_users: i64,
    pub(super) most_connected: i64,
    /// Everybody who joined or spoke.
    pub(super) users: BTreeSet<String>,
    /// Milliseconds in the channel, over sessions that ended, of everybody together.
    pub(super) connected_ms: i64,
    /// Sessions that never ended.
    pub(super) open_sessions: i64,
    /// Who joins while the recording runs, in order, each once.
    pub(super) newcomers: Vec<String>,
}

impl Expected {
    /// How many operations the bot makes of it, but for a few.
    pub(super) fn operations(&self) -> u64 {
        // Whoever joins is asked for, a count is noted and compared with the highest.
        let operations = 2 * self.joins + self.leaves + self.lines + 2 * self.counts;
        u64::try_from(operations).unwrap_or_default()
    }

    /// Reads a recording.
    pub(super) fn read(file: &Path) -> Result<Self, Failure> {
        let wrong = |why: String| {
            Failure::new(
                Exit::Usage,
                format!("the recording {}: {why}; --session names another", file.display()),
            )
        };
        let text = std::fs::read_to_string(file).map_err(|e| wrong(e.to_string()))?;
        let mut expected = Self::default();
        let mut present: BTreeMap<String, f64> = BTreeMap::new();
        let mut first = None;
        for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let event: Value =
                serde_json::from_str(line).map_err(|e| wrong(format!("line {}: {e}", number + 1)))?;
            let at = event["timestamp"].as_f64().unwrap_or_default();
            expected.span = at - *first.get_or_insert(at);
            expected.events += 1;
            expected.add(&event, at, &mut present);
        }
        expected.open_sessions = i64::try_from(present.len()).unwrap_or_default();
        Ok(expected)
    }

    fn add(&mut self, event: &Value, at: f64, present: &mut BTreeMap<String, f64>) {
        let user = event["user"].as_str().unwrap_or_default();
        match event["event"].as_str().unwrap_or_default() {
            "user_list" => {
                for user in
                    event["users"].as_array().into_iter().flatten().filter_map(|u| u["username"].as_str())
                {
                    self.join(user, at, present);
                }
            }
            "user_join" => {
                self.join(user, at, present);
                if !self.newcomers.iter().any(|known| known == user) {
                    self.newcomers.push(user.to_owned());
                }
            }
            "user_leave" => {
                self.leaves += 1;
                if let Some(since) = present.remove(user) {
                    self.connected_ms += millis(at) - millis(since);
                }
            }
            "message" => {
                self.lines += 1;
                self.server_lines += i64::from(user.eq_ignore_ascii_case("server"));
                self.users.insert(user.to_owned());
            }
            "user_count" => {
                self.counts += 1;
                self.most_users = self.most_users.max(event["usercount"].as_i64().unwrap_or_default());
                self.most_connected =
                    self.most_connected.max(event["connected"].as_i64().unwrap_or_default());
            }
            _ => {}
        }
    }

    fn join(&mut self, user: &str, at: f64, present: &mut BTreeMap<String, f64>) {
        self.joins += 1;
        self.users.insert(user.to_owned());
        if let Some(since) = present.insert(user.to_owned(), at) {
            self.connected_ms += millis(at) - millis(since);
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // unix seconds of a recording
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}
