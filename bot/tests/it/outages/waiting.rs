//! Callers that wait when something freezes are released by the probe that notices it, not by the clock.

use std::time::Duration;

use eitherway::Via;
use eitherway::nats::NatsService;
use eitherway::stack::{Hedging, NO_PATH, StackBuilder, boxed};
use eitherway::{Db, Stack};
use futures_util::future::join_all;
use rosey::op::{GetChannelStats, Op, UserJoined};

use crate::support::*;

/// A stack in which neither a time-out nor a hedge ever helps.
async fn patient(nats: &NatsService<Op>, file: &DbFile) -> Over {
    let builder = StackBuilder::new().nats_timeout(Duration::from_secs(3600)).hedging(Hedging::off());
    Db::new(boxed(builder.over(Some(nats.clone()), direct(file, nats).await, NO_PATH).stack))
}

/// An event, a call and a query; the ways they went.
async fn one_of_each(db: &Db<impl Stack<Op>>) -> [Via; 3] {
    let (event, call, query) = tokio::join!(
        db.call(UserJoined { username: "alice".into() }),
        db.call(rosey::op::OutboundEnqueue { username: None, content: "hi".into() }),
        db.call(GetChannelStats {})
    );
    [event.unwrap().via, call.unwrap().via, query.unwrap().via]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_frozen_server_or_service_is_released_when_the_probe_notices() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let process = ServeProcess::start(&server, &file).await;
    let nats = recognised(&server).await;
    let db = patient(&nats, &file).await;
    for is_server in [true, false] {
        if is_server {
            server.freeze()
        } else {
            process.freeze()
        }
        let ways = tokio::time::timeout(LIMIT, one_of_each(&db)).await.expect("released");
        assert_eq!(ways, [Via::DB; 3]);
        if is_server {
            server.thaw()
        } else {
            process.thaw()
        }
        wait_until("over NATS again", || async { nats.status().borrow().usable() }).await;
        assert_eq!(one_of_each(&db).await, [Via::NATS; 3]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_that_wait_when_the_server_freezes_are_all_served_and_none_overflows_the_writer() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let nats = recognised(&server).await;
    let db = stack(&nats, &file).await;
    server.freeze();
    let joins = (0..10_000).map(|n| {
        let db = db.clone();
        tokio::spawn(async move { db.call(UserJoined { username: format!("user-{n}") }).await })
    });
    let mut ways = [0_u64; 2];
    for joined in join_all(joins).await {
        match joined.unwrap() {
            Ok(reply) => ways[usize::from(reply.via == Via::DB)] += 1,
            // A full queue would be one of class `Backend`.
            Err(e) => panic!("{e}"),
        }
    }
    assert_eq!(ways, [0, 10_000], "by the database, all of them");
    server.thaw();
    wait_until("over NATS again", || async { nats.status().borrow().usable() }).await;
    // What had been sent before the freeze was noticed comes late, and is behind us when this is answered.
    db.call(GetChannelStats {}).await.unwrap();
    let served = service.stop().await;
    eprintln!("sent 10000 · by the database 10000 · delivered late and known already {}", served.done);
    assert_exactly_once(&file, 10_000).await;
}
