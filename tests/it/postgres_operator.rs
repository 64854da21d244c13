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
