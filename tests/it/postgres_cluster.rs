//! A primary and its standby, with real streaming replication: after a failover the store finds the new primary by itself, and
//! what was acknowledged is there, once. The verdict is a count.
#![allow(clippy::print_stdout)]

use std::time::Duration;

use crate::support::{Load, OutboxFile, Postgres, short_limits, wait_until};
use eitherway::postgres;
use eitherway::sql::{OpenError, SqlService};
use eitherway::{Class, Classify, Code, Db, Runtime};
use rosey::op::{Op, RoseyClient};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// A primary and a standby without which the primary acknowledges no commit, and their address.
async fn pair() -> (Postgres, Postgres, String) {
    let primary = Postgres::start(&[]);
    let url = primary.database().await;
    let standby = primary.standby();
    primary.set("synchronous_standby_names = '*'").await;
    wait_until("the standby follows", || replicates(&primary)).await;
    let both = format!(":{},127.0.0.1:{}/", primary.port(), standby.port());
    let url = url.replace(&format!(":{}/", primary.port()), &both);
    (primary, standby, format!("{url}?target_session_attrs=read-write"))
}

async fn replicates(primary: &Postgres) -> bool {
    let mut raw = primary.connect("postgres").await;
    let sql = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')";
    sqlx::query_scalar(sql).fetch_one(&mut raw).await.unwrap()
}

/// A client with an outbox, under load, and what it has sent once it has ended: every event was accepted, and is there once.
struct Client {
    runtime: Runtime<Op>,
    outbox: eitherway::outbox::OutboxService<Op>,
    load: Load,
    _kept: OutboxFile,
}

impl Client {
    async fn start(url: &str) -> Self {
        let kept = OutboxFile::new();
        let outbox = kept.open().await;
        let builder = Runtime::builder().store(short_limits(url)).outbox(outbox.clone());
        let runtime = builder.build().await.unwrap().boxed();
        let load = Load::start(&runtime.client(), 8);
        Self { runtime, outbox, load, _kept: kept }
    }

    async fn finish(mut self, what: &str, url: &str) {
        let sent = i64::try_from(self.load.all_served().await).unwrap();
        wait_until("the outbox is empty", || async { self.outbox.counts().is_empty() }).await;
        let (by_db, by_outbox) = (self.load.tally.by_db(), self.load.tally.by_outbox());
        let slowest = self.load.tally.slowest();
        self.runtime.shutdown(crate::support::LIMIT).await;
        let mut raw = PgConnection::connect(url).await.unwrap();
        let mut count = async |sql: &str| -> i64 {
            sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut raw).await.unwrap()
        };
        let applied = count("SELECT count(*) FROM rosey.ledger").await;
        let once = count(
            "SELECT count(*) FROM (SELECT username FROM rosey.recent_chat UNION SELECT username FROM rosey.presence) e",
        )
        .await;
        let twice = count(
            "SELECT count(*) FROM (SELECT username FROM rosey.recent_chat UNION ALL SELECT username FROM rosey.presence) e",
        )
        .await
            - once;
        println!(
            "{what}: sent {sent}, applied once {once}, twice {twice}, lost {}; database {by_db}, outbox {by_outbox}, slowest {slowest:?}",
            sent - once
        );
        assert_eq!((applied, once, twice), (sent, sent, 0));
        let verdict = postgres::verify::<Op>(&short_limits(url), |_| {}).await.unwrap();
        assert!(verdict.is_clean(), "{:#?}", verdict.findings);
    }
}

/// The address of one server of a pair.
fn only(server: &Postgres, url: &str) -> String {
    let database = url.rsplit_once('/').unwrap().1.split_once('?').unwrap().0;
    server.url(database)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_killed_loses_nothing_when_its_standby_takes_over() {
    let (mut primary, standby, url) = pair().await;
    let client = Client::start(&url).await;
    client.load.served_by_db(300).await;
    primary.stop("-KILL");
    client.load.taken_by_outbox(20).await;
    standby.promote().await;
    client.load.served_by_db(300).await;
    client.finish("killed, standby promoted", &only(&standby, &url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_demoted_is_left_for_the_new_one_and_found_again() {
    let (mut first, mut second, url) = pair().await;
    let client = Client::start(&url).await;
    for _ in 0..2 {
        client.load.served_by_db(200).await;
        // What is new is refused; what was begun is replicated.
        first.stop("-INT");
        client.load.taken_by_outbox(20).await;
        second.promote().await;
        first.follow(&second);
        client.load.served_by_db(200).await;
        second.set("synchronous_standby_names = '*'").await;
        wait_until("the standby follows", || replicates(&second)).await;
        std::mem::swap(&mut first, &mut second);
    }
    client.finish("demoted and back", &only(&first, &url)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_is_told_to_read_only_is_left_by_the_next_write_and_by_readers() {
    let (primary, standby, url) = pair().await;
    let db = Db::new(SqlService::<Op>::open_postgres(&short_limits(&url)).await.unwrap());
    db.message_log("alice", "before").await.unwrap();
    assert_eq!(db.recent_chat(10).await.unwrap().len(), 1);
    primary.set("default_transaction_read_only = on").await;
    // The sessions that are open take it up with their next transaction.
    let refused = loop {
        match db.message_log("alice", "before").await {
            Ok(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            Err(refused) => break refused,
        }
    };
    assert_eq!((refused.class(), refused.cause().code()), (Class::Backend, Code::STORAGE), "{refused}");
    let nowhere = db.message_log("alice", "during").await.unwrap_err();
    assert_eq!((nowhere.class(), nowhere.cause().code()), (Class::Backend, Code::STORAGE), "{nowhere}");
    let (one, other) = (format!("127.0.0.1:{}: ", primary.port()), format!("127.0.0.1:{}: ", standby.port()));
    let said = nowhere.to_string();
    assert!(said.contains(&one) && said.contains(&other) && said.contains("none of the servers"), "{said}");
    // Reading goes on.
    let known = db.recent_chat(100).await.unwrap().len();
    standby.promote().await;
    wait_until("the new primary is found", || async { db.message_log("alice", "after").await.is_ok() }).await;
    // Not from the old one, whose sessions are open as before.
    assert_eq!(db.recent_chat(100).await.unwrap().len(), known + 1);
    let mut old = PgConnection::connect(&only(&primary, &url)).await.unwrap();
    let lines: i64 =
        sqlx::query_scalar("SELECT count(*) FROM rosey.recent_chat").fetch_one(&mut old).await.unwrap();
    assert_eq!(usize::try_from(lines).unwrap(), known);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failover_without_synchronous_replication_loses_is_repeated_by_its_id() {
    let (mut primary, mut standby, url) = pair().await;
    primary.set("synchronous_standby_names = ''").await;
    let db = Db::new(SqlService::<Op>::open_postgres(&short_limits(&url)).await.unwrap());
    let line = |text: &str| {
        let op = rosey::op::MessageLog { username: "alice".into(), message: text.into() };
        eitherway::Request::<Op>::new(op)
    };
    let (kept, lost) = (line("kept"), line("lost"));
    db.send(kept.clone()).await.unwrap();
    wait_until("the standby has it", || async {
        let mut raw = PgConnection::connect(&only(&standby, &url)).await.unwrap();
        let count = sqlx::query_scalar("SELECT count(*) FROM rosey.recent_chat").fetch_one(&mut raw);
        count.await.is_ok_and(|count: i64| count == 1)
    })
    .await;
    // It hears nothing of the next one.
    standby.stop("-INT");
    db.send(lost.clone()).await.unwrap();
    primary.stop("-KILL");
    standby.run();
    standby.promote().await;
    wait_until("the new primary serves", || async {
        db.recent_chat(10).await.is_ok_and(|lines| lines.len() == 1)
    })
    .await;
    for line in [kept, lost] {
        wait_until("it is taken", || async { db.send(line.clone()).await.is_ok() }).await;
    }
    let lines = db.recent_chat(10).await.unwrap();
    assert_eq!(lines.iter().filter(|line| line.message == "kept").count(), 1, "{lines:?}");
    assert_eq!(lines.iter().filter(|line| line.message == "lost").count(), 1, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_alone_is_refused_at_once_and_can_be_verified() {
    let (_primary, standby, url) = pair().await;
    let standby = only(&standby, &url);
    let refused = SqlService::<Op>::open_postgres(&short_limits(&standby)).await.expect_err("it only reads");
    assert!(matches!(&refused, OpenError::Server { cause, .. } if cause.contains("a standby")), "{refused}");
    let verdict = postgres::verify::<Op>(&short_limits(&standby), |_| {}).await.unwrap();
    assert!(verdict.is_clean(), "{:#?}", verdict.findings);
}

async fn lines(server: &Postgres, url: &str) -> i64 {
    let mut raw = PgConnection::connect(&only(server, url)).await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM rosey.recent_chat").fetch_one(&mut raw).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_that_take_writes_the_one_that_was_promoted_last_counts() {
    let (old, mut new, url) = pair().await;
    old.set("synchronous_standby_names = ''").await;
    let role = "CREATE ROLE ordinary LOGIN; GRANT USAGE ON SCHEMA rosey TO ordinary;
        GRANT ALL ON ALL TABLES IN SCHEMA rosey TO ordinary; GRANT ALL ON ALL SEQUENCES IN SCHEMA rosey TO ordinary";
    let mut raw = PgConnection::connect(&only(&old, &url)).await.unwrap();
    sqlx::raw_sql(role).execute(&mut raw).await.unwrap();
    let ordinary = short_limits(&url.replace("postgres@", "ordinary@"));
    let store = SqlService::<Op>::open_postgres(&ordinary).await.unwrap();
    let db = Db::new(store.clone());
    db.message_log("alice", "before").await.unwrap();
    wait_until("the standby has it", || async { lines(&new, &url).await == 1 }).await;
    new.promote().await;
    wait_until("writes move to the new one", || async {
        db.message_log("alice", "after").await.unwrap();
        lines(&new, &url).await > 1
    })
    .await;
    let left = lines(&old, &url).await;
    db.message_log("alice", "after").await.unwrap();
    // A process that starts, and finds the old one first, writes to the new one as well.
    let other = Db::new(SqlService::<Op>::open_postgres(&short_limits(&url)).await.unwrap());
    other.message_log("bob", "after").await.unwrap();
    assert_eq!(lines(&old, &url).await, left);
    new.stop("-KILL");
    wait_until("the old one is refused", || async {
        let refused = db.message_log("alice", "during").await.unwrap_err();
        refused.to_string().contains("fence the old primary")
    })
    .await;
    let trouble = store.trouble();
    assert!(trouble.as_ref().is_some_and(|why| why.contains("fence the old primary")), "{trouble:?}");
    assert_eq!(lines(&old, &url).await, left, "nothing is written there any more");
    new.run();
    wait_until("it serves again", || async { db.message_log("alice", "again").await.is_ok() }).await;
    assert_eq!((lines(&old, &url).await, store.trouble()), (left, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_alone_answers_queries_where_that_is_asked_for_and_writes_once_it_is_promoted() {
    let (mut primary, standby, url) = pair().await;
    let db = Db::new(SqlService::<Op>::open_postgres(&short_limits(&url)).await.unwrap());
    db.message_log("alice", "hello").await.unwrap();
    wait_until("the standby has it", || async { lines(&standby, &url).await == 1 }).await;
    primary.stop("-INT");
    for url in [url.clone(), only(&standby, &url)] {
        let refused = SqlService::<Op>::open_postgres(&short_limits(&url)).await.unwrap_err().to_string();
        assert!(refused.contains("pg_promote()"), "{refused}");
        let store = SqlService::<Op>::open_postgres(&short_limits(&url).read_alone(true)).await.unwrap();
        let db = Db::new(store);
        assert_eq!(db.recent_chat(10).await.unwrap().len(), 1);
        let refused = db.message_log("alice", "more").await.unwrap_err();
        assert!(matches!(refused.class(), Class::Backend | Class::NotSent), "{refused}");
        assert!(refused.to_string().contains("only reads"), "{refused}");
    }
    let db = Db::new(SqlService::<Op>::open_postgres(&short_limits(&url).read_alone(true)).await.unwrap());
    standby.promote().await;
    wait_until("it takes writes", || async { db.message_log("alice", "more").await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_not_acknowledged_before_a_synchronous_standby_has_it() {
    let (primary, mut standby, url) = pair().await;
    let db = Db::new(SqlService::<Op>::open_postgres(&short_limits(&url)).await.unwrap());
    let op = rosey::op::MessageLog { username: "alice".into(), message: "hello".into() };
    let line = eitherway::Request::<Op>::new(op);
    standby.stop("-INT");
    // The session that waits for the standby is ended, as by an operator: it is committed here, and visible.
    let mut raw = primary.connect("postgres").await;
    let ending = tokio::spawn(async move {
        loop {
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
            sqlx::query(end).execute(&mut raw).await.unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    for _ in 0..3 {
        let told = db.send(line.clone()).await.map(|reply| reply.answer);
        let told = told.expect_err("no standby has it");
        assert_eq!((told.class(), told.cause().code()), (Class::Unknown, Code::UNANSWERED), "{told}");
        assert_eq!(lines(&primary, &url).await, 1, "it is committed here");
    }
    ending.abort();
    standby.run();
    wait_until("the standby has it", || async { db.send(line.clone()).await.is_ok() }).await;
    assert_eq!((lines(&primary, &url).await, lines(&standby, &url).await), (1, 1));
}
