//! What a history makes of an empty database, in the plainest way: the operations in the order of `(time, id)`, each
//! once, one after the other, on a state that is nothing but the facts. What is too old is left out at the end, and
//! added up.

mod rows;

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
    /// (time, id, whether the user joined, the name as it was written)
    presence: Vec<(i64, String, bool, String)>,
    /// (time, id, what was said, the name as it was written)
    said: Vec<(i64, String, String, String)>,
    /// The latest spelling in a join or a line; of two at the same time, the greater one.
    named: (i64, String),
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
    /// The names as they were written, if otherwise.
    names: [Option<String>; 2],
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
                model.forgotten.insert(key(&op.username), (*at, id.clone()));
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
            let forgotten = self.forgotten.get(&key(name));
            forgotten.is_some_and(|(since, by)| (at, id) < (*since, by.as_str()))
        };
        match op {
            Op::Forget(_) => {}
            Op::UserJoined(UserJoined { username })
            | Op::UserLeft(UserLeft { username })
            | Op::MessageLog(MessageLog { username, .. })
                if is_forgotten(username) => {}
            Op::UserJoined(op) => {
                let user = self.users.entry(key(&op.username)).or_default();
                user.presence.push((at, id.to_owned(), true, op.username.clone()));
                user.called(at, &op.username);
                if let Some(since) = user.session {
                    user.connected += at - since;
                }
                user.session = Some(at);
                user.seen(second);
            }
            Op::UserLeft(op) => {
                let user = self.users.entry(key(&op.username)).or_default();
                user.presence.push((at, id.to_owned(), false, op.username.clone()));
                if let Some(since) = user.session.take() {
                    user.connected += at - since;
                    user.seen(second);
                }
            }
            Op::MessageLog(op) => {
                let user = self.users.entry(key(&op.username)).or_default();
                user.said.push((at, id.to_owned(), op.message.clone(), op.username.clone()));
                user.called(at, &op.username);
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
                let (username, details, person) = if is_forgotten(&op.username) {
                    ("", None, None)
                } else {
                    let person = spelled(&op.username).map(|name| key(&name));
                    (op.username.as_str(), Some(details), person)
                };
                self.rows.push(json!(["user_actions", id, second, username, "pm_command", details, person]));
            }
            Op::OutboundEnqueue(op) => {
                if op.username.as_deref().is_some_and(is_forgotten) {
                    return self.forgotten_message(at, id, None);
                }
                let message = Message::new(at, op.username.clone(), op.content.clone());
                self.messages.insert(id.to_owned(), message);
            }
            Op::Tell(op) if is_forgotten(&op.username) || is_forgotten(&op.sender) => {
                self.forgotten_message(at, id, Some(op.privately));
            }
            Op::Tell(op) => {
                let message = Message::new(at, Some(op.username.clone()), op.content.clone());
                let names = [spelled(&op.username), spelled(&op.sender)];
                let message =
                    Message { names, sender: Some(key(&op.sender)), private: op.privately, ..message };
                self.messages.insert(id.to_owned(), message);
            }
            Op::TellUndo(op) => {
                let message = delivered.messages.get(&op.message_id);
                let own = |id: &&OpId| {
                    let message = self.messages.get(&id.to_string());
                    message.is_some_and(|message| message.sender.as_ref() == Some(&key(&op.sender)))
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
                let row = json!([
                    "channel_quotes",
                    id,
                    at,
                    key(username),
                    message,
                    by.map(|by| key(by)),
                    spelled(username),
                    by.and_then(|by| spelled(by)),
                ]);
                self.rows.push(row);
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
        // A forgotten message is as none.
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

    /// A message from or for a user who is forgotten: it has a number, and was given up when it was queued.
    fn forgotten_message(&mut self, at: i64, id: &str, tell: Option<bool>) {
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
}

impl Message {
    fn new(at: i64, username: Option<String>, content: String) -> Self {
        Self {
            at,
            names: [username.as_deref().and_then(spelled), None],
            username: username.as_deref().map(key),
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

    fn called(&mut self, at: i64, name: &str) {
        let named = (at, name.to_owned());
        if named > self.named {
            self.named = named;
        }
    }
}

/// Whose name this is: of these histories, the name without upper case.
fn key(name: &str) -> String {
    name.to_lowercase()
}

/// The name, if it is not the key.
fn spelled(name: &str) -> Option<String> {
    (key(name) != name).then(|| name.to_owned())
}

/// What the ledger keeps of a payload.
fn hash(op: &Op) -> i64 {
    let mut hash = Sha256::new();
    hash.update(op.spec().name);
    hash.update([0]);
    hash.update(op.encode().unwrap());
    i64::from_be_bytes(hash.finalize()[..8].try_into().unwrap())
}
