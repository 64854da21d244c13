//! The verdict: what the recording must leave, and what was acknowledged, against what is in the database.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use sqlx::{AssertSqlSafe, SqlitePool};

use super::super::exit::{Exit, Failure};
use super::super::tally::Row;
use super::expected::Expected;
use crate::op::Op;
use crate::operation::{Operation, Spec};

/// Where the effects of an operation are counted. Others have no rows of their own.
const EFFECTS: [(&str, &str); 6] = [
    ("user_joined", "SELECT count(*) FROM presence WHERE joined = 1"),
    ("user_left", "SELECT count(*) FROM presence WHERE joined = 0"),
    ("message_log", "SELECT sum(total_chat_lines) FROM user_stats"),
    ("user_count", "SELECT count(*) FROM user_count_history"),
    ("outbound_enqueue", "SELECT count(*) FROM outbound_messages"),
    ("outbound_mark_sent", "SELECT count(*) FROM outbound_messages WHERE delivered_at IS NOT NULL"),
];

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
    /// Effects, where they can be counted.
    effects: Option<i64>,
}

/// A value that follows from the recording.
#[derive(Debug, Serialize)]
struct Compared {
    value: &'static str,
    recorded: i64,
    found: i64,
}

impl Counted {
    fn lost(&self) -> i64 {
        let there = self.effects.map_or(self.ledger, |effects| effects.min(self.ledger));
        (self.recorded.unwrap_or_default().max(self.acknowledged) - there).max(0)
    }

    fn doubled(&self) -> i64 {
        // A call that failed may have been sent again under its id.
        let there = self.effects.unwrap_or_default().max(self.ledger);
        (there - self.recorded.unwrap_or(self.sent)).max(0)
    }
}

/// What was done to the database besides the recording.
#[derive(Clone, Copy, Debug)]
pub(super) struct Messages {
    /// Left for users before it began.
    pub(super) told: i64,
    /// Said by the bot.
    pub(super) heard: i64,
}

impl Verdict {
    /// Counts in the database.
    pub(super) async fn find(
        expected: &Expected,
        messages: Messages,
        sent: &[Row],
        readers: &SqlitePool,
    ) -> Result<Self, Failure> {
        let operations = operations(expected, messages.told, sent, readers).await?;
        Ok(Self {
            lost: operations.iter().map(Counted::lost).sum(),
            doubled: operations.iter().map(Counted::doubled).sum(),
            operations,
            values: values(expected, messages, readers).await?,
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
    told: i64,
    sent: &[Row],
    readers: &SqlitePool,
) -> Result<Vec<Counted>, Failure> {
    let ledger: BTreeMap<String, i64> = sqlx::query_as::<_, (String, i64)>(AssertSqlSafe(
        "SELECT operation, count(*) FROM ledger GROUP BY operation",
    ))
    .fetch_all(readers)
    .await
    .map_err(|e| Failure::new(Exit::Failed, e.to_string()))?
    .into_iter()
    .collect();
    let mut operations = Vec::new();
    for name in Op::SPECS.iter().filter(|spec: &&Spec| spec.writes() && !spec.lists()).map(|spec| spec.name) {
        let recorded = match name {
            "user_joined" => Some(expected.joins),
            "user_left" => Some(expected.leaves),
            "message_log" => Some(expected.lines),
            "user_count" | "high_water" => Some(expected.counts),
            "outbound_enqueue" | "outbound_mark_sent" => Some(told),
            _ => None,
        };
        let mut counted = Counted { operation: name.to_owned(), recorded, ..Counted::default() };
        if let Some(row) = sent.iter().find(|row| row.operation == name) {
            counted.sent = i64::try_from(row.sent).unwrap_or_default();
            counted.acknowledged = i64::try_from(row.sent - row.failed).unwrap_or_default();
        }
        if name == "outbound_enqueue" {
            // Not by the bot: by this process, before the first phase.
            (counted.sent, counted.acknowledged) = (told, told);
        }
        counted.ledger = ledger.get(name).copied().unwrap_or_default();
        if let Some((_, sql)) = EFFECTS.iter().find(|(operation, _)| *operation == name) {
            counted.effects = Some(number(readers, sql).await?);
        }
        if counted.sent + counted.ledger > 0 {
            operations.push(counted);
        }
    }
    Ok(operations)
}

async fn values(
    expected: &Expected,
    messages: Messages,
    readers: &SqlitePool,
) -> Result<Vec<Compared>, Failure> {
    let everybody = i64::try_from(expected.users.len()).unwrap_or_default();
    let mut values = Vec::new();
    for (value, recorded, sql) in [
        ("users ever seen", everybody, "SELECT count(*) FROM user_stats"),
        (
            "sessions still open",
            expected.open_sessions,
            "SELECT count(*) FROM user_stats WHERE current_session_start IS NOT NULL",
        ),
        ("ms in the channel, all users", expected.connected_ms, "SELECT sum(connected_ms) FROM user_stats"),
        ("lines kept", expected.lines - expected.server_lines, "SELECT count(*) FROM recent_chat"),
        ("most users", expected.most_users, "SELECT max_users FROM channel_stats"),
        ("most connected", expected.most_connected, "SELECT max_connected FROM channel_stats"),
        ("dead letters", 0, "SELECT count(*) FROM dead_letters"),
    ] {
        values.push(Compared { value, recorded, found: number(readers, sql).await? });
    }
    let Messages { told, heard } = messages;
    values.push(Compared { value: "messages said in the channel", recorded: told, found: heard });
    Ok(values)
}

async fn number(readers: &SqlitePool, sql: &'static str) -> Result<i64, Failure> {
    let found: Option<i64> = sqlx::query_scalar(sql)
        .fetch_one(readers)
        .await
        .map_err(|e| Failure::new(Exit::Failed, format!("{sql}: {e}")))?;
    Ok(found.unwrap_or_default())
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |count: Option<i64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let mark = |good: bool| if good { "" } else { "  ← differs" };
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
                mark(counted.lost() + counted.doubled() == 0)
            )?;
        }
        for Compared { value, recorded, found } in &self.values {
            write!(f, "\n{value:<30}{recorded:>12}{found:>34}{}", mark(recorded == found))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded, sent and acknowledged a hundred times.
    fn hundred(ledger: i64, effects: Option<i64>) -> (i64, i64) {
        let counted = Counted {
            operation: "user_joined".to_owned(),
            recorded: Some(100),
            sent: 100,
            acknowledged: 100,
            ledger,
            effects,
        };
        (counted.lost(), counted.doubled())
    }

    #[test]
    fn what_is_missing_is_lost_and_what_is_too_much_is_doubled() {
        assert_eq!(hundred(100, Some(100)), (0, 0));
        assert_eq!(hundred(100, None), (0, 0));
        assert_eq!(hundred(99, Some(99)), (1, 0));
        assert_eq!(hundred(100, Some(97)), (3, 0), "an id without its effect");
        assert_eq!(hundred(100, Some(102)), (0, 2), "an effect that the ledger has not seen");
        assert_eq!(hundred(101, Some(101)), (0, 1), "under two ids");
        assert_eq!(hundred(99, Some(101)), (1, 1));
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
}
