//! The path on the database itself, on real files.

mod messages;

use crate::support::DbFile;
use eitherway::__private::shown::BatchShown;
use eitherway::sql::{DeadLetter, SqlService, SqliteOptions};
use eitherway::{Cause, Code, Db, Head, Operation as _, Request};
use eitherway_layers::{Class, Classify};
use futures_util::TryStreamExt as _;
use rosey::op::{Op, OutboundGet, RoseyClient, StatusUpdate, UserJoined, UserLeft};
use sqlx::Executor as _;

type Sqlx = SqlService<Op>;

struct Fixture {
    dir: tempfile::TempDir,
    service: Sqlx,
    db: Db<Sqlx>,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let service = open(&dir).await;
        Self { dir, db: Db::new(service.clone()), service }
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.service.readers().unwrap()).await.unwrap()
    }
}

async fn open(dir: &tempfile::TempDir) -> Sqlx {
    let path = dir.path().join("rosey.db");
    let options =
        SqliteOptions::new(path.to_str().unwrap()).unwrap().past_tolerance(std::time::Duration::MAX); // the clock of these tests begins at 0
    Sqlx::open(&options).await.unwrap()
}

#[tokio::test]
async fn a_batch_that_is_shown_leaves_no_lock_behind_when_it_has_run() {
    let file = DbFile::new();
    file.open().await.close().await;
    let claim = || OutboundGet { username: Some("alice".to_owned()), limit: 5, max_retries: 3 };
    let event = || UserJoined { username: "alice".to_owned() };
    for requests in [
        vec![Request::<Op>::new(claim())],
        vec![Request::new(claim()), Request::new(claim())],
        vec![Request::new(claim()), Request::new(event())],
        vec![Request::new(event())],
    ] {
        let (mut connection, batch) = (file.connect().await, BatchShown::of(&requests, 7, 1));
        let sql: String = batch.statements.into_iter().map(|statement| statement.sql).collect();
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        let query = query.bind(batch.number).bind(batch.now).bind(batch.answer_bytes);
        let query = batch.rows.into_iter().fold(query, sqlx::query::Query::bind);
        connection.fetch_many(query).try_for_each(|_| std::future::ready(Ok(()))).await.unwrap();
        sqlx::query("BEGIN IMMEDIATE").execute(&mut file.connect().await).await.expect("the lock is free");
    }
}

#[tokio::test]
async fn what_has_nothing_to_answer_is_one_statement_when_it_comes_alone() {
    let file = DbFile::new();
    file.open().await.close().await;
    let mut connection = file.connect().await;
    let mut events = Vec::new();
    for (name, create, insert) in eitherway::__private::shown::alone::<Op>() {
        sqlx::raw_sql(sqlx::AssertSqlSafe(create)).execute(&mut connection).await.expect(name);
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {insert}")));
        plan.fetch_all(&mut connection).await.expect(name);
        events.push(name);
    }
    let all = [
        "user_joined",
        "user_left",
        "message_log",
        "user_count",
        "high_water",
        "status_update",
        "pm_command",
        "outbound_mark_sent",
        "outbound_mark_failed",
    ];
    assert_eq!(events, all);
}

#[tokio::test]
async fn claims_that_find_nothing_write_nothing_and_those_that_find_something_are_kept() {
    let f = Fixture::new().await;
    f.db.outbound_enqueue(Some("alice"), "hi").await.unwrap();
    let claims = |user: &'static str, count: usize| {
        futures_util::future::join_all((0..count).map(|_| f.db.outbound_messages(user, 5)))
    };
    let log = || std::fs::read(f.dir.path().join("rosey.db-wal")).unwrap();
    for count in [1, 30] {
        let mut unchanged = 0;
        // The database's own upkeep may write at the same time, but not each time.
        for _ in 0..20 {
            let before = log();
            assert!(claims("bob", count).await.into_iter().all(|claimed| claimed.unwrap().is_empty()));
            unchanged += usize::from(log() == before);
        }
        assert!(unchanged > 0, "{count}: nothing is written for a poll that finds nothing");
    }
    let claimed = claims("alice", 30).await.into_iter().map(|claimed| claimed.unwrap().len()).sum::<usize>();
    assert_eq!(claimed, 1, "handed out once");
    assert_eq!(f.number("SELECT count(*) FROM ledger WHERE operation = 'outbound_get'").await, 1);
    f.db.user_joined("alice").await.unwrap();
    assert_eq!(f.number("SELECT count(*) FROM ledger").await, 3);
}

#[tokio::test]
async fn what_came_again_is_counted_by_operation_and_nothing_else_is() {
    let f = Fixture::new().await;
    let event = Request::<Op>::new(UserJoined { username: "alice".into() });
    let call = Request::<Op>::new(rosey::op::OutboundEnqueue { username: None, content: "hi".into() });
    let counts = || [&event, &call].map(|request| f.service.duplicates(request.op.index()));
    for request in [&event, &call] {
        f.db.send(request.clone()).await.unwrap();
    }
    f.db.user_left("alice").await.unwrap();
    assert_eq!(counts(), [0, 0]);
    // one after the other, each beside something new
    for (request, repeats) in [(&event, [1, 0]), (&call, [1, 1])] {
        let (again, new) = tokio::join!(f.db.send(request.clone()), f.db.user_left("bob"));
        assert!(again.is_ok() && new.is_ok());
        assert_eq!(counts(), repeats);
    }
    // and many at once, of which some meet in one batch
    let again = (0..50).map(|n| f.db.send(if n % 2 == 0 { event.clone() } else { call.clone() }));
    assert!(futures_util::future::join_all(again).await.iter().all(Result::is_ok));
    assert_eq!(counts(), [26, 26]);
    // the same id for something else is no repeat
    f.db.with(event.head.clone()).user_joined("bob").await.unwrap_err();
    assert_eq!(counts(), [26, 26]);
    assert_eq!(f.service.duplicates(Request::<Op>::new(UserLeft { username: "x".into() }).op.index()), 0);
}

#[tokio::test]
async fn an_id_used_twice_in_one_batch_belongs_to_the_first() {
    let f = Fixture::new().await;
    let head = Head::now();
    let (a, b) = (f.db.with(head.clone()), f.db.with(head));
    let (a, b) = tokio::join!(a.user_joined("x"), b.user_joined("y"));
    assert!(a.is_ok());
    assert_eq!(b.unwrap_err().cause().code(), Code::ID_REUSED);
}

#[tokio::test]
async fn a_locked_database_is_an_error_of_class_backend_and_the_same_request_succeeds_later() {
    let f = Fixture::new().await;
    let mut raw = writer(&f).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut raw).await.unwrap();
    let error = f.db.user_joined("alice").await.unwrap_err();
    assert_eq!((error.class(), error.cause().code()), (Class::Backend, Code::BUSY));
    let request = error.into_request().expect("the request, to try again");
    sqlx::query("COMMIT").execute(&mut raw).await.unwrap();
    f.db.send(request).await.unwrap();
    assert_eq!(f.number("SELECT count(*) FROM presence").await, 1);
}

#[tokio::test]
async fn claims_that_wait_for_a_lock_do_not_wait_one_after_another() {
    let f = Fixture::new().await;
    let mut raw = writer(&f).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut raw).await.unwrap();
    let (budget, begun) = (std::time::Duration::from_millis(400), std::time::Instant::now());
    let claim = || f.db.call(rosey::op::OutboundGet { username: None, limit: 10, max_retries: 3 });
    let claims = (0..30).map(|_| claim());
    for claimed in futures_util::future::join_all(claims).await {
        assert_eq!(claimed.unwrap_err().cause().code(), Code::BUSY);
    }
    assert!(begun.elapsed() < budget * 15, "each for itself would take thirty times {budget:?}");
    sqlx::query("COMMIT").execute(&mut raw).await.unwrap();
    assert!(claim().await.unwrap().answer.is_empty());
}

#[tokio::test]
async fn whatever_waits_for_the_same_lock_no_operation_waits_longer_than_its_own_time_for_it() {
    let f = Fixture::new().await;
    let mut raw = writer(&f).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut raw).await.unwrap();
    let (budget, began) = (std::time::Duration::from_millis(350), std::time::Instant::now());
    // One every millisecond, for longer than three times the budget: events, and now and then a claim.
    let operations = (0..1100).map(|n: u32| {
        let db = f.db.clone();
        async move {
            tokio::time::sleep(std::time::Duration::from_millis(1) * n).await;
            let begun = std::time::Instant::now();
            let error = if n % 40 == 39 {
                let claim = rosey::op::OutboundGet { username: None, limit: 10, max_retries: 3 };
                db.call(claim).await.map(drop).unwrap_err()
            } else {
                db.user_joined(format!("user{n}")).await.map(drop).unwrap_err()
            };
            assert_eq!(error.cause().code(), Code::BUSY);
            begun.elapsed()
        }
    });
    let longest = futures_util::future::join_all(operations).await.into_iter().max().unwrap();
    assert!(longest < budget * 2, "{longest:?} of {:?}", began.elapsed());
    sqlx::query("COMMIT").execute(&mut raw).await.unwrap();
    f.db.user_joined("alice").await.unwrap();
    assert_eq!(f.number("SELECT count(*) FROM ledger").await, 1, "what was refused is not applied");
}

#[tokio::test]
async fn a_caller_who_leaves_cancels_nothing() {
    let f = Fixture::new().await;
    for n in 0..100 {
        use futures_util::FutureExt;
        let db = f.db.clone();
        // polled once: handed to the writer; then dropped
        assert!(async move { db.user_joined(format!("user{n}")).await }.boxed().now_or_never().is_none());
    }
    f.service.barrier().await.unwrap();
    assert_eq!(f.number("SELECT count(*) FROM presence").await, 100);
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_refused_clearly() {
    let f = Fixture::new().await;
    let mut raw = writer(&f).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (77, 'tomorrow', 1, x'00', 0)",
    )
    .execute(&mut raw)
    .await
    .unwrap();
    let options = SqliteOptions::new(f.service.shown()).unwrap();
    let error = Sqlx::open(&options).await.unwrap_err().to_string();
    assert!(error.contains("newer than this program"), "{error}");
}

#[tokio::test]
async fn a_closed_service_has_committed_what_it_took_and_refuses_the_rest() {
    let f = Fixture::new().await;
    let joins = futures_util::future::join_all((0..200).map(|n| f.db.user_joined(format!("user{n}"))));
    let (joined, ()) = tokio::join!(joins, f.service.close());
    let taken = i64::try_from(joined.iter().filter(|r| r.is_ok()).count()).unwrap();
    assert!(f.db.user_joined("late").await.is_err());
    let again = open(&f.dir).await;
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM presence")
        .fetch_one(again.readers().unwrap())
        .await
        .unwrap();
    assert_eq!(stored, taken);
}

async fn writer(f: &Fixture) -> sqlx::SqliteConnection {
    use sqlx::Connection;
    sqlx::SqliteConnection::connect(f.dir.path().join("rosey.db").to_str().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_time_that_cannot_be_is_refused_on_this_path_too() {
    let f = Fixture::new().await;
    for at in [i64::MIN, -5000, 0, eitherway::clock::now() + 25 * 3_600_000, i64::MAX] {
        let error = f.db.at(at).user_joined("alice").await.unwrap_err();
        assert_eq!((error.class(), error.cause().code()), (Class::Rejected, Code::CLOCK), "{at}");
    }
    assert_eq!(f.number("SELECT count(*) FROM ledger").await, 0);
}

#[tokio::test]
async fn a_text_that_looks_like_a_number_stays_as_it_is() {
    let f = Fixture::new().await;
    let json = r#"{"details":"1e3","status_data":{"bot_name":"007","current_media_title":" 0123 "}}"#;
    f.db.status_update(serde_json::from_str(json).unwrap()).await.unwrap();
    let row: (String, String, String) =
        sqlx::query_as("SELECT details, bot_name, current_media_title FROM current_status")
            .fetch_one(f.service.readers().unwrap())
            .await
            .unwrap();
    assert_eq!(row, ("1e3".into(), "007".into(), " 0123 ".into()));
}

#[tokio::test]
async fn an_id_is_taken_only_by_what_took_effect() {
    let f = Fixture::new().await;
    let mut raw = writer(&f).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut raw).await.unwrap();
    let head = Head::now();
    let (a, b) = (f.db.with(head.clone()), f.db.with(head));
    let (a, b) = tokio::join!(a.user_joined("x"), b.user_joined("y"));
    assert_eq!(a.unwrap_err().cause().code(), Code::BUSY);
    assert_eq!(b.unwrap_err().class(), Class::Backend, "it may still be the one that takes the id");
}

#[tokio::test]
async fn every_operation_in_one_batch_is_answered_as_if_it_were_alone() {
    let f = Fixture::new().await;
    for n in 0..4 {
        let (db, id) = (f.db.clone(), i64::from(n));
        let status = StatusUpdate { status: Some(Some("online".into())), ..StatusUpdate::default() };
        let (id_of_one, claimed, id_of_other) = tokio::join!(
            db.outbound_enqueue(None, "one"),
            db.outbound_channel_messages(10),
            db.outbound_enqueue(Some("alice"), "other")
        );
        let (a, b, c, d, e) = tokio::join!(
            db.user_joined("alice"),
            db.message_log("alice", "hello"),
            db.high_water(3, Some(4)),
            db.status_update(status),
            db.outbound_mark_failed(id, "gone", false)
        );
        assert_eq!(id_of_one.unwrap() + 1, id_of_other.unwrap());
        assert_eq!(claimed.unwrap().len(), 1, "what was enqueued beside it");
        assert!([a, b, c, d, e].iter().all(Result::is_ok));
        db.user_left("alice").await.unwrap();
    }
}

#[test]
fn an_address_of_another_database_is_no_path_of_a_file() {
    for address in
        ["postgres:/me:s3cret@db/rosey", "postgresql:rosey", "Postgres:/db", "postgres://me:s3cret@db/rosey"]
    {
        let refused = SqliteOptions::new(address).unwrap_err().to_string();
        assert!(refused.contains("two slashes") || refused.contains("only sqlite://"), "{refused}");
        assert!(!refused.contains("s3cret"), "{refused}");
    }
}

#[tokio::test]
async fn of_too_many_dead_letters_those_stay_that_could_be_applied() {
    let file = DbFile::new();
    file.open().await.close().await;
    for sql in [
        // What an older instance has set aside, which does not know it.
        "INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
         VALUES (1, 'invalid', 'no event of ours has this subject', 'rosey.db.batch.events', '{}', 'a bundle')",
        "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 10200)
         INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
         SELECT n, 'invalid', 'no JSON', 'a', '{}', 'x' FROM n",
    ] {
        file.execute(sql).await;
    }
    let service = file.open().await;
    let letter = DeadLetter {
        at: 1,
        cause: Cause::new(Code::INVALID, "no JSON"),
        subject: "a".to_owned(),
        headers: Vec::new(),
        payload: vec![b'x'],
    };
    // It looks with the first one.
    service.keep_dead_letter(letter).await.unwrap();
    service.barrier().await.unwrap();
    let letters = "SELECT CAST(payload AS TEXT) || ' ' || count(*) FROM dead_letters WHERE payload <> x'' GROUP BY CAST(payload AS TEXT)";
    assert_eq!(file.texts(letters).await, ["a bundle 1", "x 10000"]);
}
