//! The file: what it keeps, refuses and survives.

use std::collections::BTreeMap;

use eitherway::outbox::{OutboxError, OutboxService, Replayer, Which};
use eitherway::{Ack, Class, Classify, Code, Db, Head, Via};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use rosey::op::{GetChannelStats, OutboundEnqueue, Request, UserJoined};

use super::kit::*;
use crate::support::*;

#[tokio::test]
async fn an_event_is_kept_once_per_id_and_an_id_used_for_something_else_is_refused() {
    let kept = OutboxFile::new();
    let outbox = kept.open().await;
    let db = Db::new(outbox.clone());
    let request = event(0);
    // At once, in one batch, and one after the other.
    let all = futures_util::future::join_all((0..20).map(|_| db.send(request.clone()))).await;
    assert!(all.into_iter().all(|reply| reply.unwrap().ack == Ack::Stored));
    assert_eq!(db.send(request.clone()).await.unwrap().via, Via::OUTBOX);
    let other = Request::with_head(request.head.clone(), UserJoined { username: "somebody else".into() });
    let (first, second) = tokio::join!(db.send(request.clone()), db.send(other.clone()));
    assert!(first.is_ok());
    for error in [second.unwrap_err(), db.send(other).await.unwrap_err()] {
        assert_eq!((error.class(), error.cause().code()), (Class::Rejected, Code::ID_REUSED));
    }
    assert_eq!((outbox.counts().waiting, kept.number("SELECT count(*) FROM waiting").await), (1, 1));
    // What is counted while it runs is what is found at the next start.
    let counts = outbox.counts();
    outbox.close().await;
    assert_eq!(kept.open().await.counts(), counts);
}

#[tokio::test]
async fn calls_and_queries_are_not_kept_and_their_refusal_weighs_nothing() {
    let kept = OutboxFile::new();
    let db = Db::new(kept.open().await);
    let call = db.call(OutboundEnqueue { username: None, content: "hi".into() }).await.unwrap_err();
    let query = db.call(GetChannelStats {}).await.unwrap_err();
    assert_eq!((call.class(), query.class()), (Class::NotSent, Class::NotSent));
    let invalid = db.call(UserJoined { username: String::new() }).await.unwrap_err();
    let future = db.with(Head::at(i64::MAX)).user_joined("alice").await.unwrap_err();
    assert_eq!((invalid.class(), future.class()), (Class::Rejected, Class::Rejected));
}

#[tokio::test]
async fn a_full_outbox_refuses_clearly_and_takes_again_when_there_is_room() {
    let kept = OutboxFile::new();
    let options = kept.options().most_events(100);
    let w = World::with(kept, &options).await;
    let events: Vec<Request> = (0..150).map(event).collect();
    let results = send(&w.db, events.clone()).await;
    let stored = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!((stored, w.outbox.counts().waiting), (100, 100));
    let error = results.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.fallback().unwrap().code(), Code::STORAGE);
    assert_eq!(error.class(), Class::Backend);
    let text = error.to_string();
    assert!(text.contains("is full (at most 100 events") && text.contains("`outbox::list`"), "{text}");
    assert!(error.request().is_some(), "to try again");
    // What is in it already is safe, full or not.
    store(&w.db, vec![events[0].clone()]).await;
    w.provide().await;
    assert_eq!(w.replayer.once().await.replayed, 100);
    let outbox = Db::new(w.outbox.clone());
    assert_eq!(outbox.send(events[149].clone()).await.unwrap().ack, Ack::Stored);
}

#[tokio::test]
async fn the_room_that_events_need_is_bounded_too() {
    let kept = OutboxFile::new();
    let options = kept.options().most_bytes(10_000);
    let outbox = OutboxService::open(&options).await.unwrap();
    let db = Db::new(outbox.clone());
    let mut stored = 0;
    while let Ok(_reply) = db.send(event(stored)).await {
        stored += 1;
        assert!(stored < 1000, "never full");
    }
    assert!(stored > 10, "{stored}");
    assert!(outbox.counts().bytes <= 10_000, "{:?}", outbox.counts());
    assert_eq!(outbox.discard(Which::All).await.unwrap(), stored);
    assert_eq!(outbox.counts(), eitherway::outbox::Counts::default());
    db.send(event(0)).await.unwrap();
}

#[tokio::test]
async fn events_that_waited_for_more_than_7_days_are_kept_counted_and_never_replayed() {
    let w = World::new().await;
    store(&w.db, (0..30).map(event).collect()).await;
    let kept = w.kept;
    w.outbox.close().await;
    // Ten are a minute too old, ten have an hour left.
    kept.change("UPDATE waiting SET taken_at = taken_at - 7 * 86400000 - 60000 WHERE seq <= 10").await;
    kept.change(
        "UPDATE waiting SET taken_at = taken_at - 7 * 86400000 + 3600000 WHERE seq BETWEEN 11 AND 20",
    )
    .await;
    let listing = eitherway::outbox::list(&kept.path()).await.unwrap();
    assert_eq!((listing.waiting, listing.expired), (20, 10), "seen before a replay sets them aside");
    let options = kept.options();
    let w = World::with(kept, &options).await;
    w.provide().await;
    let round = w.replayer.once().await;
    assert_eq!((round.replayed, round.expired), (20, 10));
    let counts = w.outbox.counts();
    assert_eq!((counts.waiting, counts.refused, counts.expired), (0, 0, 10));
    assert_eq!(w.file.applied().await, 20);
    // For good: also for a clock that goes back.
    w.kept.change("UPDATE aside SET taken_at = taken_at + 86400000").await;
    assert_eq!(w.replayer.once().await.replayed, 0);
    assert_eq!(w.file.applied().await, 20);
}

#[test]
fn what_waits_is_a_gauge_that_goes_up_and_down_with_it() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let mut known = BTreeMap::<String, f64>::new();
    // A snapshot begins anew: what is told after it adds to what was told before.
    let mut gauges = || {
        let all = snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
            let labels: String = key.key().labels().map(|label| format!(" {}", label.value())).collect();
            let name = key.key().name().strip_prefix("eitherway_outbox_")?;
            let DebugValue::Gauge(value) = value else { panic!("{value:?}") };
            Some((format!("{name}{labels}"), value.into_inner()))
        });
        all.for_each(|(name, value)| *known.entry(name).or_default() += value);
        known.clone()
    };
    // A recorder of this test alone is one of its thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let test = async {
        let kept = OutboxFile::new();
        let outbox = kept.open().await;
        let db = Db::new(outbox.clone());
        for n in 0..3 {
            db.send(event(n)).await.unwrap();
        }
        let held = gauges();
        assert_eq!(held["events waiting"], 3.0);
        assert!(held["bytes"] > 100.0, "{held:?}");
        outbox.close().await;
        kept.change("UPDATE waiting SET taken_at = 1 WHERE seq = 1").await;

        // What was there at the start counts from the start; then one has expired, and two are served.
        let outbox = kept.open().await;
        assert_eq!(outbox.oldest().await.unwrap(), Some(1));
        assert_eq!(gauges()["events waiting"], 3.0);
        let file = DbFile::new();
        let replayer = Replayer::new(outbox.clone(), db_only(&file).await.stack().clone());
        assert_eq!(replayer.once().await.replayed, 2);
        let held = gauges();
        let states = ["waiting", "refused", "expired"].map(|s| held[&format!("events {s}")]);
        assert_eq!(states, [0.0, 0.0, 1.0]);
        outbox.discard(Which::All).await.unwrap();
        assert!(gauges().values().all(|value| *value == 0.0));
    };
    metrics::with_local_recorder(&recorder, || runtime.block_on(test));
}

#[tokio::test]
async fn an_outbox_has_one_holder_and_a_second_process_is_told_which_file() {
    let kept = OutboxFile::new();
    let first = kept.open().await;
    let error = OutboxService::<rosey::op::Op>::open(&kept.options()).await.unwrap_err();
    assert!(matches!(error, OutboxError::Locked { .. }), "{error}");
    assert!(error.to_string().contains(&kept.path().display().to_string()), "{error}");
    Db::new(first.clone()).send(event(0)).await.unwrap();
    // Listing needs no lock.
    assert_eq!(eitherway::outbox::list(&kept.path()).await.unwrap().waiting, 1);
    first.close().await;
    assert_eq!(kept.open().await.counts().waiting, 1);
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let kept = OutboxFile::new();
    let outbox = kept.open().await;
    store(&Db::new(eitherway::stack::boxed(outbox.clone())), (0..500).map(event).collect()).await;
    outbox.close().await;
    let whole = std::fs::read(kept.path()).unwrap();
    let mut torn = whole.clone();
    torn.truncate(whole.len() / 2);
    let garbage = b"this is a letter to my aunt, and no database at all ".repeat(100);
    let mut damaged = vec![("torn".to_owned(), torn), ("garbage".to_owned(), garbage)];
    for page in 1..whole.len() / 4096 {
        let mut overwritten = whole.clone();
        overwritten[page * 4096..(page + 1) * 4096].fill(0xa5);
        damaged.push((format!("page {} of {} overwritten", page + 1, whole.len() / 4096), overwritten));
    }
    assert!(damaged.len() > 10, "{}", damaged.len());
    for (what, bytes) in damaged {
        std::fs::write(kept.path(), &bytes).unwrap();
        let error = OutboxService::<rosey::op::Op>::open(&kept.options()).await.expect_err(&what);
        assert!(matches!(error, OutboxError::Damaged { .. }), "{what}: {error}");
        assert!(error.to_string().contains("left as it is"), "{error}");
        assert!(std::fs::read(kept.path()).unwrap() == bytes, "{what}: it was changed");
    }
    // A log without its file: SQLite would throw it away.
    std::fs::write(kept.path(), b"").unwrap();
    let log = kept.dir.path().join("test.outbox-wal");
    std::fs::write(&log, b"what was promised").unwrap();
    let error = OutboxService::<rosey::op::Op>::open(&kept.options()).await.unwrap_err();
    assert!(matches!(error, OutboxError::Damaged { .. }), "{error}");
    assert_eq!(std::fs::read(&log).unwrap(), b"what was promised");
    std::fs::remove_file(&log).unwrap();
    std::fs::write(kept.path(), &whole).unwrap();
    assert_eq!(kept.open().await.counts().waiting, 500);
}

#[tokio::test]
async fn a_database_of_another_program_is_no_outbox() {
    let file = DbFile::new();
    db_only(&file).await.user_joined("alice").await.unwrap();
    let options = eitherway::outbox::OutboxOptions::new(file.path());
    let error = OutboxService::<rosey::op::Op>::open(&options).await.unwrap_err();
    assert!(matches!(error, OutboxError::Another { .. }), "{error}");
    assert_eq!(file.number("SELECT count(*) FROM sqlite_schema WHERE name = 'waiting'").await, 0);
}
