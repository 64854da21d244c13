//! What SQLite makes of the statements: none may read through a table that grows.

use std::collections::BTreeSet;

use rosey::op::Op;
use sqlx::{AssertSqlSafe, Row, SqliteConnection};

use super::files::Files;

/// Scans that are meant: whose, of what, and why that stays cheap.
const MEANT: [(&str, &str, &str); 29] = [
    ("recent_chat", "SCAN c USING INDEX recent_chat_at", "stops after the `limit` newest lines"),
    (
        "open_sessions",
        "SCAN user_stats USING INDEX user_stats_open",
        "the index has the users who are here, and no others",
    ),
    ("quote", "SCAN q", "people add a few a day"),
    ("lead", "SCAN leases", "a row for each room"),
    ("user_joined", "SCAN forgotten", "stops at the first: whether anybody is forgotten"),
    ("user_joined", "SCAN forgotten EXISTS", "stops at the first"),
    ("user_left", "SCAN forgotten", "stops at the first: whether anybody is forgotten"),
    ("user_left", "SCAN forgotten EXISTS", "stops at the first"),
    ("message_log", "SCAN forgotten", "stops at the first: whether anybody is forgotten"),
    ("message_log", "SCAN forgotten EXISTS", "stops at the first"),
    ("pm_command", "SCAN forgotten", "stops at the first: whether anybody is forgotten"),
    ("outbound_enqueue", "SCAN forgotten", "stops at the first: whether anybody is forgotten"),
    ("outbound_enqueue", "SCAN forgotten EXISTS", "stops at the first"),
    ("tell", "SCAN forgotten", "stops at the first: whether anybody is forgotten"),
    ("tell", "SCAN forgotten EXISTS", "stops at the first"),
    ("quote_add", "SCAN forgotten", "stops at the first: whether anybody is forgotten"),
    ("forgotten found", "SCAN forgotten", "the people of the last 30 days"),
    ("channel_stats", "SCAN w", "folds keep it short"),
    ("channel_stats", "SCAN top_chatters", "the ten"),
    ("chatter_came", "SCAN top_chatters", "the ten"),
    ("chatter_spoke", "SCAN top_chatters", "the ten"),
    ("chatter_went", "SCAN top_chatters", "the ten"),
    ("chatter_gone", "SCAN top_chatters", "the ten"),
    ("chatter_gone", "SCAN u", "a person has deleted one of the ten"),
    ("user_fell", "SCAN top_chatters", "the ten"),
    ("user_fell", "SCAN u", "a person has made a total smaller"),
    ("ledger found", "SCAN ledger", "stops at its limit, in the order in which they were applied"),
    ("history found", "SCAN p", "holds no lock; the table has the last days, and one row a user"),
    ("sent found", "SCAN m", "holds no lock; the table has the reports of the last days"),
];

pub(crate) fn check() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let scans = runtime.block_on(async {
        let files = Files::new().await;
        let mut connection = files.raw.lock().await;
        let mut scans = BTreeSet::new();
        for (owner, statement) in statements(&mut connection).await {
            let plan = plan(&mut connection, &owner, &statement).await;
            scans.extend(
                plan.iter()
                    .filter(|line| reads_through(line, &plan))
                    .map(|line| (owner.clone(), line.clone())),
            );
        }
        scans
    });
    let meant = MEANT.map(|(owner, line, _)| (owner.to_owned(), line.to_owned()));
    assert_eq!(scans, BTreeSet::from(meant), "left: what SQLite does, right: what is meant");
}

/// Whether a line of the plan is a scan of a stored table: not of the batch itself, and not of a result that other
/// lines of the plan make.
fn reads_through(line: &str, plan: &[String]) -> bool {
    let Some(what) = line.strip_prefix("SCAN ") else { return false };
    let made = ["MATERIALIZE", "CO-ROUTINE"].iter().any(|how| plan.contains(&format!("{how} {what}")));
    !made && what != "CONSTANT ROW" && !what.contains(" VIRTUAL TABLE ")
}

async fn statements(connection: &mut SqliteConnection) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let texts =
        eitherway::__private::shown::texts::<Op>().into_iter().map(|(name, sql)| (name.to_owned(), sql));
    for (name, sql) in texts.chain(eitherway::__private::shown::sweep_texts::<Op>()) {
        let own = split(&sql)
            .filter(|statement| !statement.starts_with("BEGIN") && !statement.starts_with("COMMIT"));
        found.extend(own.map(|statement| (name.clone(), statement)));
    }
    let triggers: Vec<(String, String)> =
        sqlx::query_as("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            .fetch_all(connection)
            .await
            .unwrap();
    for (name, sql) in triggers {
        let body = sql.split_once("BEGIN").unwrap().1.rsplit_once("END").unwrap().0;
        found.extend(split(&with_values(body)).map(|statement| (name.clone(), statement)));
    }
    found
}

fn split(sql: &str) -> impl Iterator<Item = String> {
    sql.split(';').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned)
}

/// The body of a trigger with a parameter for each `NEW.column`, so that it stands alone.
fn with_values(body: &str) -> String {
    // Only a trigger may refuse.
    let body = match body.split_once("raise(") {
        Some((before, rest)) => format!("{before}NULL{}", rest.split_once("')").unwrap().1),
        None => body.to_owned(),
    };
    let mut parts = body.split("NEW.");
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len());
        whole.push_str("$1");
        whole.push_str(&part[end..]);
    }
    whole
}

async fn plan(connection: &mut SqliteConnection, owner: &str, statement: &str) -> Vec<String> {
    let explain = format!("EXPLAIN QUERY PLAN {statement}");
    let rows = sqlx::query(AssertSqlSafe(explain)).fetch_all(connection).await;
    let rows = rows.unwrap_or_else(|e| panic!("{owner}: {e}\n{statement}"));
    rows.iter().map(|row| row.get("detail")).collect()
}
