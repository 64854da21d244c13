//! What a history makes of an empty database, in the plainest way: the operations in the order of `(time, id)`, each
//! once, one after the other, on a state that is nothing but the facts. What is too old is left out at the end, and
//! added up.

use std::collections::BTreeMap;

use eitherway::{OpId, Operation};
use rosey::op::{MessageLog, Op, UserJoined, UserLeft};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::delivery::{Delivered, Removed};
use super::dump::Dump;

#[derive(Default)]
pub(crate) struct Model {
    users: BTreeMap<String, User>,
    /// Of chat users and of connections: how many, and since when.
    records: [(u32, Option<i64>); 2],
    channel_updated: i64,
    status: BTreeMap<String, (i64, String, Value)>,
    status_updated: i64,
    messages: BTreeMap<String, Message>,
    marks: Vec<Mark>,
    /// By plugin and key.
    kv: BTreeMap<(String, String), Entry>,
    /// Who is forgotten, and since when: what is older has no effect.
    forgotten: BTreeMap<String, (i64, String)>,
    counts: Vec<(i64, Value)>,
    ledger: Dump,
    /// Rows that nothing later changes.
    rows: Dump,
    removed: Option<Removed>,
    /// The message with the highest number, which stays.
    newest: Option<String>,
}

#[derive(Default)]
struct User {
    first_seen: Option<i64>,
    last_seen: i64,
    last_line: Option<i64>,
    lines: u32,
    connected: i64,
    session: Option<i64>,
    /// (time, id, whether the user joined)
    presence: Vec<(i64, String, bool)>,
    /// (time, id, what was said)
    said: Vec<(i64, String, String)>,
}

/// A value of a plugin; none, if it was deleted.
struct Entry {
    value: Option<Value>,
    at: i64,
    id: String,
    ends: Option<i64>,
}

struct Mark {
    id: String,
    message: Option<String>,
    at: i64,
    kind: &'static str,
    error: Option<String>,
}

struct Message {
    at: i64,
    username: Option<String>,
    sender: Option<String>,
    private: bool,
    content: String,
    delivered: Option<i64>,
    failed: Option<i64>,
    attempt: Option<i64>,
    retries: u32,
    error: Option<(i64, String, Option<String>)>,
}

/// The columns of the status that are fields, in the order of the dump.
const FIELDS: [&str; 13] = [
    "status",
    "details",
    "bot_name",
    "bot_rank",
    "bot_afk",
    "channel_name",
    "current_chat_users",
    "current_connected_users",
    "playlist_items",
    "current_media_title",
    "current_media_duration",
    "bot_start_time",
    "bot_connected",
];

impl Model {
    pub(crate) fn of(delivered: &Delivered) -> Self {
        let mut model = Self::default();
        for field in FIELDS {
            let value = if field == "status" { json!("offline") } else { Value::Null };
            model.status.insert(field.to_owned(), (0, String::new(), value));
        }
        model.status.insert("last_updated".to_owned(), (0, String::new(), json!(0)));
        model.removed = delivered.removed;
        let newest = delivered.messages.keys().max();
        model.newest = newest.map(|number| delivered.messages[number].to_string());
        let mut events: Vec<_> =
            delivered.requests.iter().map(|r| (r.head.occurred_at, r.head.id.to_string(), &*r.op)).collect();
        events.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        for (at, id, op) in &events {
            if let Op::Forget(op) = op {
                // The latest one, in their order.
                model.forgotten.insert(op.username.clone(), (*at, id.clone()));
            }
        }
        // A bot that reports on a message has its number from the database: it was there, whatever the clocks say.
        let (messages, rest): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|(_, _, op)| matches!(op, Op::OutboundEnqueue(_) | Op::Tell(_)));
        for (at, id, op) in messages.into_iter().chain(rest) {
            model.apply(at, &id, op, delivered);
        }
        model
    }

    fn apply(&mut self, at: i64, id: &str, op: &Op, delivered: &Delivered) {
        let second = at / 1000;
        if !matches!(op, Op::OutboundGet(_)) {
            let answer = matches!(op, Op::OutboundEnqueue(_) | Op::Tell(_)).then_some(id);
            self.ledger.push(json!(["ledger", id, op.spec().name, hash(op), at, answer]));
        }
        let is_forgotten = |name: &str| {
            let forgotten = self.forgotten.get(name);
            forgotten.is_some_and(|(since, by)| (at, id) < (*since, by.as_str()))
        };
        match op {
            Op::Forget(_) => {}
            Op::UserJoined(UserJoined { username })
            | Op::UserLeft(UserLeft { username })
            | Op::MessageLog(MessageLog { username, .. })
                if is_forgotten(username) => {}
            Op::UserJoined(op) => {
                let user = self.users.entry(op.username.clone()).or_default();
                user.presence.push((at, id.to_owned(), true));
                if let Some(since) = user.session {
                    user.connected += at - since;
                }
                user.session = Some(at);
                user.seen(second);
            }
            Op::UserLeft(op) => {
                let user = self.users.entry(op.username.clone()).or_default();
                user.presence.push((at, id.to_owned(), false));
                if let Some(since) = user.session.take() {
                    user.connected += at - since;
                    user.seen(second);
                }
            }
            Op::MessageLog(op) => {
                let user = self.users.entry(op.username.clone()).or_default();
                user.said.push((at, id.to_owned(), op.message.clone()));
                user.lines += 1;
                user.last_line = Some(second);
                user.seen(second);
            }
            Op::UserCount(op) => {
                let connected = op.connected_count.max(op.chat_count);
                self.counts.push((at, json!(["user_count_history", id, second, op.chat_count, connected])));
            }
            Op::HighWater(op) => {
                let connected = op.connected_count.filter(|count| *count > 0);
                for (record, count) in self.records.iter_mut().zip([Some(op.chat_count), connected]) {
                    if let Some(count) = count
                        && (count > record.0 || record.1.is_none())
                    {
                        *record = (count, Some(second));
                    }
                }
                self.channel_updated = second;
            }
            Op::StatusUpdate(op) => {
                let mut fields = serde_json::to_value(op).unwrap();
                let fields = fields.as_object_mut().unwrap();
                let data = fields.remove("status_data").unwrap_or_else(|| json!({}));
                for (field, value) in fields.iter().chain(data.as_object().unwrap()) {
                    let value = value.as_bool().map_or(value.clone(), |flag| json!(i32::from(flag)));
                    self.status.insert(field.clone(), (at, id.to_owned(), value));
                }
                self.status.insert("last_updated".to_owned(), (at, id.to_owned(), json!(second)));
                self.status_updated = second;
            }
            Op::PmCommand(op) => {
                let error = op.error.as_ref().map(|e| format!(", error: {e}")).unwrap_or_default();
                let details = format!("cmd={}, args: {}, result: {}{error}", op.command, op.args, op.result);
                let (username, details) = if is_forgotten(&op.username) {
                    ("", None)
                } else {
                    (op.username.as_str(), Some(details))
                };
                self.rows.push(json!(["user_actions", id, second, username, "pm_command", details]));
            }
            Op::OutboundEnqueue(op) => {
                if op.username.as_deref().is_some_and(is_forgotten) {
                    return self.nobodys(at, id, None);
                }
                let message = Message::new(at, op.username.clone(), op.content.clone());
                self.messages.insert(id.to_owned(), message);
            }
            Op::Tell(op) if is_forgotten(&op.username) || is_forgotten(&op.sender) => {
                self.nobodys(at, id, Some(op.privately));
            }
            Op::Tell(op) => {
                let message = Message::new(at, Some(op.username.clone()), op.content.clone());
                let message = Message { sender: Some(op.sender.clone()), private: op.privately, ..message };
                self.messages.insert(id.to_owned(), message);
            }
            Op::TellUndo(op) => {
                let message = delivered.messages.get(&op.message_id);
                let own = |id: &&OpId| {
                    let message = self.messages.get(&id.to_string());
                    message.is_some_and(|message| message.sender.as_ref() == Some(&op.sender))
                };
                self.mark(at, id, message.filter(own), "failed", Some(&"taken back".to_owned()));
            }
            Op::QuoteAdd(op) => {
                let (username, message) = if is_forgotten(&op.username) {
                    ("", "")
                } else {
                    (op.username.as_str(), op.message.as_str())
                };
                let by = op.added_by.as_ref().filter(|by| !username.is_empty() && !is_forgotten(by));
                self.rows.push(json!(["channel_quotes", id, at, username, message, by]));
            }
            Op::KvSet(op) => {
                let ends = op.ttl_seconds.map(|seconds| at + i64::from(seconds) * 1000);
                let entry = Entry { value: Some(op.value.clone()), at, id: id.to_owned(), ends };
                self.kv.insert((op.plugin_name.clone(), op.key.clone()), entry);
            }
            Op::KvDelete(op) => {
                let entry = Entry { value: None, at, id: id.to_owned(), ends: Some(at) };
                self.kv.insert((op.plugin_name.clone(), op.key.clone()), entry);
            }
            Op::OutboundMarkSent(op) => {
                self.mark(at, id, delivered.messages.get(&op.message_id), "sent", None);
            }
            Op::OutboundMarkFailed(op) => {
                let kind = if op.permanent { "failed" } else { "retry" };
                self.mark(at, id, delivered.messages.get(&op.message_id), kind, Some(&op.error));
            }
            Op::OutboundGet(_) => {} // leases are not part of the state
            query => panic!("{query:?} changes nothing"),
        }
    }

    fn mark(
        &mut self,
        at: i64,
        id: &str,
        message: Option<&OpId>,
        kind: &'static str,
        error: Option<&String>,
    ) {
        // A message of nobody is as none.
        let message = message.map(ToString::to_string);
        let message =
            message.filter(|id| self.messages.get(id).is_none_or(|message| !message.content.is_empty()));
        let error = error.filter(|_| message.is_some());
        let error_text = error.cloned();
        self.marks.push(Mark { id: id.to_owned(), message: message.clone(), at, kind, error: error_text });
        let Some(message) = message.and_then(|id| self.messages.get_mut(&id)) else { return };
        match kind {
            "sent" => message.delivered = message.delivered.or(Some(at)),
            "failed" => message.failed = message.failed.or(Some(at)),
            _ => message.retries += 1,
        }
        message.attempt = Some(at);
        if let Some(error) = error {
            message.error = Some((at, id.to_owned(), Some(error.clone())));
        }
    }

    /// A message from or for somebody who is forgotten: it has a number, and was given up when it was queued.
    fn nobodys(&mut self, at: i64, id: &str, tell: Option<bool>) {
        let mark = format!(" forgotten {id}");
        let message = Message {
            sender: tell.map(|_| String::new()),
            private: tell.unwrap_or(true),
            failed: Some(at),
            attempt: Some(at),
            error: Some((at, mark.clone(), None)),
            ..Message::new(at, Some(String::new()), String::new())
        };
        self.messages.insert(id.to_owned(), message);
        self.marks.push(Mark { id: mark, message: Some(id.to_owned()), at, kind: "failed", error: None });
    }

    /// Whether what happened at this time is too old to be kept.
    fn is_old(&self, at: i64) -> bool {
        self.removed.is_some_and(|removed| at < removed.horizon)
    }

    pub(crate) fn dump(mut self) -> Dump {
        self.remove_messages();
        let forgotten = self.removed.is_some_and(|removed| removed.forgotten);
        if !forgotten {
            for mut row in std::mem::take(&mut self.ledger) {
                // of an answer that names a message
                if row[5].as_str().is_some_and(|message| !self.messages.contains_key(message)) {
                    row[5] = Value::Null;
                }
                self.rows.push(row);
            }
        }
        for (at, row) in std::mem::take(&mut self.counts) {
            // Seconds are what the column holds.
            if !self.is_old(at / 1000 * 1000 + 999) {
                self.rows.push(row);
            }
        }
        for ((plugin, key), Entry { value, at, id, ends }) in std::mem::take(&mut self.kv) {
            if !ends.is_some_and(|ends| self.is_old(ends)) {
                self.rows.push(json!(["kv_entries", plugin, key, value, at, id, ends]));
            }
        }
        for (name, (at, id)) in std::mem::take(&mut self.forgotten) {
            if !self.is_old(at) {
                self.rows.push(json!(["forgotten", name, at, id]));
            }
        }
        for (name, user) in std::mem::take(&mut self.users) {
            self.dump_events(&name, &user);
            // Who only left was never here.
            let Some(first_seen) = user.first_seen else { continue };
            self.rows.push(json!([
                "user_stats",
                name,
                first_seen,
                user.last_seen,
                user.lines,
                user.connected / 1000,
                user.session.map(|at| at / 1000),
                user.connected,
                user.last_line,
            ]));
        }
        let [(users, users_at), (connected, connected_at)] = self.records;
        let updated = self.channel_updated;
        self.rows.push(json!(["channel_stats", 1, users, users_at, connected, connected_at, updated]));
        self.rows.push(json!(["high_water", "chat", users, users_at]));
        self.rows.push(json!(["high_water", "connected", connected, connected_at]));
        self.rows.push(json!(["high_water", "updated", updated, updated]));
        let mut status = vec![json!("current_status"), json!(1), json!(self.status_updated)];
        status.extend(FIELDS.map(|field| column(field, &self.status[field].2)));
        status.extend([Value::Null, Value::Null]);
        self.rows.push(Value::from(status));
        for (field, (at, id, value)) in self.status {
            self.rows.push(json!(["status_fields", field, at, id, value]));
        }
        for Mark { id, message, at, kind, error } in self.marks {
            self.rows.push(json!(["outbound_marks", id, message, at, kind, error]));
        }
        for (id, message) in self.messages {
            let over = message.delivered.or(message.failed);
            let (error_at, error_id, error) = match message.error {
                Some((at, id, text)) => (Some(at), Some(id), text),
                None => (None, None, None),
            };
            self.rows.push(json!([
                "outbound_messages",
                id,
                message.at,
                message.at / 1000,
                message.username,
                message.sender,
                i32::from(message.private),
                message.content,
                i32::from(over.is_some()),
                over.map(|at| at / 1000),
                message.delivered,
                message.failed,
                message.retries,
                message.attempt,
                error_at,
                error_id,
                error.filter(|_| message.delivered.is_none()),
            ]));
        }
        self.rows
    }
}

impl Model {
    /// Removes messages that are over for long, with their reports, and reports on what is not there.
    fn remove_messages(&mut self) {
        let Some(removed) = self.removed else { return };
        let late: Vec<_> =
            self.marks.iter().filter(|m| m.at >= removed.horizon).filter_map(|m| m.message.clone()).collect();
        let newest = self.newest.clone();
        self.messages.retain(|id, message| {
            // Seconds are what the column holds.
            let over = message.delivered.or(message.failed).map(|at| at / 1000);
            over.is_none_or(|at| at >= removed.horizon / 1000)
                || message.at >= removed.horizon
                || late.contains(id)
                || newest.as_ref() == Some(id)
        });
        let messages = &self.messages;
        self.marks.retain(|mark| {
            let there = mark.message.as_ref().is_some_and(|message| messages.contains_key(message));
            there || mark.message.is_none() && mark.at >= removed.horizon
        });
    }

    /// The events of a user that are kept, and the sum of those that are not.
    fn dump_events(&mut self, name: &str, user: &User) {
        let forgotten = self.removed.is_some_and(|removed| removed.forgotten);
        let old = user.presence.iter().take_while(|(at, ..)| forgotten && self.is_old(*at)).count();
        let (folded, kept) = user.presence.split_at(old.saturating_sub(1));
        for (at, id, joined) in kept {
            self.rows.push(json!(["presence", name, at, id, i32::from(*joined)]));
        }
        let sessions: Vec<(i64, i64)> = user
            .presence
            .windows(2)
            .take(folded.len())
            .filter(|two| two[0].2)
            .map(|two| (two[0].0, two[1].0))
            .collect();
        let (gone, stay): (Vec<_>, Vec<_>) = user.said.iter().partition(|(at, ..)| self.is_old(*at));
        let server = name.eq_ignore_ascii_case("server");
        for (at, id, line) in stay {
            self.rows.push(if server {
                json!(["server_lines", id, at, name])
            } else {
                json!(["recent_chat", id, at, at / 1000, name, line])
            });
        }
        if folded.is_empty() && gone.is_empty() {
            return;
        }
        let joins = sessions.iter().map(|(join, _)| join / 1000);
        let first = joins.chain(gone.iter().map(|(at, ..)| at / 1000)).min();
        let anchor = kept.first().filter(|_| !folded.is_empty());
        self.rows.push(json!([
            "user_baseline",
            name,
            first,
            gone.iter().map(|(at, ..)| at / 1000).max(),
            sessions.iter().map(|(_, next)| next / 1000).max(),
            gone.len(),
            sessions.iter().map(|(join, next)| next - join).sum::<i64>(),
            anchor.map_or(0, |anchor| anchor.0),
            anchor.map_or("", |anchor| anchor.1.as_str()),
        ]));
    }
}

impl Message {
    const fn new(at: i64, username: Option<String>, content: String) -> Self {
        Self {
            at,
            username,
            sender: None,
            private: true,
            content,
            delivered: None,
            failed: None,
            attempt: None,
            retries: 0,
            error: None,
        }
    }
}

impl User {
    fn seen(&mut self, second: i64) {
        self.first_seen = self.first_seen.or(Some(second));
        self.last_seen = second;
    }
}

/// The value as its column holds it: no status is `offline`, and a duration that is a whole number is one.
fn column(field: &str, value: &Value) -> Value {
    match (field, value) {
        ("status", Value::Null) => json!("offline"),
        ("current_media_duration", Value::String(text)) => {
            text.parse::<i64>().map_or(value.clone(), |number| json!(number))
        }
        #[allow(clippy::cast_possible_truncation)]
        ("current_media_duration", Value::Number(number)) => match number.as_f64() {
            Some(number) if number.fract() == 0.0 => json!(number as i64),
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

/// What the ledger keeps of a payload.
fn hash(op: &Op) -> i64 {
    let mut hash = Sha256::new();
    hash.update(op.spec().name);
    hash.update([0]);
    hash.update(op.encode().unwrap());
    i64::from_be_bytes(hash.finalize()[..8].try_into().unwrap())
}
