//! The fault kit: real servers that can be killed and frozen, a database service, a network that fails in every way, a
//! file to count in, and a peer that knows nothing of us. Nothing here sleeps for luck: everything waits for a condition.
#![allow(dead_code, unused_imports)] // each test file uses a part of it

mod bot;
mod bytes;
mod client;
mod dice;
pub(crate) mod doubles;
mod file;
mod outbox;
mod peer;
mod port;
mod postgres;
pub(crate) mod proc;
mod proxy;
mod rows;
mod server;
mod service;
mod stream;

use std::str::FromStr;
use std::time::{Duration, Instant};

pub(crate) use bot::Bot;
pub(crate) use bytes::BytesPeer;
pub(crate) use client::{
    Load, Over, Tally, assert_exactly_once, assert_exactly_once_with, db_only, direct, nats, nats_only, stack,
};
pub(crate) use dice::Dice;
pub(crate) use file::{DbFile, Held};
pub(crate) use outbox::OutboxFile;
pub(crate) use peer::{Peer, Said, next, silent};
pub(crate) use port::Port;
pub(crate) use postgres::Postgres;
pub(crate) use proxy::{BOTH, End, NewOnes, Proxy, Towards};
pub(crate) use rosey::op::RoseyClient;
pub(crate) use server::NatsServer;
pub(crate) use service::DbService;
pub(crate) use stream::{Durable, off, on};

/// What listens at an address: a server, or a proxy in front of it.
pub(crate) trait Url {
    fn url(&self) -> String;
}

/// How long a condition may take to come true before a test gives up. Far above what it takes: never a measure.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);
/// Within 5 s something is noticed; twice that, for a machine on which other tests run.
pub(crate) const SOON: Duration = Duration::from_secs(10);

/// A number that the environment names, for whoever wants a longer run; else the usual one.
pub(crate) fn knob<T: FromStr>(name: &str, usual: T) -> T {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")),
        Err(_) => usual,
    }
}

/// Polls a condition until it holds, and fails naming `what` when it does not within [`LIMIT`].
pub(crate) async fn wait_until<F: Future<Output = bool>>(what: &str, condition: impl FnMut() -> F) {
    let limit = LIMIT;
    assert!(holds_within(limit, condition).await, "after {limit:?} still not: {what}");
}

/// Whether a condition comes true within `limit`.
pub(crate) async fn holds_within<F: Future<Output = bool>>(
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if condition().await {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
