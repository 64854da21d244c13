//! The store on a real PostgreSQL.

use crate::support::Postgres;
use eitherway::postgres::{self, PostgresOptions};
use eitherway::sql::{DeadLetters, SqlService};
use eitherway::store::{DeadLetter, Instances, Store};
use eitherway::{Cause, Class, Classify, Code, Db, Head, OpId, Request};
use futures_util::future::join_all;
use rosey::op::{MessageLog, Op, OutboundEnqueue, OutboundGet, RecentChat, RoseyClient};
use sqlx::{Connection, PgConnection};

fn options(url: &str) -> PostgresOptions {
    PostgresOptions::new(url).unwrap().retention(None)
}

async fn open(url: &str) -> SqlService<Op> {
    SqlService::open_postgres(&options(url)).await.unwrap()
}

fn line(id: &str, text: &str) -> Request<Op> {
    let head = Head {
        id: OpId::parse(id).unwrap(),
        occurred_at: eitherway::clock::now(),
        trace: None,
        deadline: None,
    };
    Request::with_head(head, MessageLog { username: "alice".into(), message: text.into() })
}

async fn assert_verified(url: &str) {
    let verdict = postgres::verify::<Op>(&options(url), |_| {}).await.unwrap();
    assert!(verdict.is_clean(), "{:#?}", verdict.findings);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_served_and_every_query_answered() {
    let url = Postgres::shared().database().await;
    let db = Db::new(open(&url).await);
    db.user_joined("alice").await.unwrap();
    db.message_log("alice", "hello").await.unwrap();
    db.message_log("[Server]", "a vote").await.unwrap();
    db.user_count(3, 2).await.unwrap();
    db.high_water(3, Some(5)).await.unwrap();
    let number = db.outbound_enqueue(Some("alice"), "welcome").await.unwrap();
    let got = db.outbound_messages("alice", 10).await.unwrap();
    assert_eq!((got.len(), got[0].id, got[0].content.as_str()), (1, number, "welcome"));
    assert!(db.outbound_messages("alice", 10).await.unwrap().is_empty(), "it is leased");
    db.outbound_mark_failed(number, "later", false).await.unwrap();
    db.outbound_mark_sent(number).await.unwrap();
    let lines = db.recent_chat(10).await.unwrap();
    assert_eq!(lines.iter().map(|l| l.message.as_str()).collect::<Vec<_>>(), ["hello"]);
    let stats = db.user_stats("alice").await.unwrap().unwrap();
    assert_eq!((stats.total_chat_lines, stats.current_session_start.is_some()), (Some(1), true));
    assert!(db.user_stats("nobody").await.unwrap().is_none());
    assert_eq!(db.open_sessions().await.unwrap().len(), 1);
    let channel = db.channel_stats().await.unwrap();
    assert_eq!((channel.high_water_mark.users, channel.high_water_connected.users), (3, 5));
    assert_eq!((channel.top_chatters.len(), channel.total_users_seen), (1, 1));
    let history = db.user_count_history(1).await.unwrap();
    assert_eq!((history[0].chat_users, history[0].connected_users), (3, 3));
    db.user_left("alice").await.unwrap();
    db.stack().close().await;
    assert_verified(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_takes_effect_once_whatever_it_meets() {
    let url = Postgres::shared().database().await;
    let writers = [Db::new(open(&url).await), Db::new(open(&url).await)];
    // In one batch, in two writers at the same time, and again later.
    let sent = (0..40).map(|n| writers[n % 2].send(line("one", "hello")));
    for reply in join_all(sent).await {
        reply.unwrap();
    }
    let rival = writers[1].send(line("one", "another")).await.unwrap_err();
    assert_eq!(rival.cause().code(), Code::ID_REUSED);
    assert_eq!(writers[0].recent_chat(10).await.unwrap().len(), 1);
    let known: u64 = writers.iter().map(|db| db.stack().duplicates(2)).sum();
    assert_eq!(known, 39);
    let enqueue = || {
        let head = Head {
            id: OpId::parse("call").unwrap(),
            occurred_at: 1_700_000_000_000,
            trace: None,
            deadline: None,
        };
        let (username, content) = (None, "once".to_owned());
        Request::<Op>::with_head(head, OutboundEnqueue { username, content })
    };
    let answers = join_all((0..10).map(|n| writers[n % 2].send(enqueue()))).await;
    let answers: Vec<String> =
        answers.into_iter().map(|reply| format!("{:?}", reply.unwrap().answer)).collect();
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_verified(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_database_refuses_fails_alone() {
    let url = Postgres::shared().database().await;
    let mut raw = PgConnection::connect(&url).await.unwrap();
    let limit = "ALTER TABLE rosey.recent_chat ADD CHECK (length(message) < 10)";
    sqlx::query(limit).execute(&mut raw).await.unwrap();
    let db = Db::new(open(&url).await);
    let sent =
        (0..50).map(|n| db.send(line(&format!("l{n}"), if n == 17 { "far too long a line" } else { "ok" })));
    let refused: Vec<_> = join_all(sent).await.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 1);
    assert_eq!((refused[0].class(), refused[0].cause().code()), (Class::Rejected, Code::REFUSED));
    assert_eq!(refused[0].request().unwrap().head.id.to_string(), "l17");
    assert_eq!(db.recent_chat(100).await.unwrap().len(), 49);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_hands_out_once_and_answers_its_repeat_the_same() {
    let url = Postgres::shared().database().await;
    let writers = [open(&url).await, open(&url).await, open(&url).await, open(&url).await].map(Db::new);
    for n in 0..60 {
        writers[0].outbound_enqueue(None, format!("message {n}")).await.unwrap();
    }
    let claim = |n: usize| {
        let head = Head {
            id: OpId::parse(&format!("claim-{n}")).unwrap(),
            occurred_at: eitherway::clock::now(),
            trace: None,
            deadline: None,
        };
        Request::<Op>::with_head(head, OutboundGet { username: None, limit: 3, max_retries: 3 })
    };
    // Each by two writers at the same time.
    let claims = (0..40).map(|n| writers[(n + n / 20) % 4].send(claim(n % 20)));
    let answers: Vec<String> =
        join_all(claims).await.into_iter().map(|reply| format!("{:?}", reply.unwrap().answer)).collect();
    for n in 0..20 {
        assert_eq!(answers[n], answers[n + 20], "claim {n}");
    }
    let leased: i64 = {
        let mut raw = PgConnection::connect(&url).await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM rosey.outbound_messages WHERE lease_id IS NOT NULL")
            .fetch_one(&mut raw)
            .await
            .unwrap()
    };
    assert_eq!(leased, 60);
    assert!(writers[0].outbound_channel_messages(10).await.unwrap().is_empty());
    let mut raw = PgConnection::connect(&url).await.unwrap();
    let claims: i64 =
        sqlx::query_scalar("SELECT count(*) FROM rosey.ledger WHERE operation = 'outbound_get'")
            .fetch_one(&mut raw)
            .await
            .unwrap();
    assert_eq!(claims, 20, "one that finds nothing leaves no row");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_kept_listed_and_dropped() {
    let url = Postgres::shared().database().await;
    let db = open(&url).await;
    let letter = DeadLetter {
        at: 1,
        cause: Cause::new(Code::INVALID, "no JSON\0"),
        subject: "rosey.db.message.log".to_owned(),
        headers: vec![("a".to_owned(), "1".to_owned())],
        payload: vec![0, 255],
    };
    assert!(Store::<Op>::dead_letter(&db, letter.clone(), true).await.unwrap());
    assert!(!Store::<Op>::dead_letter(&db, letter, true).await.unwrap(), "the same again");
    let mut letters = DeadLetters::open_postgres::<Op>(&options(&url)).await.unwrap();
    let kept = letters.list(10).await.unwrap();
    assert_eq!(
        (kept.len(), kept[0].payload.as_slice(), kept[0].code.as_str()),
        (1, &[0, 255][..], "invalid")
    );
    assert!(letters.drop_letter(kept[0].id).await.unwrap());
    assert!(letters.show(kept[0].id).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_that_are_too_many_are_counted_and_dropped() {
    let url = Postgres::shared().database().await;
    let mut raw = PgConnection::connect(&url).await.unwrap();
    let many = "INSERT INTO rosey.dead_letters (at, code, reason, subject, headers, payload)
         SELECT n, 'invalid', 'no JSON', 'a', '{}', 'x' FROM generate_series(1, 10200) n";
    sqlx::query(many).execute(&mut raw).await.unwrap();
    let db = open(&url).await;
    let letter = |n: i64| DeadLetter {
        at: n,
        cause: Cause::new(Code::INVALID, "no JSON"),
        subject: "a".to_owned(),
        headers: Vec::new(),
        payload: vec![b'x'],
    };
    // It looks with the first one.
    Store::<Op>::dead_letter(&db, letter(20_000), false).await.unwrap();
    Db::new(db.clone()).stack().barrier().await.unwrap();
    let mut letters = DeadLetters::open_postgres::<Op>(&options(&url)).await.unwrap();
    assert_eq!(letters.ids().await.unwrap().len(), 10_001);
    let summary = &letters.list(1).await.unwrap()[0];
    assert_eq!(summary.dropped(), Some(201), "{summary:?}");
    // The next ones are added to it.
    for n in 0..500 {
        Store::<Op>::dead_letter(&db, letter(30_000 + n), false).await.unwrap();
    }
    db.barrier().await.unwrap();
    let summary = &letters.list(1).await.unwrap()[0];
    assert_eq!((summary.dropped(), letters.ids().await.unwrap().len()), (Some(701), 10_001), "{summary:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_found_where_it_is_written_down() {
    let url = Postgres::shared().database().await;
    let db = open(&url).await;
    let enrolled = db.enrol("one", 5).await.unwrap();
    assert!(enrolled.secret.is_some_and(|secret| secret.len() == 32));
    assert_eq!(db.seen("one").await.unwrap(), Some(enrolled.seen));
    assert_eq!(db.seen("two").await.unwrap(), None);
    assert_eq!(db.started_since(5).await.unwrap(), ["one"]);
    assert!(db.started_since(6).await.unwrap().is_empty());
    assert_eq!(db.seen_since(enrolled.seen).await.unwrap(), ["one"]);
    assert!(db.seen_since(enrolled.seen + 1).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_bounded_and_says_what_it_leaves_out() {
    let url = Postgres::shared().database().await;
    let small = options(&url).answer_bytes(1000);
    let db = Db::new(SqlService::<Op>::open_postgres(&small).await.unwrap());
    for n in 0..30 {
        db.message_log("alice", format!("line {n}")).await.unwrap();
    }
    let reply = db.call(RecentChat { limit: 30 }).await.unwrap();
    assert!(reply.omitted > 0 && reply.answer.len() as u64 + reply.omitted == 30, "{}", reply.omitted);
    assert_eq!(reply.answer.last().unwrap().message, "line 29");
}
