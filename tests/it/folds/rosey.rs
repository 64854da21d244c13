//! What Rosey appends on PostgreSQL.

use std::time::Duration;

use eitherway::postgres::{self, PostgresOptions};
use eitherway::sql::{Retention, SqlService};
use eitherway::store::Store;
use eitherway::{Class, Classify, Code, Db, Head, OpId, Request};
use rosey::op::{Op, RoseyClient, UserJoined, UserLeft};
use sqlx::{Connection, PgConnection};

use crate::support::{Postgres, wait_until};

fn options(url: &str) -> PostgresOptions {
    PostgresOptions::new(url).unwrap().retention(None).folding(None)
}

async fn open(options: &PostgresOptions) -> Db<SqlService<Op>> {
    Db::new(SqlService::open_postgres(options).await.unwrap())
}

async fn assert_verified(url: &str) {
    let verdict = postgres::verify::<Op>(&options(url), |_| {}).await.unwrap();
    assert!(verdict.is_clean(), "{:#?}", verdict.findings);
}

/// A join or leave of a time of its own.
fn moved(id: &str, at: i64, joined: bool) -> Request<Op> {
    let head = Head { id: OpId::parse(id).unwrap(), ..Head::at(at) };
    let username = "alice".to_owned();
    let op: Op = if joined { UserJoined { username }.into() } else { UserLeft { username }.into() };
    Request::with_head(head, op)
}

/// Three visits that the ledger forgets, three hours ago; when they begin.
async fn three_visits(db: &Db<SqlService<Op>>) -> i64 {
    let then = eitherway::clock::now() - 3 * 3_600_000;
    for n in 0..6 {
        db.send(moved(&format!("e{n}"), then + n * 1000, n % 2 == 0)).await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(2)).await; // the ledger forgets what is older than now
    then
}

fn everything() -> Retention {
    let hour = Duration::from_secs(3600);
    Retention::default().keep("history", hour).keep("ledger", Duration::ZERO)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fold_that_fails_stops_nobody_and_is_a_concern_until_it_works_again() {
    let url = Postgres::shared().database().await;
    let mut raw = PgConnection::connect(&url).await.unwrap();
    let limit = "ALTER TABLE rosey.user_stats ADD CONSTRAINT few CHECK (total_chat_lines < 3)";
    sqlx::query(limit).execute(&mut raw).await.unwrap();
    let db = open(&options(&url).folding(Some(Duration::from_millis(5)))).await;
    let concerns = Store::<Op>::concerns(db.stack());
    let folds = || concerns.borrow().folds.clone();
    for _ in 0..5 {
        db.message_log("alice", "hello").await.unwrap();
    }
    wait_until("it is a concern", || async { folds().is_some_and(|said| said.contains("few")) }).await;
    db.message_log("alice", "hello").await.unwrap();
    assert_eq!(db.user_stats("alice").await.unwrap().unwrap().total_chat_lines, Some(6));
    assert_verified(&url).await;
    sqlx::query("ALTER TABLE rosey.user_stats DROP CONSTRAINT few").execute(&mut raw).await.unwrap();
    wait_until("it is none", || async { folds().is_none() }).await;
    let counted = "SELECT total_chat_lines FROM rosey.user_stats";
    assert_eq!(sqlx::query_scalar::<_, i64>(counted).fetch_one(&mut raw).await.unwrap(), 6);
    assert_verified(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_what_was_summed_up_is_refused_alone() {
    let url = Postgres::shared().database().await;
    let db = open(&options(&url)).await;
    let then = three_visits(&db).await;
    let swept = db.stack().sweep(&everything(), eitherway::clock::now()).await.unwrap();
    assert_eq!(swept["history"], 5, "{swept:?}");
    let late = [moved("late", then + 500, true), moved("in time", then + 5500, true)];
    let [late, in_time] =
        futures_util::future::join_all(late.map(|late| db.send(late))).await.try_into().unwrap();
    let late = late.unwrap_err();
    assert_eq!((late.class(), late.cause().code()), (Class::Rejected, Code::REFUSED), "{late}");
    assert!(late.to_string().contains("older than the joins and leaves"), "{late}");
    in_time.unwrap();
    assert_verified(&url).await;
    db.stack().fold().await.unwrap();
    assert_verified(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_being_appended_is_not_summed_up_past() {
    let url = Postgres::shared().database().await;
    let db = open(&options(&url)).await;
    let then = three_visits(&db).await;
    // Between the others, and not committed when the sweep begins.
    let mut raw = PgConnection::connect(&url).await.unwrap();
    // As long as a busy machine needs to see that it waits: 50 ms else.
    let patient = "ALTER FUNCTION rosey.presence_stands_still() SET lock_timeout = '1min'";
    sqlx::query(patient).execute(&mut raw).await.unwrap();
    let late = format!(
        "SET search_path = rosey; BEGIN; INSERT INTO presence_waiting VALUES ('alice', {}, 'late', 1)",
        then + 500
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(late)).execute(&mut raw).await.unwrap();
    let sweeping = {
        let db = db.clone();
        tokio::spawn(async move { db.stack().sweep(&everything(), eitherway::clock::now()).await })
    };
    let mut looking = PgConnection::connect(&url).await.unwrap();
    // The table has the same number in every database of this server.
    let waits = "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'rosey.presence_waiting'::regclass
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
    while !sqlx::query_scalar::<_, bool>(waits).fetch_one(&mut looking).await.unwrap() {
        assert!(!sweeping.is_finished(), "{:?}", sweeping.await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    sqlx::raw_sql("COMMIT").execute(&mut raw).await.unwrap();
    let swept = sweeping.await.unwrap().unwrap();
    assert_eq!(swept["history"], 0, "something of this user waits: {swept:?}");
    assert_verified(&url).await;
    let swept = db.stack().sweep(&everything(), eitherway::clock::now()).await.unwrap();
    assert_eq!(swept["history"], 6, "{swept:?}");
    assert_verified(&url).await;
}
