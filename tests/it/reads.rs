//! Queries by many at once, which are read in groups: each is answered as if it were asked alone, at a moment between question
//! and answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::support::*;
use eitherway::{Db, Received};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rosey::op::{Answer, GetUserStats, Line, Op, RecentChat, Request, RoseyClient};
use tower::ServiceExt;

const USERS: usize = 3;

/// What a caller asks, one after the other.
#[derive(Clone, Debug)]
enum Ask {
    /// How many lines a user has.
    Lines(usize),
    /// The newest lines.
    Newest(u32),
}

fn asks() -> impl Strategy<Value = Vec<Ask>> {
    vec(prop_oneof![3 => (0..USERS + 1).prop_map(Ask::Lines), 1 => (0..4_u32).prop_map(Ask::Newest)], 1..12)
}

fn name(user: usize) -> String {
    format!("user {user}")
}

/// The answer after this many of the lines, by who said them.
fn after(said: &[usize], ask: &Ask) -> String {
    match ask {
        Ask::Lines(user) => {
            let lines = said.iter().filter(|other| *other == user).count();
            format!("{:?}", (lines > 0).then_some(lines as i64))
        }
        Ask::Newest(limit) => {
            let newest = said.len().saturating_sub(*limit as usize);
            format!("{:?}", (newest..said.len()).map(|n| n.to_string()).collect::<Vec<_>>())
        }
    }
}

/// The answer of the database.
fn told(answer: Answer) -> String {
    match answer {
        Answer::GetUserStats(stats) => format!("{:?}", stats.total_chat_lines),
        Answer::RecentChat(lines) => {
            format!("{:?}", lines.into_iter().map(|Line { message, .. }| message).collect::<Vec<_>>())
        }
        other => panic!("not asked: {other:?}"),
    }
}

async fn history(said: Vec<usize>, callers: Vec<Vec<Ask>>) {
    let file = DbFile::new();
    let database = file.open().await;
    let said = Arc::new(said);
    // How many lines were begun, and how many are acknowledged.
    let counts = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let writes = tokio::spawn({
        let (db, said, counts) = (Db::new(database.clone()), Arc::clone(&said), Arc::clone(&counts));
        async move {
            for (n, user) in said.iter().enumerate() {
                counts.0.store(n + 1, SeqCst);
                db.message_log(name(*user), n.to_string()).await.unwrap();
                counts.1.store(n + 1, SeqCst);
            }
        }
    });
    let callers = callers.into_iter().map(|asks| {
        let (database, said, counts) = (database.clone(), Arc::clone(&said), Arc::clone(&counts));
        tokio::spawn(async move {
            for ask in asks {
                let request: Request = match ask {
                    Ask::Lines(user) => Request::new(GetUserStats { username: name(user) }),
                    Ask::Newest(limit) => Request::new(RecentChat { limit }),
                };
                let before = counts.1.load(SeqCst);
                let answer = database.clone().oneshot(request).await.unwrap().answer;
                let moments = before..=counts.0.load(SeqCst);
                let answer = told(answer);
                assert!(
                    moments.clone().any(|moment| after(&said[..moment], &ask) == answer),
                    "{ask:?} between {moments:?} of {said:?}: {answer}"
                );
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    writes.await.unwrap();
    database.close().await;
}

#[test]
fn whatever_is_written_meanwhile_each_is_answered_as_alone_at_a_moment_after_it_asked() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let histories = (vec(0..USERS, 0..40), vec(asks(), 1..40));
    runner
        .run(&histories, |(said, callers)| {
            runtime.block_on(history(said, callers));
            Ok(())
        })
        .unwrap();
}

/// What was read for many is the same for those who forward it and for those who read it.
#[tokio::test]
async fn a_shared_answer_is_forwarded_byte_for_byte_as_it_is_alone() {
    let file = DbFile::new();
    let database = file.open().await;
    let db = Db::new(database.clone());
    for n in 0..20 {
        db.message_log("alice", format!("\"{n}\" \\ ☃")).await.unwrap();
    }
    let forwarded = async |database: eitherway::sql::SqlService<Op>| {
        let request: Request = Request::new(RecentChat { limit: 10 });
        let received = Received::new(request.head.occurred_at, 1_000_000);
        let answer = database.oneshot(request.with_received(received)).await.unwrap().answer;
        String::from_utf8(<Op as eitherway::Operation>::encode_answer(answer).unwrap()).unwrap()
    };
    let alone = forwarded(database.clone()).await;
    let lines = db.recent_chat(10).await.unwrap();
    let many = (0..100).map(|_| forwarded(database.clone()));
    let read = (0..100).map(|_| db.recent_chat(10));
    let (many, read) =
        tokio::join!(futures_util::future::join_all(many), futures_util::future::join_all(read));
    assert!(many.iter().all(|json| *json == alone));
    assert!(read.into_iter().all(|read| read.unwrap() == lines));
}
