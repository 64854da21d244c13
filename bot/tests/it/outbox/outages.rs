//! Both paths go, and come back.

use eitherway::outbox::Replayer;
use eitherway::stack::{StackBuilder, boxed};
use eitherway::{Ack, Class, Classify, Code, Db, Head, Trace, Via};
use rosey::op::{GetChannelStats, MessageLog, OutboundEnqueue, Request, UserJoined};

use super::kit::*;
use crate::support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_both_paths_are_down_every_event_is_kept_and_calls_and_queries_fail_with_both_errors() {
    let w = World::new().await;
    store(&w.db, (0..500).map(event).collect()).await;
    assert_eq!(w.outbox.counts().waiting, 500);
    let call = w.db.call(OutboundEnqueue { username: None, content: "hi".into() }).await.unwrap_err();
    let query = w.db.call(GetChannelStats {}).await.unwrap_err();
    for (primary, fallback, class, text) in [
        (call.primary(), call.fallback(), call.class(), call.to_string()),
        (query.primary(), query.fallback(), query.class(), query.to_string()),
    ] {
        assert_eq!(primary.unwrap().code(), Code::UNAVAILABLE, "of NATS: {text}");
        assert_eq!(fallback.unwrap().code(), Code::UNAVAILABLE, "of the database: {text}");
        assert_eq!(class, Class::NotSent);
        assert!(text.contains("NATS") && text.contains("database") && !text.contains("outbox"), "{text}");
    }
    assert_eq!(w.outbox.counts().waiting, 500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_events_of_one_outage_are_applied_once_each_when_nats_returns() {
    let mut w = World::new().await;
    let (_replaying, _task) = w.replay();
    store(&w.db, (0..10_000).map(event).collect()).await;
    assert_eq!(w.outbox.counts().waiting, 10_000);
    w.server.restart().await;
    let service = DbService::start(&w.server, &w.file).await;
    w.emptied().await;
    wait_until("all are counted", || async { w.replayer.done().replayed == 10_000 }).await;
    // New ones go the normal way.
    let reply = w.db.call(UserJoined { username: "user-later".into() }).await.unwrap();
    assert_eq!((reply.via, reply.ack), (Via::NATS, Ack::Committed));
    let served = service.stop().await;
    assert_eq!((served.refused, served.lost), (0, 0), "{served:?}");
    verdict(&w.file, 10_001).await;
    assert_eq!(w.kept.number("SELECT count(*) FROM waiting").await, 0);
    w.outbox.close().await;
    assert!(std::fs::metadata(w.kept.path()).unwrap().len() < 256 * 1024, "the file gives its room back");
}

#[tokio::test]
async fn what_waits_is_offered_the_oldest_first_with_the_id_the_time_and_the_trace_it_came_with() {
    let w = World::new().await;
    let trace = Trace::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some("a=b")).unwrap();
    let line = |n: i64| {
        // The times run against the order of arrival.
        let head = Head { trace: Some(trace.clone().into()), ..Head::at(1_700_000_000_000 - n) };
        Request::with_head(head, MessageLog { username: "alice".into(), message: format!("line {n}") })
    };
    let sent: Vec<Request> = (0..100).map(line).collect();
    for request in &sent {
        store(&w.db, vec![request.clone()]).await;
    }
    // A path that writes down what it gets.
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let notes = seen.clone();
    w.provide().await;
    let database = w.direct.database().unwrap().clone();
    let path = tower::service_fn(move |request: Request| {
        notes.lock().unwrap().push(request.head.clone());
        tower::ServiceExt::oneshot(database.clone(), request)
    });
    let round = Replayer::new(w.outbox.clone(), path).once().await;
    assert_eq!((round.replayed, round.is_done()), (100, true));
    let heads: Vec<Head> = sent.into_iter().map(|request| request.head).collect();
    assert_eq!(*seen.lock().unwrap(), heads);
    assert_eq!(w.outbox.counts(), eitherway::outbox::Counts::default());
    assert_eq!(w.file.applied().await, 100);
}

#[tokio::test]
async fn an_event_that_took_effect_after_all_is_replayed_without_a_second_effect() {
    let w = World::new().await;
    let events: Vec<Request> = (0..50).map(event).collect();
    store(&w.db, events.clone()).await;
    // As after a time-out: it was applied, and the answer was lost.
    let database = db_only(&w.file).await;
    for request in &events[..25] {
        database.send(request.clone()).await.unwrap();
    }
    w.provide().await;
    assert_eq!(w.replayer.once().await.replayed, 50);
    verdict(&w.file, 50).await;
}

#[tokio::test]
async fn a_refused_one_is_set_aside_with_the_reason_and_the_rest_goes_on() {
    let w = World::new().await;
    let mut events: Vec<Request> = (0..100).map(event).collect();
    let taken = Head::now();
    db_only(&w.file).await.with(taken.clone()).user_joined("user-first").await.unwrap();
    events[50] = Request::with_head(taken.clone(), UserJoined { username: "another".into() });
    store(&w.db, events.clone()).await;
    w.provide().await;
    let round = w.replayer.once().await;
    assert_eq!((round.replayed, round.refused, round.is_done()), (99, 1, true), "{round:?}");
    let counts = w.outbox.counts();
    assert_eq!((counts.waiting, counts.refused), (0, 1));
    let listing = eitherway::outbox::list(&w.kept.path()).await.unwrap();
    let [refusal] = listing.refusals.as_slice() else { panic!("{listing:?}") };
    assert_eq!((refusal.id.as_str(), refusal.code.as_str()), (taken.id.to_string().as_str(), "id_reused"));
    assert_eq!(w.file.applied().await, 100, "99 and the one that had the id first");
    // Once refused it is not taken again.
    let (again, _) = (w.replayer.once().await, w.outbox.counts());
    assert_eq!((again.replayed, again.refused), (0, 0));
    let error = Db::new(w.outbox.clone()).send(events[50].clone()).await.unwrap_err();
    assert_eq!((error.class(), error.cause().code()), (Class::Rejected, Code::REFUSED));
}

#[tokio::test]
async fn it_is_an_ordinary_service_that_any_stack_may_fall_back_to() {
    use eitherway_layers::FallbackExt;
    let w = World::new().await;
    let db = Db::new(w.nats.clone().fallback_to(w.direct.clone()).fallback_to(w.outbox.clone()));
    let reply = db.call(UserJoined { username: "alice".into() }).await.unwrap();
    assert_eq!((reply.via, reply.ack), (Via::OUTBOX, Ack::Stored));
    let error = db.call(GetChannelStats {}).await.unwrap_err();
    assert_eq!(error.class(), Class::NotSent);
    assert!(error.to_string().contains("not connected to NATS"), "{error}");
    w.provide().await;
    assert_eq!(db.call(UserJoined { username: "bob".into() }).await.unwrap().via, Via::DB);
}

#[tokio::test]
async fn a_path_that_fails_again_stops_the_round_and_leaves_the_rest() {
    let w = World::new().await;
    store(&w.db, (0..300).map(event).collect()).await;
    let round = w.replayer.once().await;
    assert_eq!((round.replayed, round.refused, w.outbox.counts().waiting), (0, 0, 300));
    assert_eq!(round.stopped.unwrap().class(), Class::NotSent);
    // One that fails in the middle.
    w.provide().await;
    let database = w.direct.database().unwrap().clone();
    let (calls, mut calls_seen) = tokio::sync::mpsc::unbounded_channel();
    let left = std::sync::Arc::new(std::sync::Mutex::new(120_u32));
    let path = tower::service_fn(move |request: Request| {
        calls.send(()).unwrap();
        let mut left = left.lock().unwrap();
        let works = *left > 0;
        *left -= u32::from(works);
        let database = database.clone();
        async move {
            if works {
                tower::ServiceExt::oneshot(database, request).await
            } else {
                Err(eitherway::Error::new(eitherway::Cause::new(Code::BUSY, "told so"), request))
            }
        }
    });
    let round = Replayer::new(w.outbox.clone(), path).once().await;
    assert_eq!((round.replayed, w.outbox.counts().waiting), (120, 180));
    let mut calls = 0;
    while calls_seen.try_recv().is_ok() {
        calls += 1;
    }
    assert!(calls < 120 + 2 * 64, "no more than a width is tried in vain: {calls}");
    assert_eq!(w.replayer.once().await.replayed, 180);
    verdict(&w.file, 300).await;
}

#[tokio::test]
async fn one_that_always_fails_does_not_hold_up_the_others() {
    let w = World::new().await;
    let events: Vec<Request> = (0..700).map(event).collect();
    store(&w.db, events.clone()).await;
    w.provide().await;
    // The oldest of them, one in the middle, and one that every path finds too large.
    let failing = [0, 350].map(|n: usize| events[n].head.id.clone());
    let large = events[500].head.id.clone();
    let database = w.direct.database().unwrap().clone();
    let path = tower::service_fn(move |request: Request| {
        let (database, id) = (database.clone(), request.head.id.clone());
        let code = if failing.contains(&id) { Some(Code::UNANSWERED) } else { None };
        let code = code.or((id == large).then_some(Code::TOO_LARGE));
        async move {
            match code {
                Some(code) => Err(eitherway::Error::new(eitherway::Cause::new(code, "told so"), request)),
                None => tower::ServiceExt::oneshot(database, request).await,
            }
        }
    });
    let replayer = Replayer::new(w.outbox.clone(), path);
    let mut rounds = 0;
    while w.outbox.counts().waiting > 3 {
        // It comes to the one that fails in every round, so that the pauses grow.
        assert!(replayer.once().await.stopped.is_some());
        rounds += 1;
        assert!(rounds <= 5, "{:?}", w.outbox.counts());
    }
    assert_eq!(replayer.once().await.replayed, 0);
    // They are still there for a path that takes them.
    assert_eq!(w.replayer.once().await.replayed, 3);
    verdict(&w.file, 700).await;
}

#[tokio::test]
async fn a_replay_that_leads_back_into_the_outbox_forgets_nothing() {
    let w = World::new().await;
    store(&w.db, (0..10).map(event).collect()).await;
    let built = StackBuilder::new().over(Some(w.nats.clone()), w.direct.clone(), Some(w.outbox.clone()));
    let round = Replayer::new(w.outbox.clone(), boxed(built.stack)).once().await;
    assert!(round.stopped.is_some());
    assert_eq!((round.replayed, w.outbox.counts().waiting), (0, 10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paths_that_come_and_go_under_load_lose_nothing_and_double_nothing() {
    let mut w = World::new().await;
    let (_replaying, _task) = w.replay();
    let mut load = Load::start(&w.db, 32);
    let kept = |load: &Load| load.tally.by_outbox();
    wait_until("some are kept", || async { kept(&load) > 200 }).await;
    w.server.restart().await;
    let mut service = DbService::start(&w.server, &w.file).await;
    for _ in 0..2 {
        load.served_by_nats(200).await;
        w.server.kill();
        let before = kept(&load);
        wait_until("more are kept", || async { kept(&load) > before + 200 }).await;
        service.stop().await;
        w.server.restart().await;
        service = DbService::start(&w.server, &w.file).await;
    }
    load.served_by_nats(200).await;
    let sent = load.finish().await;
    w.emptied().await;
    assert_eq!(load.tally.errors().len(), 0, "{:?}", load.tally.errors());
    assert_eq!(load.tally.by_nats() + load.tally.by_db() + kept(&load), sent);
    service.stop().await;
    verdict(&w.file, sent).await;
}
