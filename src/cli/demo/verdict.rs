//! The verdict: what the recording must leave against what is in the database.

use std::collections::BTreeMap;

use sqlx::{AssertSqlSafe, SqlitePool};

use super::super::console;
use super::super::exit::{Exit, Failure};
use super::super::tally::Row;
use super::expected::Expected;
use crate::op::Op;
use crate::operation::{Operation, Spec};

/// Compares, prints the comparison, and says whether everything is as it must be.
pub(super) async fn compare(
    expected: &Expected,
    told: i64,
    heard: i64,
    sent: &[Row],
    readers: &SqlitePool,
) -> Result<bool, Failure> {
    let kept = expected.lines - expected.server_lines;
    let everybody = i64::try_from(expected.users.len()).unwrap_or_default();
    let checks: [(&str, i64, &'static str); 13] = [
        ("joins", expected.joins, "SELECT count(*) FROM presence WHERE joined = 1"),
        ("leaves", expected.leaves, "SELECT count(*) FROM presence WHERE joined = 0"),
        (
            "sessions still open",
            expected.open_sessions,
            "SELECT count(*) FROM user_stats WHERE current_session_start IS NOT NULL",
        ),
        ("ms in the channel, everybody's", expected.connected_ms, "SELECT sum(connected_ms) FROM user_stats"),
        ("users ever seen", everybody, "SELECT count(*) FROM user_stats"),
        ("lines counted", expected.lines, "SELECT sum(total_chat_lines) FROM user_stats"),
        ("lines kept", kept, "SELECT count(*) FROM recent_chat"),
        ("user counts", expected.counts, "SELECT count(*) FROM user_count_history"),
        ("most users", expected.most_users, "SELECT max_users FROM channel_stats"),
        ("most connected", expected.most_connected, "SELECT max_connected FROM channel_stats"),
        ("messages left for users", told, "SELECT count(*) FROM outbound_messages"),
        (
            "messages marked as delivered",
            told,
            "SELECT count(*) FROM outbound_messages WHERE delivered_at IS NOT NULL",
        ),
        ("dead letters", 0, "SELECT count(*) FROM dead_letters"),
    ];
    let mut good = true;
    console::print(format!("\n{:<32}{:>16}{:>16}", "in the database", "recorded", "found"));
    for (what, wanted, sql) in checks {
        good &= line(what, wanted, number(readers, sql).await?);
    }
    good &= line("messages said in the channel", told, heard);

    // Every operation has an id of its own: the ledger has one row for each that was sent, or one was lost or
    // taken for another. Claims of nothing leave no row, and the messages were left by this process.
    let ledger: BTreeMap<String, i64> = sqlx::query_as::<_, (String, i64)>(AssertSqlSafe(
        "SELECT operation, count(*) FROM ledger GROUP BY operation",
    ))
    .fetch_all(readers)
    .await
    .map_err(|e| Failure::new(Exit::Failed, e.to_string()))?
    .into_iter()
    .collect();
    let in_ledger = |spec: &&Spec| spec.writes() && !spec.lists();
    let counted = |row: &&Row| Op::SPECS.iter().filter(in_ledger).any(|spec| spec.name == row.operation);
    let (mut lost, mut doubled) = (0, 0);
    for row in sent.iter().filter(counted) {
        let applied = ledger.get(&row.operation).copied().unwrap_or_default();
        let answered = i64::try_from(row.sent - row.failed).unwrap_or_default();
        lost += (answered - applied).max(0);
        doubled += (applied - answered).max(0);
    }
    let failed: u64 = sent.iter().map(|row| row.failed).sum();
    good &= lost == 0 && doubled == 0 && failed == 0;
    console::print(format!("\nverdict: lost {lost} · doubled {doubled} · failed {failed}"));
    Ok(good)
}

fn line(what: &str, wanted: i64, found: i64) -> bool {
    let mark = if wanted == found { "" } else { "  ← differs" };
    console::print(format!("{what:<32}{wanted:>16}{found:>16}{mark}"));
    wanted == found
}

async fn number(readers: &SqlitePool, sql: &'static str) -> Result<i64, Failure> {
    let found: Option<i64> = sqlx::query_scalar(sql)
        .fetch_one(readers)
        .await
        .map_err(|e| Failure::new(Exit::Failed, format!("{sql}: {e}")))?;
    Ok(found.unwrap_or_default())
}
