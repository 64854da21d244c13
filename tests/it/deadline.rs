//! A deadline: no caller waits longer, and what is taken up later has no effect.

use std::time::Duration;

use crate::support::*;
use async_nats::HeaderMap;
use eitherway::outbox::{OutboxOptions, OutboxService};
use eitherway::{Class, Classify, Code, Db, Deadline, Head, Reply, Via, clock};
use rosey::op::{Error, Op, Request, UserJoined};
use tower::{ServiceExt, service_fn};

fn joined(name: &str, head: Head) -> Request {
    Request::with_head(head, UserJoined { username: name.into() })
}

fn over() -> Head {
    Head { deadline: Some(Deadline::at(clock::now() - 1)), ..Head::now() }
}

fn nowhere<A>() -> Result<Reply<A>, Error> {
    panic!("sent although its caller no longer waits")
}

/// The same request with time again.
fn later(error: Error) -> Request {
    let mut request = error.into_request().unwrap();
    request.head.deadline = None;
    request
}

#[tokio::test]
async fn the_client_waits_no_longer_and_gives_the_request_back() {
    let silent = service_fn(|_: Request| std::future::pending::<Result<Reply<_>, Error>>());
    let time = Duration::from_millis(50);
    let silent = Db::new(silent);
    let waits = silent.send(joined("alice", Head::now().within(time)));
    let error = tokio::time::timeout(LIMIT, waits).await.expect("at the deadline").unwrap_err();
    assert_eq!((error.class(), error.is_timeout()), (Class::Unknown, true), "{error}");
    assert!(error.request().unwrap().head.deadline.unwrap().remaining().is_zero());

    let never = service_fn(|_: Request| std::future::ready(nowhere()));
    let error = Db::new(never).send(joined("alice", over())).await.unwrap_err();
    assert_eq!((error.cause().code(), error.class()), (Code::EXPIRED, Class::NotSent));
}

#[tokio::test]
async fn what_waits_in_the_writers_queue_beyond_its_deadline_is_not_applied() {
    let file = DbFile::new();
    let database = file.open().await;
    let lock = file.hold().await;
    // It is in the writer's hands, and waits for the lock.
    let first = tokio::spawn(database.clone().oneshot(joined("first", Head::now())));
    tokio::task::yield_now().await;
    let deadline = Deadline::after(Duration::from_millis(100));
    let head = Head { deadline: Some(deadline), ..Head::now() };
    let second = tokio::spawn(database.clone().oneshot(joined("second", head)));
    wait_until("its deadline has passed", || async { deadline.remaining().is_zero() }).await;
    lock.release().await;
    first.await.unwrap().unwrap();
    let expired = second.await.unwrap().unwrap_err();
    assert_eq!(expired.cause().code(), Code::EXPIRED, "{expired}");
    assert_eq!(file.texts("SELECT username FROM presence").await, ["first"]);
    let same = later(expired);
    for _ in 0..2 {
        database.clone().oneshot(same.clone()).await.unwrap();
    }
    assert_eq!(file.number("SELECT count(*) FROM ledger").await, 2);
}

#[tokio::test]
async fn every_path_drops_what_comes_too_late_and_the_service_counts_it() {
    let (server, file, outbox) = (NatsServer::start().await, DbFile::new(), tempfile::tempdir().unwrap());
    let service = DbService::try_start(&server, &file, off()).await.unwrap();
    let nats = nats(&server).await;
    nats.recognised().await;
    let outbox = OutboxService::<Op>::open(&OutboxOptions::new(outbox.path().join("outbox"))).await.unwrap();
    let expired = [
        nats.clone().oneshot(joined("a", over())).await,
        service.sqlx.clone().oneshot(joined("b", over())).await,
        outbox.oneshot(joined("c", over())).await,
    ];
    for result in expired {
        assert_eq!(result.unwrap_err().cause().code(), Code::EXPIRED);
    }
    // Sent in time, and taken too late.
    let peer = Peer::connect(&server).await;
    let mut headers = HeaderMap::new();
    headers.insert("Eitherway-Deadline", (clock::now() - 1).to_string());
    let refused = peer.request_with("rosey.db.user.joined", headers, r#"{"username":"d"}"#).await;
    assert_eq!(refused.refusal(), Some(504), "{refused:?}");
    assert!(refused.body.contains("expired"), "{refused:?}");
    // With time left it travels along, and is served.
    let reply = nats.clone().oneshot(joined("e", Head::now().within(LIMIT))).await.unwrap();
    assert_eq!(reply.via, Via::NATS);
    let served = service.stop().await;
    assert_eq!((served.expired, served.refused, served.done), (1, 0, 1), "{served:?}");
    assert_eq!(
        (file.dead_letters().await, file.texts("SELECT username FROM presence").await),
        (0, vec!["e".into()])
    );
}

#[tokio::test]
async fn an_event_that_the_stream_has_acknowledged_is_applied_however_late() {
    let durable = Durable::new().await;
    let service = durable.serve().await;
    service.stop().await;
    let peer = Peer::connect(&durable.server).await;
    let mut headers = HeaderMap::new();
    headers.insert("Eitherway-Deadline", (clock::now() - 1).to_string());
    let stored = peer.request_with("rosey.db.user.joined", headers, r#"{"username":"alice"}"#).await;
    assert_eq!(stored.json()["stream"], "ROSEY", "{stored:?}");
    let service = durable.serve().await;
    durable.emptied().await;
    let served = service.stop().await;
    assert_eq!((served.done, served.expired), (1, 0));
    assert_eq!(durable.file.texts("SELECT username FROM presence").await, ["alice"]);
}
