//! The service on a stream: what is acknowledged when it is stored, who may acknowledge at all, and what becomes of
//! what is stored.

mod bundles;
mod ending;
mod plain;
mod settings;

use std::time::Duration;

use crate::support::*;
use async_nats::jetstream;
use eitherway::nats::Mode;
use eitherway::operation::Kind;
use eitherway::service::{JetStream, ServeError, ServiceOptions};
use eitherway::stack::{Hedging, NO_PATH, StackBuilder, boxed};
use eitherway::{Ack, Code, Db, Head, Request, Via};
use eitherway_layers::{Class, Classify};
use futures_util::future::join_all;
use rosey::op::{GetChannelStats, MessageLog, Op, UserJoined, UserLeft};

fn joined(username: &str) -> UserJoined {
    UserJoined { username: username.to_owned() }
}

// What is acknowledged, and by whom.

#[tokio::test]
async fn an_event_is_acknowledged_when_it_is_stored_and_the_rest_when_it_is_committed() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    let db = nats_only(&nats);
    let stored = db.call(joined("alice")).await.unwrap();
    assert_eq!((stored.via, stored.ack), (Via::NATS, Ack::Stored));
    let enqueued =
        db.call(rosey::op::OutboundEnqueue { username: None, content: "hi".into() }).await.unwrap();
    assert_eq!((enqueued.via, enqueued.ack), (Via::NATS, Ack::Committed));
    let read = db.call(GetChannelStats {}).await.unwrap();
    assert_eq!((read.via, read.ack), (Via::NATS, Ack::Committed));
    nats.applied(LIMIT).await.unwrap();
    assert_eq!(w.file.number("SELECT count(*) FROM presence WHERE username = 'alice'").await, 1);
    w.emptied().await;
    let served = service.stop().await;
    assert_eq!((served.refused, served.failed, served.returned, served.lost), (0, 0, 0, 0), "{served:?}");
}

/// Holds the database up until the service has been asked twice whether all is applied: once it has had to say no.
async fn held_up(w: &Durable) -> impl Future<Output = ()> + use<> {
    let mut asked = Peer::connect(&w.server).await.listen("rosey.db.applied").await;
    let held = w.file.hold().await;
    async move {
        for _ in 0..2 {
            next(&mut asked).await;
        }
        held.release().await;
    }
}

#[tokio::test]
async fn after_the_barrier_everybody_reads_what_was_written() {
    let w = Durable::new().await;
    let _service = w.serve().await;
    let nats = w.client().await;
    let db = nats_only(&nats);
    for round in 1..=3 {
        let release = tokio::spawn(held_up(&w).await);
        let lines = (0..50).map(|n| db.message_log("alice", format!("line {round} {n}")));
        join_all(lines).await.into_iter().for_each(|sent| sent.unwrap());
        nats.applied(LIMIT).await.unwrap();
        assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, round * 50);
        release.await.unwrap();
    }
    // A client that has written nothing itself.
    let peer = Peer::connect(&w.server).await;
    let release = tokio::spawn(held_up(&w).await);
    for n in 0..50 {
        peer.publish("rosey.db.user.joined", format!(r#"{{"username":"user{n}"}}"#)).await;
    }
    peer.flush().await;
    w.client().await.all_applied(LIMIT).await.unwrap();
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, 50);
    release.await.unwrap();
}

#[tokio::test]
async fn the_barrier_says_so_when_what_is_stored_is_not_applied() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    service.stop().await;
    nats_only(&nats).call(joined("alice")).await.unwrap();
    let error = nats.applied(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.code(), Code::UNANSWERED);
    let _service = w.serve().await;
    nats.applied(LIMIT).await.unwrap();
    assert_eq!(w.file.applied().await, 1);
}

#[tokio::test]
async fn behind_a_living_stream_the_service_may_be_gone_and_events_are_kept_until_it_returns() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    // A busy machine may be late with an acknowledgement, and then a hedge has the database take the event.
    let without = StackBuilder::new().hedging(Hedging::off());
    let db = Db::new(boxed(without.over(Some(nats.clone()), direct(&w.file, &nats).await, NO_PATH).stack));
    service.stop().await;
    for n in 0..100 {
        let reply = db.call(joined(&format!("user{n}"))).await.unwrap();
        assert_eq!((reply.via, reply.ack), (Via::NATS, Ack::Stored));
    }
    // Calls and queries have no service, and fall back.
    assert_eq!(db.call(GetChannelStats {}).await.unwrap().via, Via::DB);
    assert_eq!(w.file.applied().await, 0);
    assert_eq!(w.stored().await, Some(100));
    let _service = w.serve().await;
    w.emptied().await;
    assert_exactly_once(&w.file, 100).await;
}

#[tokio::test]
async fn a_client_that_starts_while_only_the_stream_is_there_recognises_it() {
    let w = Durable::new().await;
    w.serve().await.stop().await;
    let nats = nats(&w.server).await;
    tokio::time::timeout(LIMIT, nats.takes(Kind::Event)).await.expect("the stream is recognised");
    let db = stack(&nats, &w.file).await;
    let reply = db.call(joined("alice")).await.unwrap();
    assert_eq!((reply.via, reply.ack), (Via::NATS, Ack::Stored));
    assert_eq!(db.call(GetChannelStats {}).await.unwrap().via, Via::DB);
}

#[tokio::test]
async fn a_stream_that_is_not_ours_is_never_taken_for_ours() {
    let w = Durable::new().await;
    let context = w.context().await;
    // Under our name and over our subjects, with a consumer; only the mark is missing.
    declare(&context, "ROSEY", "rosey.db.user.>").await;
    let config =
        jetstream::consumer::pull::Config { durable_name: Some("writer".into()), ..Default::default() };
    context.create_consumer_on_stream(config, "ROSEY").await.unwrap();
    let nats = nats(&w.server).await;
    let db = stack(&nats, &w.file).await;
    wait_until("connected", || async { nats.status().borrow().connected }).await;
    for n in 0..30 {
        let reply = db.call(joined(&format!("user{n}"))).await.unwrap();
        assert_eq!((reply.via, reply.ack), (Via::DB, Ack::Committed));
        tokio::time::sleep(Duration::from_millis(10)).await; // the health looks meanwhile
    }
    assert_eq!(nats.status().borrow().stream, None);
    assert_eq!(w.stored().await, Some(0));
}

#[tokio::test]
async fn the_stream_of_another_database_takes_nothing_of_ours() {
    let w = Durable::new().await;
    w.serve().await.stop().await;
    let other = DbFile::new();
    let nats = nats(&w.server).await;
    let direct = direct(&other, &nats).await;
    tokio::time::timeout(LIMIT, nats.takes(Kind::Event)).await.expect("the stream is recognised");
    wait_until("the other database is noticed", || async {
        let db = Db::new(boxed(StackBuilder::new().over(NO_PATH, direct.clone(), NO_PATH).stack));
        db.call(GetChannelStats {}).await.is_err()
    })
    .await;
    let refused =
        DbService::try_start(&w.server, &other, ServiceOptions::default()).await.map(drop).unwrap_err();
    assert!(matches!(&refused, ServeError::NotOurStream { stream, .. } if stream == "ROSEY"), "{refused}");
}

#[tokio::test]
async fn an_orphan_that_answers_for_a_deleted_stream_of_ours_acknowledges_nothing() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    let stack = StackBuilder::new().nats_timeout(Duration::from_millis(500));
    let db = Db::new(boxed(stack.over(Some(nats.clone()), direct(&w.file, &nats).await, NO_PATH).stack));
    service.stop().await;
    let context = w.context().await;
    context.delete_stream("ROSEY").await.unwrap();
    declare(&context, "ORPHAN", "rosey.db.>").await;
    for n in 0..20 {
        let reply = db.call(joined(&format!("user{n}"))).await.unwrap();
        assert_eq!((reply.via, reply.ack), (Via::DB, Ack::Committed), "{n}");
    }
    let orphan = context.get_stream("ORPHAN").await.unwrap();
    // What asks who is there may lie in it; an event of ours may not.
    let subjects = orphan.info_with_subjects("rosey.db.user.*").await.unwrap();
    assert_eq!(
        futures_util::StreamExt::count(subjects).await,
        0,
        "it has refused what expects another stream"
    );
}

#[tokio::test]
async fn an_id_that_is_sent_twice_is_stored_and_applied_once() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    let (over_nats, over_db) = (nats_only(&nats), db_only(&w.file).await);
    let request = Request::<Op>::new(joined("alice"));
    for _ in 0..3 {
        assert_eq!(over_nats.send(request.clone()).await.unwrap().ack, Ack::Stored);
        assert_eq!(over_db.send(request.clone()).await.unwrap().ack, Ack::Committed);
    }
    nats.applied(LIMIT).await.unwrap();
    assert_eq!((w.file.applied().await, w.file.number("SELECT count(*) FROM presence").await), (1, 1));
    assert_eq!(service.stop().await.taken, 1, "the stream knows an id for two minutes");
}

// What the stream refuses.

#[tokio::test]
async fn what_a_full_stream_refuses_goes_to_the_database() {
    let w = Durable::new().await;
    let options = on().stream_max_bytes(Some(4096));
    w.try_serve(options).await.unwrap().stop().await;
    let nats = nats(&w.server).await;
    tokio::time::timeout(LIMIT, nats.takes(Kind::Event)).await.expect("the stream is recognised");
    let db = stack(&nats, &w.file).await;
    let mut by = [0_u64; 2];
    for n in 0..100 {
        let reply = db.call(joined(&format!("user{n}"))).await.unwrap();
        by[usize::from(reply.via == Via::DB)] += 1;
    }
    assert!(by[0] > 0 && by[1] > 0, "{by:?}");
    let refused = nats_only(&nats).call(joined("zoe")).await.unwrap_err();
    assert_eq!((refused.class(), refused.cause().code()), (Class::NotSent, Code::UNAVAILABLE), "{refused}");
    let service = w.try_serve(on().stream_max_bytes(Some(4096))).await.unwrap();
    w.emptied().await;
    assert_exactly_once(&w.file, 100).await;
    service.stop().await;
}

#[tokio::test]
async fn what_is_larger_than_the_stream_takes_goes_to_the_database() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    // A service that runs puts the size right.
    service.stop().await;
    let context = w.context().await;
    let mut config = context.get_stream("ROSEY").await.unwrap().cached_info().config.clone();
    config.max_message_size = 1024;
    context.update_stream(config).await.unwrap();
    let line = || MessageLog { username: "alice".into(), message: "x".repeat(4000) };
    let error = nats_only(&nats).call(line()).await.unwrap_err();
    assert_eq!((error.class(), error.cause().code()), (Class::TooLarge, Code::TOO_LARGE), "{error}");
    let db = stack(&nats, &w.file).await;
    assert_eq!(db.call(line()).await.unwrap().via, Via::DB);
    assert_eq!(db.call(joined("alice")).await.unwrap().ack, Ack::Stored);
}

#[tokio::test]
async fn a_stream_that_is_deleted_is_declared_again_and_meanwhile_the_database_serves() {
    let w = Durable::new().await;
    let _service = w.serve().await;
    let nats = w.client().await;
    let db = stack(&nats, &w.file).await;
    for n in 0..50 {
        assert_eq!(db.call(joined(&format!("before{n}"))).await.unwrap().ack, Ack::Stored);
    }
    nats.applied(LIMIT).await.unwrap();
    w.context().await.delete_stream("ROSEY").await.unwrap();
    let mut sent = 50;
    let mut by_database = 0;
    wait_until("stored again", || {
        sent += 1;
        let (db, name) = (db.clone(), format!("after{sent}"));
        let call = async move { db.call(joined(&name)).await.unwrap().ack };
        async move { call.await == Ack::Stored }
    })
    .await;
    nats.applied(LIMIT).await.unwrap();
    by_database += w.file.applied().await;
    assert_eq!(by_database, sent, "the new stream counts from 1, and no message waits for an old number");
    assert_exactly_once(&w.file, sent).await;
}
