//! What the tables hold of a model: without what is too old, which is added up.

use serde_json::{Value, json};

use super::{Entry, FIELDS, Mark, Model, User, key, spelled};
use crate::order_free::dump::Dump;

impl Model {
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
                format!("{:015}{}", user.named.0, user.named.1),
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
                message.names[0],
                message.names[1],
            ]));
        }
        self.rows
    }

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
        for (at, id, joined, written) in kept {
            self.rows.push(json!(["presence", name, at, id, i32::from(*joined), spelled(written)]));
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
        for (at, id, line, written) in stay {
            self.rows.push(if server {
                json!(["server_lines", id, at, name])
            } else {
                let person = spelled(written).map(|written| key(&written));
                json!(["recent_chat", id, at, at / 1000, written, line, person])
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
