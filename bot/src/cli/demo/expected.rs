//! What a recording must leave in the database: worked out from its events alone, by the simplest means.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What one operation leaves: whose, when (unix milliseconds, or 0 where the recording does not say it), what.
pub(super) type Effect = (String, i64, String);

/// What a recording holds.
#[derive(Debug, Default)]
pub(super) struct Expected {
    pub(super) events: u64,
    /// The recorded time from the first to the last event, in seconds.
    pub(super) span: f64,
    /// What each operation leaves.
    pub(super) joins: Vec<Effect>,
    pub(super) leaves: Vec<Effect>,
    pub(super) lines: Vec<Effect>,
    /// Of these: said by the server, which are counted and not kept.
    pub(super) server_lines: i64,
    pub(super) counts: Vec<Effect>,
    pub(super) most_users: i64,
    pub(super) most_connected: i64,
    /// All users who joined or spoke.
    pub(super) users: BTreeSet<String>,
    /// Milliseconds in the channel, summed over all users' ended sessions.
    pub(super) connected_ms: i64,
    /// Sessions that never ended.
    pub(super) open_sessions: i64,
    /// Who joins while the recording runs, in order, each once.
    pub(super) newcomers: Vec<String>,
}

impl Expected {
    /// How many operations the bot makes of it, but for a few.
    pub(super) fn operations(&self) -> u64 {
        // Each user who joins is looked up, a count is noted and compared with the highest.
        let operations = 2 * self.joins.len() + self.leaves.len() + self.lines.len() + 2 * self.counts.len();
        operations as u64
    }

    /// Works it out.
    pub(super) fn of(recording: &[Value]) -> Self {
        let mut expected = Self::default();
        let mut present: BTreeMap<String, i64> = BTreeMap::new();
        let mut first = None;
        for event in recording {
            let at = event["timestamp"].as_f64().unwrap_or_default();
            expected.span = at - *first.get_or_insert(at);
            expected.events += 1;
            expected.add(event, millis(at), &mut present);
        }
        expected.open_sessions = i64::try_from(present.len()).unwrap_or_default();
        expected
    }

    fn add(&mut self, event: &Value, at: i64, present: &mut BTreeMap<String, i64>) {
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
                self.leaves.push((user.to_owned(), at, String::new()));
                if let Some(since) = present.remove(user) {
                    self.connected_ms += at - since;
                }
            }
            "message" => {
                let server = user.eq_ignore_ascii_case("server");
                let kept = if server { "" } else { event["content"].as_str().unwrap_or_default() };
                self.lines.push((user.to_owned(), at, kept.to_owned()));
                self.server_lines += i64::from(server);
                self.users.insert(user.to_owned());
            }
            "user_count" => {
                let [users, connected] =
                    ["usercount", "connected"].map(|field| event[field].as_i64().unwrap_or_default());
                self.counts.push((String::new(), at, format!("{users} {}", connected.max(users))));
                self.most_users = self.most_users.max(users);
                self.most_connected = self.most_connected.max(connected);
            }
            _ => {}
        }
    }

    fn join(&mut self, user: &str, at: i64, present: &mut BTreeMap<String, i64>) {
        self.joins.push((user.to_owned(), at, String::new()));
        self.users.insert(user.to_owned());
        if let Some(since) = present.insert(user.to_owned(), at) {
            self.connected_ms += at - since;
        }
    }
}

#[allow(clippy::cast_possible_truncation)] // unix seconds of a recording
fn millis(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}
