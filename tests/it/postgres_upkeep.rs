//! What several instances and several versions of a program leave each other on a real PostgreSQL.

use std::time::Duration;

use crate::support::{Postgres, wait_until};
use eitherway::operation::{Definition, Done, Migration, Persist, RetentionRule, Spec};
use eitherway::postgres::PostgresOptions;
use eitherway::sql::{DeadLetters, Retention, SqlService};
use eitherway::store::{DeadLetter, Store};
use eitherway::{Cause, Code, Db, Head, OpId, Request};
use rosey::op::{MessageLog, Op, RoseyClient};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// What another version of the program can do: it has another function over the same tables.
#[derive(Debug, Serialize, Deserialize)]
struct Shout {
    text: String,
}

impl Definition for Shout {
    type Answer = Done;
    const SPEC: Spec = Spec::event("shout", "rosey.db.shout");
    const STATEMENTS: &'static [&'static str] =
        &["INSERT INTO recent_chat (timestamp, username, message, at, op_id)
         SELECT at / 1000, 'bob', op ->> 'text', at, id FROM new"];
}

const NONE: &[Migration] = &[];
const SAME: &[Migration] = <Op as Persist>::POSTGRES_MIGRATIONS;

eitherway::operations! {
    /// The other version.
    enum Other -> OtherAnswer in "rosey.db" with NONE, postgres SAME { Shout(Shout) }
}

fn options(url: &str) -> PostgresOptions {
    PostgresOptions::new(url).unwrap().retention(None)
}

async fn open(options: &PostgresOptions) -> Db<SqlService<Op>> {
    Db::new(SqlService::open_postgres(options).await.unwrap())
}

async fn run(url: &str, sql: &str) {
    let mut raw = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut raw).await.unwrap();
}

async fn texts(url: &str, sql: &str) -> Vec<String> {
    let mut raw = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_all(&mut raw).await.unwrap()
}

const FUNCTIONS: &str = "SELECT proname::text FROM pg_proc WHERE proname LIKE 'apply\\_%' ORDER BY 1";
const FRESH: &str = "SELECT substr(key, 6) FROM meta WHERE key LIKE 'used.%'
    AND value::bigint > extract(epoch FROM clock_timestamp()) * 1000 - 60000 ORDER BY 1";

fn in_schema(sql: &str) -> String {
    sql.replace("FROM meta", "FROM rosey.meta")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_that_no_version_has_used_for_a_month_is_dropped() {
    let url = Postgres::shared().database().await;
    let own = texts(&url, FUNCTIONS).await.remove(0);
    let old = "apply_0000000000000001";
    for name in [old, "apply_0000000000000002", "apply_0000000000000003", "apply_by_hand"] {
        run(&url, &format!("CREATE FUNCTION rosey.{name}(int) RETURNS int LANGUAGE sql AS 'SELECT 1'")).await;
    }
    let stamp = |name: &str, days: u32| {
        format!(
            "INSERT INTO rosey.meta VALUES ('used.{name}',
                 floor(extract(epoch FROM clock_timestamp() - interval '{days} days') * 1000)::bigint::text)"
        )
    };
    for (name, days) in [(old, 31), ("apply_0000000000000002", 29), (own.as_str(), 40)] {
        run(&url, &stamp(name, days)).await;
    }
    let db = open(&options(&url)).await;
    wait_until("it is dropped", || async { !texts(&url, FUNCTIONS).await.contains(&old.to_owned()) }).await;
    let left = texts(&url, FUNCTIONS).await;
    assert_eq!(left.len(), 4, "{left:?}");
    // Its own is used, and that of which nothing was known begins to count.
    let mut fresh = vec!["apply_0000000000000003".to_owned(), own];
    fresh.sort();
    assert_eq!(texts(&url, &in_schema(FRESH)).await, fresh);
    db.message_log("alice", "hello").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_side_by_side_work_on_also_when_one_drops_the_function_of_the_other() {
    let url = Postgres::shared().database().await;
    let one = open(&options(&url)).await;
    let other = Db::new(SqlService::<Other>::open_postgres(&options(&url)).await.unwrap());
    one.message_log("alice", "one").await.unwrap();
    other.call(Shout { text: "two".into() }).await.unwrap();
    let functions = texts(&url, FUNCTIONS).await;
    assert_eq!(functions.len(), 2, "{functions:?}");
    // As if the clock of the server had been a month ahead for a moment.
    for name in &functions {
        run(&url, &format!("DROP FUNCTION rosey.{name}(jsonb, bigint)")).await;
    }
    one.message_log("alice", "three").await.unwrap();
    other.call(Shout { text: "four".into() }).await.unwrap();
    assert_eq!(one.recent_chat(10).await.unwrap().len(), 4);
    assert_eq!(texts(&url, FUNCTIONS).await, functions);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_old_is_removed_by_one_instance_whose_turn_it_is() {
    let url = Postgres::shared().database().await;
    let head = Head {
        id: OpId::parse("old").unwrap(),
        occurred_at: eitherway::clock::now() - 7_200_000,
        trace: None,
        deadline: None,
    };
    let line = MessageLog { username: "alice".into(), message: "hello".into() };
    let db = open(&options(&url)).await;
    db.send(Request::<Op>::with_head(head, line)).await.unwrap();
    let soon = Duration::from_millis(200);
    let retention = Retention::default().keep("chat", Duration::from_secs(3600)).every(soon);
    let sweeps = options(&url).retention(Some(retention));
    // Another instance takes its turn at this moment, and does not come to its end.
    let mut raw = PgConnection::connect(&url).await.unwrap();
    let turn = "BEGIN; SELECT pg_advisory_xact_lock(hashtext('rosey'), 257)";
    sqlx::raw_sql(turn).execute(&mut raw).await.unwrap();
    let one = open(&sweeps).await;
    tokio::time::sleep(soon * 5).await;
    assert_eq!(texts(&url, "SELECT message FROM rosey.recent_chat").await, ["hello"]);
    sqlx::raw_sql("COMMIT").execute(&mut raw).await.unwrap();
    wait_until("it is removed", || async {
        texts(&url, "SELECT message FROM rosey.recent_chat").await.is_empty()
    })
    .await;
    one.stack().close().await;
    // Another one had it a moment ago: no other writer takes it, however often it looks.
    let had =
        "UPDATE rosey.meta SET value = (floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint)::text
               WHERE key = 'sweeping'";
    run(&url, had).await;
    let turn = "SELECT value FROM rosey.meta WHERE key = 'sweeping'";
    let before = texts(&url, turn).await;
    assert_eq!(before.len(), 1);
    let seldom = options(&url).retention(Some(Retention::default().every(Duration::from_secs(20))));
    let others = [open(&seldom).await, open(&seldom).await];
    // They come by after a tenth of that.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(texts(&url, turn).await, before);
    drop(others);
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_with_an_unreadable_header_are_dropped_unless_they_could_be_applied() {
    let url = Postgres::shared().database().await;
    let many = |payload: &str, many: u32| {
        format!(
            "INSERT INTO rosey.dead_letters (at, code, reason, subject, headers, payload)
             SELECT n, 'invalid', 'no header', 'a', '{{\"Eitherway-Header-Base64\":\"/w==\"}}', '{payload}'
             FROM generate_series(1, {many}) n"
        )
    };
    run(&url, &many(" {\"username\":\"ann\"}\n", 10)).await;
    // What an older instance has set aside, which does not know it.
    run(
        &url,
        "INSERT INTO rosey.dead_letters (at, code, reason, subject, headers, payload)
         VALUES (1, 'invalid', 'no event of ours has this subject', 'rosey.db.batch.events', '{}', 'a bundle')",
    )
    .await;
    run(&url, &many("no JSON", 10_200)).await;
    let db = open(&options(&url)).await;
    let letter = DeadLetter {
        at: 1,
        cause: Cause::new(Code::INVALID, "no JSON"),
        subject: "a".to_owned(),
        headers: Vec::new(),
        payload: vec![b'x'],
    };
    // It looks with the first one.
    Store::<Op>::dead_letter(db.stack(), letter, false).await.unwrap();
    db.stack().barrier().await.unwrap();
    let mut letters = DeadLetters::open_postgres::<Op>(&options(&url)).await.unwrap();
    let ids = letters.ids().await.unwrap();
    assert_eq!(ids.len(), 10 + 1 + 10_000 + 1);
    assert_eq!(letters.list(1).await.unwrap()[0].dropped(), Some(201));
    let first = letters.show(ids[0]).await.unwrap().unwrap();
    assert!(first.payload.starts_with(b" {"), "what could be applied yet stays");
    assert_eq!(letters.show(ids[10]).await.unwrap().unwrap().payload, b"a bundle");
}

/// Gives a database another name, while nothing connects to it.
async fn rename(from: &str, to: &str) {
    let postgres = Postgres::shared().url("postgres");
    for sql in [
        format!("ALTER DATABASE {from} ALLOW_CONNECTIONS false"),
        format!("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{from}'"),
        format!("ALTER DATABASE {from} RENAME TO {to}"),
        format!("ALTER DATABASE {to} ALLOW_CONNECTIONS true"),
    ] {
        run(&postgres, &sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_in_the_place_of_the_one_that_was_opened_is_neither_written_nor_read() {
    const LINES: &str = "SELECT message FROM rosey.recent_chat";
    let (url, other) = (Postgres::shared().database().await, Postgres::shared().database().await);
    let name = |url: &str| url.rsplit('/').next().unwrap().to_owned();
    let (own, stranger, away) = (name(&url), name(&other), format!("{}_away", name(&url)));
    let db = open(&options(&url)).await;
    db.message_log("alice", "one").await.unwrap();
    rename(&own, &away).await;
    rename(&stranger, &own).await;
    db.message_log("alice", "two").await.unwrap_err();
    db.recent_chat(10).await.unwrap_err();
    assert!(texts(&url, LINES).await.is_empty(), "the stranger has that address now");
    rename(&own, &stranger).await;
    rename(&away, &own).await;
    wait_until("the right one is served again", || async { db.message_log("alice", "three").await.is_ok() })
        .await;
    assert!(texts(&url, LINES).await.contains(&"one".to_owned()));
    assert!(texts(&other, LINES).await.is_empty());
}

/// Writes down who was there; the table is so large that to look for old rows takes a while.
#[derive(Debug, Serialize, Deserialize)]
struct Visit {}

impl Definition for Visit {
    type Answer = Done;
    const SPEC: Spec = Spec::event("visit", "inn.visit");
    const STATEMENTS: &'static [&'static str] = &["INSERT INTO visits SELECT id, at FROM new"];
    const SWEEPS: &'static [RetentionRule] = &[RetentionRule::hours(
        "visits",
        1,
        "SELECT op_id FROM visits, (SELECT pg_sleep(1.5)) s WHERE at < (SELECT horizon FROM sweep)
         LIMIT (SELECT most FROM sweep)",
        &["DELETE FROM visits WHERE op_id IN (SELECT key FROM gone)"],
    )];
}

/// What the server lets a query's statement take.
#[derive(Debug, Serialize, Deserialize)]
struct Limit {}

impl Definition for Limit {
    type Answer = String;
    const SPEC: Spec = Spec::query("limit", "inn.limit");
    const ANSWER: &'static str = "SELECT to_json(current_setting('statement_timeout'))";
}

const VISITS: &[Migration] =
    &[Migration::new(10, "visits", "CREATE TABLE visits (op_id text PRIMARY KEY, at bigint NOT NULL)")];

eitherway::operations! {
    enum Inn -> InnAnswer in "inn" with NONE, postgres VISITS { Visit(Visit), Limit(Limit) }
}

#[tokio::test]
async fn what_reads_a_table_from_end_to_end_may_take_longer_than_other_statements_and_leaves_them_their_limit()
 {
    let url = Postgres::shared().empty().await;
    let options = options(&url).readers(1).statement_timeout(Duration::from_secs(1));
    let db = Db::new(SqlService::<Inn>::open_postgres(&options).await.unwrap());
    db.call(Visit {}).await.unwrap();
    let usual = db.call(Limit {}).await.unwrap().answer;
    let later = eitherway::clock::now() + 2 * 3_600_000;
    let purged = db.stack().sweep(&Retention::default(), later).await.expect("1.5 s are not too long");
    assert_eq!(purged["visits"], 1);
    assert_eq!(db.call(Limit {}).await.unwrap().answer, usual);
    db.stack().close().await;
}
