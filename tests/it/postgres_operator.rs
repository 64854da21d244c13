//! What an operator has done to a database by hand: rights that are missing, and objects that were dropped. Each is put right at
//! the opening, or named with what to run.

use crate::support::Postgres;
use eitherway::Db;
use eitherway::postgres::{self, PostgresOptions};
use eitherway::sql::SqlService;
use rosey::op::{Op, RoseyClient};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

fn options(url: &str) -> PostgresOptions {
    PostgresOptions::new(url).unwrap().retention(None)
}

async fn run(url: &str, sql: &str) {
    let mut raw = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut raw).await.unwrap();
}

async fn text(url: &str, sql: &str) -> Option<String> {
    let mut raw = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut raw).await.unwrap()
}

/// The statements behind the sentence, in which every right stands.
fn grants(said: &str) -> String {
    let from = said.find("GRANT").unwrap_or_else(|| panic!("{said}"));
    said[from..].trim_end_matches(" (database)").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named_with_the_grant_that_gives_it() {
    let server = Postgres::start(&[]);
    let url = server.database().await;
    run(&url, "CREATE ROLE \"the Bot\" LOGIN").await;
    let bot = url.replace("postgres@", "the%20Bot@");
    let whole =
        "GRANT USAGE ON SCHEMA rosey TO \"the Bot\"; GRANT ALL ON ALL TABLES IN SCHEMA rosey TO \"the Bot\";
        GRANT ALL ON ALL SEQUENCES IN SCHEMA rosey TO \"the Bot\"";
    // Nothing yet; then all but one right, at the opening and while it is open. What is said makes it work.
    for revoke in [
        "SELECT",
        "REVOKE USAGE ON SCHEMA rosey FROM \"the Bot\"",
        "REVOKE ALL ON rosey._sqlx_migrations FROM \"the Bot\"",
        "REVOKE ALL ON rosey.meta FROM \"the Bot\"",
    ] {
        run(&url, revoke).await;
        let refused = SqlService::<Op>::open_postgres(&options(&bot)).await.unwrap_err().to_string();
        assert!(refused.contains("\"the Bot\"") && refused.contains("rosey"), "{revoke}: {refused}");
        assert!(!refused.contains("lacks a table"), "{revoke}: {refused}");
        run(&url, &grants(&refused)).await;
        let db = Db::new(SqlService::<Op>::open_postgres(&options(&bot)).await.unwrap());
        db.message_log("alice", "hello").await.unwrap();
        run(&url, whole).await;
    }
    for (revoke, reads) in [
        ("REVOKE INSERT ON rosey.recent_chat FROM \"the Bot\"", false),
        ("REVOKE INSERT ON rosey.ledger FROM \"the Bot\"", false),
        ("REVOKE SELECT ON rosey.recent_chat FROM \"the Bot\"", true),
    ] {
        let db = Db::new(SqlService::<Op>::open_postgres(&options(&bot)).await.unwrap());
        run(&url, revoke).await;
        let refused = match reads {
            true => db.recent_chat(10).await.unwrap_err().cause().to_string(),
            false => db.message_log("alice", "more").await.unwrap_err().cause().to_string(),
        };
        assert!(refused.contains("42501") && refused.contains("lacks a right"), "{revoke}: {refused}");
        run(&url, &grants(&refused)).await;
        db.message_log("alice", "more").await.unwrap();
        db.recent_chat(10).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_by_hand_is_made_again_at_the_opening_or_named() {
    let url = Postgres::shared().database().await;
    let store = SqlService::<Op>::open_postgres(&options(&url)).await.unwrap();
    let db = Db::new(store.clone());
    db.user_joined("alice").await.unwrap();
    db.message_log("alice", "hello").await.unwrap();
    store.fold().await.unwrap();
    store.close().await;
    let function = |like: &str| {
        format!("SELECT oid::regprocedure::text FROM pg_proc WHERE proname ~ '^{like}_[0-9a-f]{{16}}$'")
    };
    for like in ["apply", "fold"] {
        let name = text(&url, &function(like)).await.unwrap();
        run(&url, &format!("DROP FUNCTION {name}")).await;
        reopened(&url, &name).await;
    }
    for dropped in [
        "DROP VIEW rosey.user_stats_now",
        "DROP VIEW rosey.presence_change CASCADE",
        "DROP VIEW rosey.presence CASCADE",
        "DROP TRIGGER presence_appended ON rosey.presence_waiting",
        "DROP TRIGGER server_spoke ON rosey.recent_chat",
        "DROP FUNCTION rosey.presence_of_before() CASCADE",
        "DROP INDEX rosey.recent_chat_at",
        "DELETE FROM rosey.meta WHERE key = 'namespace'",
        "DELETE FROM rosey.meta WHERE key = 'objects'",
    ] {
        run(&url, dropped).await;
        reopened(&url, dropped).await;
    }
    run(&url, "UPDATE rosey.meta SET key = 'away' WHERE key = 'database_id'").await;
    let refused = SqlService::<Op>::open_postgres(&options(&url)).await.unwrap_err().to_string();
    assert!(
        refused.contains("lacks the row database_id") && refused.contains("INSERT INTO rosey.meta"),
        "{refused}"
    );
    run(&url, "UPDATE rosey.meta SET key = 'database_id' WHERE key = 'away'").await;
    run(&url, "DROP TABLE rosey.status_fields CASCADE").await;
    let refused = SqlService::<Op>::open_postgres(&options(&url)).await.unwrap_err().to_string();
    assert!(refused.contains("status_fields"), "{refused}");
    let url = Postgres::shared().database().await;
    for table in ["dead_letters", "ledger"] {
        run(&url, &format!("DROP TABLE rosey.{table} CASCADE")).await;
        let refused = SqlService::<Op>::open_postgres(&options(&url)).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("the table {table}")) && refused.contains("a backup"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_or_a_key_that_was_dropped_by_hand_is_named_with_what_to_do() {
    for (dropped, name) in [
        ("ALTER TABLE rosey.ledger DROP COLUMN answer CASCADE", "the column answer of ledger"),
        ("ALTER TABLE rosey.dead_letters DROP COLUMN headers CASCADE", "the column headers of dead_letters"),
        ("ALTER TABLE rosey.user_stats DROP COLUMN last_seen CASCADE", "the column last_seen of user_stats"),
        ("ALTER TABLE rosey.recent_chat DROP COLUMN op_id CASCADE", "the column op_id of recent_chat"),
    ] {
        let url = Postgres::shared().database().await;
        run(&url, dropped).await;
        let refused = refused(&url).await;
        assert!(refused.contains(name) && refused.contains("restore a backup"), "{dropped}: {refused}");
    }
    for (table, key) in
        [("ledger", "ledger_pkey"), ("meta", "meta_pkey"), ("status_fields", "status_fields_pkey")]
    {
        let url = Postgres::shared().database().await;
        let dropped = format!("ALTER TABLE rosey.{table} DROP CONSTRAINT {key}");
        run(&url, &dropped).await;
        let refused = refused(&url).await;
        let (names, statement) = refused.split_once("Make it again: ").unwrap_or_else(|| panic!("{refused}"));
        assert!(names.contains(&format!("the index {key}")), "{refused}");
        run(&url, statement).await;
        reopened(&url, &dropped).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_migrations_that_was_dropped_or_emptied_is_named_and_nothing_is_made() {
    for (lost, all) in [
        ("DROP TABLE rosey._sqlx_migrations", true),
        ("DELETE FROM rosey._sqlx_migrations", true),
        ("DELETE FROM rosey._sqlx_migrations WHERE version > 1", false),
    ] {
        let url = Postgres::shared().database().await;
        run(&url, "CREATE TABLE rosey.kept AS SELECT * FROM rosey._sqlx_migrations").await;
        run(&url, lost).await;
        for create in [true, false] {
            let options = options(&url).create(create);
            let refused = SqlService::<Op>::open_postgres(&options).await.unwrap_err().to_string();
            if !create && !all {
                assert!(refused.contains("an older one"), "{refused}");
                continue;
            }
            assert!(
                refused.contains("_sqlx_migrations") && refused.contains("pg_restore"),
                "{lost}: {refused}"
            );
        }
        run(
            &url,
            "DROP TABLE IF EXISTS rosey._sqlx_migrations; ALTER TABLE rosey.kept RENAME TO _sqlx_migrations",
        )
        .await;
        reopened(&url, lost).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fold_that_was_dropped_by_hand_is_made_again_by_the_next_one() {
    let url = Postgres::shared().database().await;
    let store = SqlService::<Op>::open_postgres(&options(&url).folding(None)).await.unwrap();
    let db = Db::new(store.clone());
    store.fold().await.unwrap();
    let fold = "SELECT oid::regprocedure::text FROM pg_proc WHERE proname ~ '^fold_[0-9a-f]{16}$'";
    let name = text(&url, fold).await.unwrap();
    run(&url, &format!("DROP FUNCTION {name}")).await;
    db.message_log("alice", "hello").await.unwrap();
    store.fold().await.unwrap();
    let lines = "SELECT total_chat_lines::text FROM rosey.user_stats WHERE username = 'alice'";
    assert_eq!(text(&url, lines).await.as_deref(), Some("1"));
    assert_eq!(text(&url, fold).await, Some(name));
}

/// Why it is not opened.
async fn refused(url: &str) -> String {
    SqlService::<Op>::open_postgres(&options(url)).await.unwrap_err().to_string()
}

/// Opens it, and does what needs all of it.
async fn reopened(url: &str, dropped: &str) {
    let opened = SqlService::<Op>::open_postgres(&options(url)).await;
    let store = opened.unwrap_or_else(|e| panic!("{dropped}: {e}"));
    let db = Db::new(store.clone());
    for result in [
        db.user_left("alice").await.map(drop),
        db.user_joined("alice").await.map(drop),
        db.message_log("alice", "hello").await.map(drop),
        db.message_log("[Server]", "a vote").await.map(drop),
        db.user_stats("alice").await.map(drop),
        db.open_sessions().await.map(drop),
    ] {
        result.unwrap_or_else(|e| panic!("{dropped}: {e}"));
    }
    store.fold().await.unwrap_or_else(|e| panic!("{dropped}: {e}"));
    store.close().await;
    let verdict = postgres::verify::<Op>(&options(url), |_| {}).await.unwrap();
    assert!(verdict.is_clean(), "{dropped}: {:#?}", verdict.findings);
}
