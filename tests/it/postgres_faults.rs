//! A PostgreSQL that is killed, stopped, frozen or full, and a network that loses the answer of a commit: callers that repeat what
//! they were not told, as an outbox does, lose nothing and double nothing. The verdict is a count.
#![allow(clippy::print_stdout)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::support::{Direction, End, LIMIT, NewConnections, Postgres, Proxy, short_limits, wait_until};
use eitherway::postgres;
use eitherway::sql::SqlService;
use eitherway::{Class, Classify, Code, Db, Error, Request};
use rosey::op::{MessageLog, Op, RoseyClient};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinHandle;

const CALLERS: usize = 8;

/// Ends the connections of the store.
const END_ALL: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE application_name = 'eitherway' AND datname = current_database()";

async fn open(url: &str) -> Db<SqlService<Op>> {
    Db::new(SqlService::open_postgres(&short_limits(url)).await.unwrap())
}

/// Callers on two writers, until they are told to stop. Each repeats a line until it is confirmed.
struct Load {
    stop: Arc<AtomicBool>,
    confirmed: Arc<AtomicU64>,
    /// Errors that they were told, by class: not sent, backend, unknown.
    told: Arc<[AtomicU64; 3]>,
    /// The first error of class `Backend` that one was told.
    refused: Arc<OnceLock<Error<Op>>>,
    /// The longest that one call took, in milliseconds.
    longest: Arc<AtomicU64>,
    callers: Vec<JoinHandle<u64>>,
    writers: [Db<SqlService<Op>>; 2],
}

impl Load {
    async fn start(url: &str) -> Self {
        let writers = [open(url).await, open(url).await];
        let (stop, confirmed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, longest): (Arc<[AtomicU64; 3]>, _) = (Arc::default(), Arc::new(AtomicU64::new(0)));
        let refused = Arc::new(OnceLock::new());
        let callers = (0..CALLERS).map(|caller| {
            let (db, stop, confirmed) =
                (writers[caller % 2].clone(), Arc::clone(&stop), Arc::clone(&confirmed));
            let (told, longest, refused) = (Arc::clone(&told), Arc::clone(&longest), Arc::clone(&refused));
            tokio::spawn(async move {
                let mut said = 0;
                while !stop.load(Ordering::Relaxed) {
                    let message = format!("{caller} says {said}");
                    let line = Request::new(MessageLog { username: format!("user{}", caller % 3), message });
                    said += 1;
                    loop {
                        let since = Instant::now();
                        let sent = db.send(line.clone()).await;
                        let took = u64::try_from(since.elapsed().as_millis()).unwrap();
                        longest.fetch_max(took, Ordering::Relaxed);
                        let Err(e) = sent else { break };
                        match e.class() {
                            Class::NotSent => told[0].fetch_add(1, Ordering::Relaxed),
                            Class::Backend => {
                                let _ = refused.set(e);
                                told[1].fetch_add(1, Ordering::Relaxed)
                            }
                            Class::Unknown => told[2].fetch_add(1, Ordering::Relaxed),
                            class => panic!("{class:?}: {e}"),
                        };
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    confirmed.fetch_add(1, Ordering::Relaxed);
                }
                said
            })
        });
        let callers = callers.collect();
        Self { stop, confirmed, told, refused, longest, callers, writers }
    }

    /// Waits until this many more were confirmed.
    async fn more(&self, count: u64) {
        let until = self.confirmed.load(Ordering::Relaxed) + count;
        wait_until("more lines are confirmed", || async { self.confirmed.load(Ordering::Relaxed) >= until })
            .await;
    }

    fn told(&self) -> [u64; 3] {
        [0, 1, 2].map(|class| self.told[class].load(Ordering::Relaxed))
    }

    /// Ends it, and counts: every line once, in every table.
    async fn finish(self, what: &str, url: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let mut said = 0;
        for caller in self.callers {
            said += tokio::time::timeout(LIMIT, caller).await.expect("a caller ends").unwrap();
        }
        let said = i64::try_from(said).unwrap();
        let mut raw = PgConnection::connect(url).await.unwrap();
        let mut count = async |sql: &str| -> i64 {
            sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut raw).await.unwrap()
        };
        let found = [
            count("SELECT count(*) FROM rosey.ledger").await,
            count("SELECT count(*) FROM rosey.recent_chat").await,
            count("SELECT count(DISTINCT message) FROM rosey.recent_chat").await,
            count("SELECT sum(total_chat_lines)::bigint FROM rosey.user_stats_now").await,
        ];
        let [not_sent, backend, unknown] = [0, 1, 2].map(|class| self.told[class].load(Ordering::Relaxed));
        let longest = self.longest.load(Ordering::Relaxed);
        let answered: u64 = self.writers.iter().map(|db| db.stack().duplicates(2)).sum();
        println!(
            "{what}: {said} lines, lost {}, doubled {}; told not sent {not_sent}, backend {backend}, unknown {unknown}; \
             {answered} answered from the ledger; the longest call {longest} ms",
            said - found[2],
            found[1] - found[2],
        );
        assert_eq!(found, [said; 4], "ledger, lines, distinct lines, counted");
        for db in self.writers {
            db.stack().close().await;
        }
        let verdict = postgres::verify::<Op>(&short_limits(url), |_| {}).await.unwrap();
        assert!(verdict.is_clean(), "{:#?}", verdict.findings);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_or_stopped_loses_and_doubles_nothing() {
    let mut server = Postgres::start(&[]);
    let url = server.database().await;
    let load = Load::start(&url).await;
    for signal in ["-KILL", "-QUIT", "-INT", "-KILL"] {
        load.more(300).await;
        server.stop(signal);
        let trouble = || load.writers[0].stack().trouble();
        wait_until("the store says why", || async { trouble().is_some() }).await;
        // The batch that was on its way is given up, and what comes then is not sent.
        let before = load.told()[0];
        wait_until("they are told", || async { load.told()[0] > before }).await;
        server.run();
        wait_until("the store serves", || async { trouble().is_none() }).await;
        load.more(100).await;
    }
    load.finish("killed, stopped at once, stopped, killed", &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_given_up_in_bounded_time() {
    let server = Postgres::start(&[]);
    let url = server.database().await;
    let load = Load::start(&url).await;
    load.more(200).await;
    server.freeze();
    // It gives no error, ever: they are told by our own limits.
    wait_until("they are told", || async { load.told()[2] > 0 && load.told()[0] > 0 }).await;
    // A statement, a repeat on a new connection, and one batch before it.
    let bound = 2 * (1000 + 1000 + 500) + 500;
    assert!(load.longest.load(Ordering::Relaxed) < bound, "{:?} ms", load.longest);
    server.thaw();
    load.more(100).await;
    load.finish("frozen", &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_repeated_and_has_one_effect() {
    let server = Postgres::start(&[]);
    let url = server.database().await;
    let proxy = Proxy::to(([127, 0, 0, 1], server.port()).into()).await;
    let through = url.replace(&server.port().to_string(), &proxy.address().port().to_string());
    let load = Load::start(&through).await;
    for round in 0..20 {
        load.more(50).await;
        // What is in flight is committed, and its answer is lost.
        proxy.stall([Direction::Client]);
        tokio::time::sleep(Duration::from_millis(30)).await;
        let end = if round % 2 == 0 { End::Reset } else { End::Finish };
        proxy.cut(end, NewConnections::Taken).await;
        proxy.heal().await;
    }
    load.more(50).await;
    let known: u64 = load.writers.iter().map(|db| db.stack().duplicates(2)).sum();
    // By the writer: its callers are not told, and repeat nothing.
    let told = load.told[2].load(Ordering::Relaxed);
    assert!(known > 0 && 2 * told < known, "{known} commits were repeated, {told} of them by callers");
    load.finish("cut at the commit", &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_and_serves_again_when_it_is_freed() {
    let server = Postgres::with_disk("32m").await;
    let url = server.database().await;
    let load = Load::start(&url).await;
    load.more(200).await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("CREATE TABLE filler (x text)").execute(&mut other).await.unwrap();
    // Until a table of the store needs another page, and is not given it. What is rolled back may give one: the next line may fit.
    let full = loop {
        if let Some(full) = load.refused.get() {
            break full;
        }
        let fill = "INSERT INTO filler SELECT repeat(md5(n::text), 60) FROM generate_series(1, $1) n";
        for rows in [1000, 4, 4, 4] {
            let filled = sqlx::query(fill).bind(rows).execute(&mut other).await;
            let state = filled.err().and_then(|e| Some(e.as_database_error()?.code()?.into_owned()));
            assert!(matches!(state.as_deref(), None | Some("53100")), "{state:?}");
        }
    };
    assert_eq!((full.class(), full.cause().code()), (Class::Backend, Code::STORAGE), "{full}");
    sqlx::raw_sql("DROP TABLE filler").execute(&mut other).await.unwrap();
    load.more(200).await;
    load.finish("disk full", &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_ended_again_and_again_lose_and_double_nothing() {
    let url = Postgres::shared().database().await;
    let load = Load::start(&url).await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    for _ in 0..30 {
        load.more(20).await;
        let ended: i64 = sqlx::query_scalar(END_ALL).fetch_one(&mut other).await.unwrap();
        assert!(ended > 0, "none was ended");
    }
    // What was lost on its way is repeated by the writer; its callers hear nothing of it.
    assert_eq!(load.told(), [0; 3]);
    load.finish("30 times all connections ended", &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_with_another_program_is_tried_again_and_not_told() {
    let url = Postgres::shared().database().await;
    let load = Load::start(&url).await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut won = 0;
    while won < 3 {
        load.more(20).await;
        // The writers have the ledger, and wait for the lines; this has the lines.
        sqlx::raw_sql("BEGIN; LOCK TABLE rosey.recent_chat").execute(&mut other).await.unwrap();
        wait_until("a writer waits", || async {
            let mut looking = PgConnection::connect(&url).await.unwrap();
            // The table has the same number in every database of this server.
            let waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'rosey.recent_chat'::regclass
                AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
            sqlx::query_scalar(waiting).fetch_one(&mut looking).await.unwrap()
        })
        .await;
        let both = sqlx::query("LOCK TABLE rosey.ledger").execute(&mut other).await;
        won += u32::from(both.is_ok());
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    }
    assert_eq!(load.told(), [0; 3]);
    load.finish("deadlocks lost by the writers", &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_and_a_lack_of_connections_under_load_are_told_and_lose_nothing() {
    let server = Postgres::start(&["max_connections=12", "superuser_reserved_connections=0"]);
    let url = server.database().await;
    let load = Load::start(&url).await;
    load.more(100).await;
    let mut other = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE rosey.recent_chat").execute(&mut other).await.unwrap();
    // The statement's limit of a second comes before the lock's of three.
    wait_until("they are told", || async { load.told()[1] > 0 }).await;
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    load.more(100).await;
    let (busy, mut held) = (load.told()[1], Vec::new());
    while load.told()[1] == busy {
        while let Ok(connection) = PgConnection::connect(&url).await {
            held.push(connection);
        }
        sqlx::query(END_ALL).execute(&mut other).await.unwrap();
    }
    drop(held);
    load.more(100).await;
    load.finish("rows locked, then no free connection", &url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_a_free_connection_is_said_to_be_full() {
    let server = Postgres::start(&["max_connections=12", "superuser_reserved_connections=0"]);
    let url = server.database().await;
    let db = open(&url).await;
    db.message_log("alice", "before").await.unwrap();
    let mut raw = PgConnection::connect(&url).await.unwrap();
    let mut held = Vec::new();
    while let Ok(connection) = PgConnection::connect(&url).await {
        held.push(connection);
    }
    sqlx::query(END_ALL).execute(&mut raw).await.unwrap();
    // Its place is taken before it comes back.
    while held.len() < 11 {
        match PgConnection::connect(&url).await {
            Ok(connection) => held.push(connection),
            Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    let line = Request::<Op>::new(MessageLog { username: "alice".into(), message: "during".into() });
    let full = db.send(line.clone()).await.unwrap_err();
    // What was sent into the connection that had ended may be there, for all that is known.
    assert!(matches!(full.class(), Class::Backend | Class::Unknown), "{full}");
    let full = db.send(line.clone()).await.unwrap_err();
    assert_eq!((full.class(), full.cause().code()), (Class::Backend, Code::OVERLOADED), "{full}");
    drop(held);
    let since = Instant::now();
    while let Err(e) = db.send(line.clone()).await {
        assert!(since.elapsed() < LIMIT, "{e}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(db.recent_chat(10).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_another_program_is_waited_for_within_a_limit() {
    let url = Postgres::shared().database().await;
    let short = short_limits(&url).lock_timeout(Duration::from_millis(200));
    let db = Db::new(SqlService::<Op>::open_postgres(&short).await.unwrap());
    let mut other = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE rosey.lines_waiting").execute(&mut other).await.unwrap();
    let since = Instant::now();
    let busy = db.message_log("alice", "hello").await.unwrap_err();
    assert_eq!((busy.class(), busy.cause().code()), (Class::Backend, Code::BUSY), "{busy}");
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());
    sqlx::raw_sql("ROLLBACK").execute(&mut other).await.unwrap();
    db.message_log("alice", "hello").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_waits_for_a_connection_that_another_one_uses_longer_than_connecting_may_take() {
    let url = Postgres::shared().database().await;
    let connecting = Duration::from_secs(1);
    let options = short_limits(&url)
        .readers(1)
        .connect_timeout(connecting)
        .statement_timeout(LIMIT)
        .lock_timeout(LIMIT);
    let db: Db<SqlService<Op>> = Db::new(SqlService::open_postgres(&options).await.unwrap());
    let mut other = PgConnection::connect(&url).await.unwrap();
    let mut held = other.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE rosey.recent_chat").execute(&mut *held).await.unwrap();
    let first = tokio::spawn({
        let db = db.clone();
        async move { db.recent_chat(10).await.map(drop) }
    });
    let mut looks = PgConnection::connect(&url).await.unwrap();
    let waiting = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))";
    while !sqlx::query_scalar::<_, bool>(waiting).fetch_one(&mut looks).await.unwrap() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut second = tokio::spawn(async move { db.user_stats("alice").await.map(drop) });
    assert!(tokio::time::timeout(connecting * 2, &mut second).await.is_err(), "it waits");
    held.rollback().await.unwrap();
    for asked in [first, second] {
        asked.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_reads_refuses_and_serves_again_when_it_writes() {
    let url = Postgres::shared().database().await;
    let db = open(&url).await;
    db.message_log("alice", "before").await.unwrap();
    let name = url.rsplit_once('/').unwrap().1.to_owned();
    let mut raw = PgConnection::connect(&url).await.unwrap();
    // As a primary that has become a standby: also for those that are connected.
    let read_only = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    sqlx::query(AssertSqlSafe(read_only)).execute(&mut raw).await.unwrap();
    sqlx::query(END_ALL).execute(&mut raw).await.unwrap();
    let refused = db.message_log("alice", "during").await.unwrap_err();
    assert!(matches!(refused.class(), Class::Backend | Class::Unknown), "{refused}");
    let refused = db.message_log("alice", "during").await.unwrap_err();
    assert_eq!((refused.class(), refused.cause().code()), (Class::Backend, Code::STORAGE), "{refused}");
    let writes = format!(
        "SET default_transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only"
    );
    sqlx::raw_sql(AssertSqlSafe(writes)).execute(&mut raw).await.unwrap();
    db.message_log("alice", "after").await.unwrap();
}
