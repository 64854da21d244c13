//! One process after another is killed while orders come.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use eitherway_testkit::wait_until;
use reqwest::StatusCode;
use support::{Database, World, on_each_database};

/// How many of a thing there are: fewer than are ordered.
const STOCK: u32 = 2_000_000;

/// Sends one order, again and again with the same key, until a reply says what became of it.
async fn order(world: &World, key: &str) -> StatusCode {
    loop {
        let asked = world.order("tea", 1).header("Idempotency-Key", key).header("Request-Timeout", "3");
        match asked.send().await {
            Ok(answer) if !answer.status().is_server_error() => return answer.status(),
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

on_each_database! { every_order_that_was_accepted_is_in_the_database_once_whatever_is_killed }

async fn every_order_that_was_accepted_is_in_the_database_once_whatever_is_killed(database: Database) {
    let (mut server, world) = World::new(database).await;
    let (mut serve, mut http) = (world.serve(), world.http().await);
    world.stock("tea", STOCK).await;
    let (accepted, over) = (AtomicU64::new(0), AtomicBool::new(false));
    let callers = futures_util::future::join_all((0..8).map(|caller| {
        let (world, accepted, over) = (&world, &accepted, &over);
        async move {
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                assert_eq!(order(world, &format!("{caller}-{n}")).await, 200);
                accepted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }));
    let more = async |what: &str| {
        let before = accepted.load(Ordering::Relaxed);
        wait_until(what, || async { accepted.load(Ordering::Relaxed) >= before + 200 }).await;
    };
    let story = async {
        more("orders while all is well").await;
        serve.kill();
        more("orders without a service").await;
        serve = world.serve();
        more("orders with a service again").await;
        server.kill();
        more("orders without a server").await;
        server.restart().await;
        more("orders with a server again").await;
        http.kill();
        http = world.http().await;
        more("orders over another HTTP server").await;
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(callers, story);
    http.stop().await;
    serve.stop().await;
    let accepted = i64::try_from(accepted.into_inner()).unwrap();
    assert_eq!(world.database.number("SELECT count(*) FROM orders").await, accepted);
    assert_eq!(world.database.number("SELECT count(DISTINCT id) FROM orders").await, accepted);
    assert_eq!(world.database.number("SELECT count FROM stock").await, i64::from(STOCK) - accepted);
}
