//! The verdict: what the recording must leave, and what was acknowledged, against what is in the database.

use std::collections::BTreeMap;
use std::fmt;

use super::super::exit::Failure;
use super::super::path_stats::Row;
use super::effects::{self, Difference};
use super::expected::{Effect, Expected};
use super::rows::Rows;
use crate::op::Op;
use eitherway::operation::{Operation, Spec};
use serde::Serialize;

/// What was found in the database.
#[derive(Debug, Default, Serialize)]
pub(super) struct Verdict {
    /// Acknowledged or recorded, and not in the database.
    pub(super) lost: i64,
    /// In the database, and more often than it was recorded or sent.
    pub(super) doubled: i64,
    operations: Vec<Counted>,
    values: Vec<Compared>,
}

/// An operation that takes effect: how often.
#[derive(Debug, Default, Serialize)]
struct Counted {
    operation: String,
    /// What the recording leads to, where that says it.
    recorded: Option<i64>,
    sent: i64,
    acknowledged: i64,
    /// Ids in the ledger.
    ledger: i64,
    /// Effects, where it has rows of its own.
    effects: Option<i64>,
    /// Of those that the recording leads to: not there.
    missing: i64,
    /// Effects that it does not lead to, or not so often.
    surplus: i64,
}

/// A value that follows from the recording.
#[derive(Debug, Serialize)]
struct Compared {
    value: &'static str,
    recorded: i64,
    found: i64,
}

impl Counted {
    /// By the ledger, or by the effects: whichever knows of more.
    fn lost(&self) -> i64 {
        let asked = self.recorded.unwrap_or_default().max(self.acknowledged);
        (asked - self.ledger).max(self.missing).max(0)
    }

    fn doubled(&self) -> i64 {
        // A call that failed may have been sent again under its id.
        (self.ledger - self.recorded.unwrap_or(self.sent)).max(self.surplus).max(0)
    }
}

/// What was done to the database besides the recording.
#[derive(Debug)]
pub(super) struct Messages {
    /// Left for users before it began.
    pub(super) left: Vec<Effect>,
    /// Said by the bot.
    pub(super) heard: i64,
}

impl Verdict {
    /// Counts in the database.
    pub(super) async fn find(
        expected: &Expected,
        messages: &Messages,
        sent: &[Row],
        tables: &Rows,
    ) -> Result<Self, Failure> {
        let operations = operations(expected, &messages.left, sent, tables).await?;
        Ok(Self {
            lost: operations.iter().map(Counted::lost).sum(),
            doubled: operations.iter().map(Counted::doubled).sum(),
            operations,
            values: values(expected, messages, tables).await?,
        })
    }

    /// Whether everything is as the recording makes it.
    pub(super) fn is_good(&self) -> bool {
        self.lost == 0 && self.doubled == 0 && self.values.iter().all(|value| value.recorded == value.found)
    }
}

/// Every operation has an id of its own: the ledger has one row for each that was sent, or one was lost or taken for
/// another. Claims of nothing leave no row.
async fn operations(
    expected: &Expected,
    left: &[Effect],
    sent: &[Row],
    tables: &Rows,
) -> Result<Vec<Counted>, Failure> {
    let ledger =
        tables.all::<(String, i64)>("SELECT operation, count(*) FROM ledger GROUP BY operation").await?;
    let ledger = BTreeMap::from_iter(ledger);
    let must = effects::all(expected, left);
    let mut operations = Vec::new();
    for name in
        Op::SPECS.iter().filter(|spec: &&Spec| spec.writes() && !spec.answer_is_list()).map(|spec| spec.name)
    {
        let mut counted = Counted { operation: name.to_owned(), ..Counted::default() };
        if let Some(row) = sent.iter().find(|row| row.operation == name) {
            counted.sent = i64::try_from(row.sent).unwrap_or_default();
            counted.acknowledged = i64::try_from(row.sent - row.failed).unwrap_or_default();
        }
        counted.ledger = ledger.get(name).copied().unwrap_or_default();
        if let Some(must) = must.iter().find(|must| must.operation == name) {
            let recorded = count(must.effects);
            counted.recorded = Some(recorded);
            if must.before {
                (counted.sent, counted.acknowledged) = (recorded, recorded);
            }
            if let Some(Difference { found, missing, surplus }) = must.compare(tables).await? {
                (counted.effects, counted.missing, counted.surplus) = (Some(found), missing, surplus);
            }
        }
        if counted.sent + counted.ledger > 0 {
            operations.push(counted);
        }
    }
    Ok(operations)
}

async fn values(expected: &Expected, messages: &Messages, tables: &Rows) -> Result<Vec<Compared>, Failure> {
    let users = i64::try_from(expected.users.len()).unwrap_or_default();
    let lines = count(&expected.lines);
    let mut values = Vec::new();
    for (value, recorded, sql) in [
        ("users ever seen", users, "SELECT count(*) FROM user_stats_now"),
        (
            "sessions still open",
            expected.open_sessions,
            "SELECT count(*) FROM user_stats_now WHERE current_session_start IS NOT NULL",
        ),
        (
            "ms in the channel, all users",
            expected.connected_ms,
            "SELECT CAST(sum(connected_ms) AS bigint) FROM user_stats_now",
        ),
        ("lines counted", lines, "SELECT CAST(sum(total_chat_lines) AS bigint) FROM user_stats_now"),
        ("lines kept", lines - expected.server_lines, "SELECT count(*) FROM recent_chat"),
        ("most users", expected.most_users, "SELECT max_users FROM channel_stats"),
        ("most connected", expected.most_connected, "SELECT max_connected FROM channel_stats"),
        ("dead letters", 0, "SELECT count(*) FROM dead_letters"),
    ] {
        values.push(Compared { value, recorded, found: tables.number(sql).await? });
    }
    let (recorded, found) = (count(&messages.left), messages.heard);
    values.push(Compared { value: "messages said in the channel", recorded, found });
    Ok(values)
}

fn count(effects: &[Effect]) -> i64 {
    i64::try_from(effects.len()).unwrap_or_default()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |count: Option<i64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        // The sums may well be equal.
        let mark = |lost: i64, doubled: i64| match (lost, doubled) {
            (0, 0) => String::new(),
            _ => format!("  ← lost {lost}, doubled {doubled}"),
        };
        write!(
            f,
            "{:<30}{:>12}{:>14}{:>10}{:>10}",
            "in the database", "recorded", "acknowledged", "ledger", "effects"
        )?;
        for counted in &self.operations {
            let Counted { operation, recorded, acknowledged, ledger, effects, .. } = counted;
            write!(
                f,
                "\n{operation:<30}{:>12}{acknowledged:>14}{ledger:>10}{:>10}{}",
                shown(*recorded),
                shown(*effects),
                mark(counted.lost(), counted.doubled())
            )?;
        }
        for Compared { value, recorded, found } in &self.values {
            write!(
                f,
                "\n{value:<30}{recorded:>12}{found:>34}{}",
                if recorded == found { "" } else { "  ← differs" }
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::op::RoseyClient;
    use eitherway::client::Db;
    use eitherway::clock;
    use eitherway::request::Head;
    use eitherway::sql::{SqlService, SqliteOptions};

    /// Recorded, sent and acknowledged a hundred times.
    fn hundred(ledger: i64, (missing, surplus): (i64, i64)) -> (i64, i64) {
        let counted = Counted {
            recorded: Some(100),
            sent: 100,
            acknowledged: 100,
            ledger,
            missing,
            surplus,
            ..Counted::default()
        };
        (counted.lost(), counted.doubled())
    }

    #[test]
    fn what_is_missing_is_lost_and_what_is_too_much_is_doubled() {
        assert_eq!(hundred(100, (0, 0)), (0, 0));
        assert_eq!(hundred(99, (1, 0)), (1, 0), "an id and its effect: one operation");
        assert_eq!(hundred(100, (3, 0)), (3, 0), "an id without its effect");
        assert_eq!(hundred(100, (0, 2)), (0, 2), "an effect that the ledger has not seen");
        assert_eq!(hundred(101, (0, 1)), (0, 1), "under two ids");
        assert_eq!(hundred(99, (1, 1)), (1, 1));
    }

    #[test]
    fn an_event_that_failed_is_lost_and_a_call_that_was_repeated_is_not_doubled() {
        let event =
            Counted { recorded: Some(100), sent: 100, acknowledged: 99, ledger: 99, ..Counted::default() };
        assert_eq!((event.lost(), event.doubled()), (1, 0));
        let call =
            Counted { recorded: Some(24), sent: 25, acknowledged: 24, ledger: 24, ..Counted::default() };
        assert_eq!((call.lost(), call.doubled()), (0, 0));
        let unrecorded = Counted { sent: 5, acknowledged: 4, ledger: 5, ..Counted::default() };
        assert_eq!((unrecorded.lost(), unrecorded.doubled()), (0, 0), "a failed one may have taken effect");
    }

    /// What a short recording leads to, done; and it.
    async fn finished(file: &std::path::Path) -> (SqlService<Op>, Expected) {
        let at = clock::now() - 60_000;
        let line = |n: i64, user: &str, text: &str| json!({"event": "message", "user": user, "content": text, "timestamp": (at + 1_000 * n) as f64 / 1000.0});
        let recording = [
            json!({"event": "user_join", "user": "alice", "timestamp": at as f64 / 1000.0}),
            line(1, "alice", "hello"),
            line(1, "alice", "hello"),
            line(2, "server", "hello"),
            line(3, "bob", "hi"),
            json!({"event": "user_count", "usercount": 3, "connected": 2, "timestamp": at as f64 / 1000.0}),
            json!({"event": "user_leave", "user": "alice", "timestamp": (at + 9_000) as f64 / 1000.0}),
        ];
        let options = SqliteOptions::new(&format!("sqlite://{}", file.display())).expect("an address");
        let service = SqlService::<Op>::open(&options).await.expect("a database");
        let db = |n: i64| Db::new(service.clone()).with(Head::at(at + 1_000 * n));
        db(0).user_joined("alice").await.expect("alice");
        for (n, user, text) in
            [(1, "alice", "hello"), (1, "alice", "hello"), (2, "server", "hello"), (3, "bob", "hi")]
        {
            db(n).message_log(user, text).await.expect("a line");
        }
        db(0).user_count(3, 2).await.expect("a count");
        db(0).high_water(3, Some(2)).await.expect("the most");
        db(9).user_left("alice").await.expect("alice");
        (service, Expected::of(&recording))
    }

    #[tokio::test]
    async fn a_lost_effect_and_a_doubled_one_do_not_cancel_out() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("rosey.db");
        let (service, expected) = finished(&file).await;
        let messages = Messages { left: Vec::new(), heard: 0 };
        let url = format!("sqlite://{}", file.display());
        let tables = Rows::open(&url).await.expect("the file");
        let find = async || {
            let verdict = Verdict::find(&expected, &messages, &[], &tables).await.expect("a verdict");
            (verdict.lost, verdict.doubled, verdict.is_good())
        };
        let other = sqlx::SqlitePool::connect(&url).await.expect("the file");
        assert_eq!(find().await, (0, 0, true));
        for (break_it, lost, doubled) in [
            ("DELETE FROM recent_chat WHERE username = 'bob'", 1, 0),
            (
                "INSERT INTO recent_chat (timestamp, username, message, at, op_id)
                 SELECT timestamp, username, message, at, 'another' FROM recent_chat LIMIT 1",
                1,
                1,
            ),
            ("UPDATE presence SET at = at + 1 WHERE joined = 1", 2, 2),
        ] {
            sqlx::raw_sql(break_it).execute(&other).await.expect("broken");
            assert_eq!(find().await, (lost, doubled, false), "{break_it}");
        }
        let shown = Verdict::find(&expected, &messages, &[], &tables).await.expect("a verdict").to_string();
        let line = shown.lines().find(|line| line.starts_with("message_log")).expect("a line");
        assert!(line.ends_with("← lost 1, doubled 1"), "as many as recorded, and not the same: {line}");
        service.close().await;
    }
}
