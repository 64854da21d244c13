//! Several at the same time, and other people's work in between.

use std::collections::BTreeSet;

use eitherway::Stack;
use futures_util::future::join_all;
use tokio::sync::watch;

use super::*;

/// So many old lines, by ten users.
async fn old_lines<S: Stack<Op>>(db: &Db<S>, old: i64, count: i64) {
    for from in (0..count).step_by(2000) {
        let lines = (from..count.min(from + 2000)).map(|n| {
            let db = db.at(old + n);
            async move { db.message_log(format!("user{}", n % 10), format!("line {n}")).await }
        });
        assert!(join_all(lines).await.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn two_services_that_remove_at_the_same_time_take_and_add_up_every_row_once() {
    let w = World::new().await;
    let other = w.file.open().await;
    old_lines(&w.db, w.old, 3000).await;
    for n in 0..30 {
        w.joins(&format!("user{}", n % 10), n).await;
        w.says("Server", n).await;
        let id = w.db.at(w.old).outbound_enqueue(None, "hi").await.unwrap();
        w.db.at(w.old).outbound_mark_sent(id).await.unwrap();
    }
    let users: Vec<_> = (0..10).map(|n| format!("user{n}")).chain(["Server".to_owned()]).collect();
    let users: Vec<_> = users.iter().map(String::as_str).collect();
    let known = w.known(&users).await;
    w.forget().await;

    let (stop, stopped) = watch::channel(());
    let writing = async {
        let mut written = 0;
        while !stopped.has_changed().unwrap() {
            w.db.message_log("writer", format!("line {written}")).await.unwrap();
            written += 1;
        }
        written
    };
    let sweeping = async {
        let retention = Retention::default();
        let now = clock::now();
        let (one, two) = tokio::join!(w.service.sweep(&retention, now), other.sweep(&retention, now));
        stop.send(()).unwrap();
        (one.unwrap(), two.unwrap())
    };
    let (written, (one, two)) = tokio::join!(writing, sweeping);
    let both = |name| one[name] + two[name];
    assert_eq!((both("chat"), both("history"), both("sent")), (3030, 20, 29), "{one:?} {two:?}");
    assert_eq!((both("ledger"), w.file.applied().await), (0, written));
    assert_eq!(w.file.number("SELECT count(*) FROM recent_chat WHERE username <> 'writer'").await, 0);
    let (stats, channel, open) = w.known(&users).await;
    assert_eq!((stats, open), (known.0, known.2));
    assert_eq!(channel.total_users_seen, known.1.total_users_seen + 1);
    let lines = w.db.user_stats("writer").await.unwrap().unwrap().total_chat_lines;
    assert_eq!(lines, Some(i64::try_from(written).unwrap()));
    w.file.assert_clean().await;
}

#[tokio::test]
async fn a_large_round_lets_others_write_all_the_time() {
    const LINES: i64 = 20_000;
    let w = World::new().await;
    old_lines(&w.db, w.old, LINES).await;
    // the default
    let options = w.file.options().busy_timeout(std::time::Duration::from_millis(400));
    let other = SqlService::<Op>::open(&options).await.unwrap();
    let db = Db::new(other.clone());

    let (stop, stopped) = watch::channel(());
    let writing = async {
        let (mut written, mut seen) = (0, BTreeSet::new());
        while !stopped.has_changed().unwrap() {
            db.user_count(1, 1).await.unwrap();
            written += 1;
            let left = "SELECT count(*) FROM recent_chat";
            seen.insert(
                sqlx::query_scalar::<_, i64>(left).fetch_one(other.readers().unwrap()).await.unwrap(),
            );
        }
        (written, seen)
    };
    let sweeping = async {
        let swept = w.sweep(&Retention::default(), clock::now()).await;
        stop.send(()).unwrap();
        swept
    };
    let ((written, seen), swept) = tokio::join!(writing, sweeping);
    assert_eq!(swept["chat"], LINES.unsigned_abs());
    // A removal of all in one transaction is never seen in between.
    let between = seen.iter().filter(|left| (1..LINES).contains(left)).count();
    assert!(between >= 10, "writes came through at {between} points of the round: {seen:?}");
    assert_eq!(w.file.number("SELECT count(*) FROM user_count_history").await, written);
    assert_eq!(w.file.number("SELECT sum(chat_lines) FROM user_baseline").await, LINES);
    w.file.assert_clean().await;
}
