//! Joins and leaves that become totals.

use eitherway::Code;
use eitherway_layers::{Class, Classify};
use futures_util::future::join_all;

use super::*;

#[tokio::test]
async fn what_the_ledger_still_knows_is_not_folded_however_old() {
    let w = World::new().await;
    for second in [0, 20, 40] {
        w.joins("alice", second).await;
        w.leaves("alice", second + 10).await;
    }
    let swept = w.sweep(&Retention::default(), clock::now()).await;
    assert_eq!(swept["history"], 0, "all of it may come again");
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, 6);

    // What comes late between the others keeps those behind it: they may be its neighbours.
    w.forget().await;
    w.joins("alice", 15).await;
    assert_eq!(w.seconds_of("alice").await, 10 + 5 + 10 + 10);
    let swept = w.sweep(&Retention::default(), clock::now()).await;
    assert_eq!(swept["history"], 1, "the first join: its leave is the neighbour of what comes next");
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, 6);
    assert_eq!(w.seconds_of("alice").await, 35);
    w.file.assert_clean().await;
    w.leaves("alice", 18).await;
    assert_eq!(w.seconds_of("alice").await, 10 + 3 + 10 + 10);
    w.file.assert_clean().await;
}

#[tokio::test]
async fn one_older_than_what_was_folded_is_refused_alone_and_counted_nowhere() {
    let w = World::new().await;
    for second in [0, 20, 40] {
        w.joins("alice", second).await;
        w.leaves("alice", second + 10).await;
    }
    w.joins("bob", 10).await;
    w.forget().await;
    assert_eq!(w.sweep(&Retention::default(), clock::now()).await["history"], 5);
    let before = w.known(&["alice", "bob"]).await;

    let calls = (0..40).map(|n| {
        let db = w.db.at(w.old + n * SECOND);
        async move { if n % 20 == 7 { db.user_joined("alice").await } else { db.user_left("ghost").await } }
    });
    let refused: Vec<_> = join_all(calls).await.into_iter().filter_map(Result::err).collect();
    assert_eq!(refused.len(), 2);
    for error in refused {
        assert_eq!((error.class(), error.cause().code()), (Class::Rejected, Code::REFUSED), "{error}");
        assert!(error.to_string().contains("older than the joins and leaves"), "{error}");
    }
    assert_eq!(w.file.applied().await, 38);
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, 2 + 38);
    assert_eq!(w.known(&["alice", "bob"]).await, before);
    // A user of whom nothing was folded takes what is just as old.
    w.leaves("bob", 15).await;
    assert_eq!(w.seconds_of("bob").await, 5);
    w.file.assert_clean().await;
}

#[tokio::test]
async fn what_comes_after_the_folded_finds_its_neighbour() {
    let w = World::new().await;
    for user in ["leaver", "rejoiner", "gone"] {
        w.joins(user, 0).await;
        w.leaves(user, 10).await;
        w.joins(user, 100).await;
    }
    w.leaves("gone", 110).await;
    w.forget().await;
    assert_eq!(w.sweep(&Retention::default(), clock::now()).await["history"], 2 + 2 + 3);

    w.leaves("leaver", 130).await;
    w.joins("rejoiner", 140).await;
    w.leaves("rejoiner", 141).await;
    w.leaves("gone", 150).await;
    w.joins("gone", 160).await;
    w.joins("gone", 170).await;
    // late, between two that are there
    w.leaves("gone", 163).await;
    assert_eq!(w.seconds_of("leaver").await, 10 + 30);
    assert_eq!(w.seconds_of("rejoiner").await, 10 + 40 + 1);
    assert_eq!(w.seconds_of("gone").await, 10 + 10 + 3);
    let open = w.db.open_sessions().await.unwrap();
    let since = w.old / SECOND + 170;
    assert_eq!(open.iter().map(|s| (s.username.as_str(), s.since)).collect::<Vec<_>>(), [("gone", since)]);
    w.file.assert_clean().await;

    // once more, over what was folded before
    let users = ["leaver", "rejoiner", "gone"];
    let before = w.known(&users).await;
    w.forget().await;
    assert_eq!(w.sweep(&Retention::default(), clock::now()).await["history"], 1 + 2 + 4);
    assert_eq!(w.known(&users).await, before);
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, 3);
    w.file.assert_clean().await;
}

#[tokio::test]
async fn a_session_of_days_that_is_still_open_is_not_cut() {
    let w = World::new().await;
    w.joins("alice", 0).await;
    w.joins("alice", 10).await;
    w.forget().await;
    w.sweep_all().await;
    assert_eq!(w.db.open_sessions().await.unwrap().len(), 1);
    w.leaves("alice", 50 * 86_400).await;
    assert_eq!(w.seconds_of("alice").await, 50 * 86_400);
    w.file.assert_clean().await;
}

/// Users of whom nothing can be folded yet do not stand before those of whom something can.
#[tokio::test]
async fn those_who_must_wait_do_not_hold_up_the_others() {
    let w = World::new().await;
    let at = w.old;
    let waiting = 2100;
    for (second, joined) in [(10, true), (20, false)] {
        let calls = (0..waiting).map(|n| {
            let (db, user) = (w.db.at(at + second * SECOND), format!("a{n}"));
            async move { if joined { db.user_joined(user).await } else { db.user_left(user).await } }
        });
        assert!(join_all(calls).await.iter().all(Result::is_ok));
    }
    w.joins("z", 10).await;
    w.leaves("z", 20).await;
    w.forget().await;
    // late, and before everything else: the rest has to wait for it
    let calls = (0..waiting).map(|n| {
        let db = w.db.at(at);
        async move { db.user_joined(format!("a{n}")).await }
    });
    assert!(join_all(calls).await.iter().all(Result::is_ok));
    assert_eq!(w.sweep(&Retention::default(), clock::now()).await["history"], 1);
    w.file.assert_clean().await;
}
