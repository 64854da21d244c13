//! Joins and leaves that become totals.

use eitherway::Code;
use eitherway_layers::{Class, Classify};
use futures_util::future::join_all;

use super::*;

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
