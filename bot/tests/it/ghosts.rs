//! Ghosts: requests that were given up and served another way, and are delivered all the same. They have no second effect,
//! and each process that meets one counts it.

use std::time::Duration;

use crate::support::*;
use eitherway::stack::{Hedging, NO_PATH, StackBuilder, boxed};
use eitherway::{Db, Via};
use futures_util::future::join_all;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ghost_is_counted_by_the_service_that_knew_it_and_by_the_client_that_had_given_it_up() {
    ghosts(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_both_paths_are_always_asked_every_operation_has_a_ghost_and_one_effect() {
    ghosts(true).await;
}

async fn ghosts(always: bool) {
    const GHOSTS: u64 = 20;
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start(&server, &file).await;
    let nats = recognised(&server).await;
    let hedging = if always { Hedging::new().database_always() } else { Hedging::new() };
    let builder = StackBuilder::new().nats_timeout(Duration::from_millis(300)).hedging(hedging);
    let db = Db::new(boxed(builder.over(Some(nats.clone()), direct(&file, &nats).await, NO_PATH).stack));
    let first = db.send(joined("first")).await.unwrap().via;
    assert!(always || first == Via::NATS);
    let peer = Peer::connect(&server).await;
    let joins = async || {
        let stats = peer.request("$SRV.STATS", "").await.json();
        assert_eq!(stats["data"]["overruns"], 0);
        stats["endpoints"][0]["data"].clone()
    };
    // A service that is frozen in the middle of a transaction locks the database.
    wait_until("the service is done with the first", || async { joins().await["done"] == 1 }).await;

    service.freeze();
    let sent = (0..GHOSTS).map(|n| db.send(joined(&format!("user{n}"))));
    for reply in join_all(sent).await {
        assert_eq!(reply.unwrap().via, Via::DB);
    }
    service.thaw();

    wait_until("the service has met them", || async { joins().await["done"] == GHOSTS + 1 }).await;
    // Whichever path was faster, that of the other one is the repeat.
    let repeated = joins().await["repeated"].as_u64().unwrap();
    assert!((GHOSTS..=GHOSTS + u64::from(always)).contains(&repeated), "{repeated}");
    // The sign of life that was missed is answered late, too.
    wait_until("the client has met them", || async { nats.inbox().late >= GHOSTS }).await;
    assert_exactly_once(&file, GHOSTS + 1).await;
    let log = service.terminate_and_log().await;
    assert!(log.contains(&format!(" {repeated} repeated without a second effect")), "{log}");
}

fn joined(username: &str) -> rosey::op::Request {
    rosey::op::Request::new(rosey::op::UserJoined { username: username.to_owned() })
}
