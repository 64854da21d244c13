//! What a program that embeds [`eitherway`] is tested with: real servers that are killed and frozen, a network that fails,
//! random schedules of faults, and a verdict that counts effects.
//!
//! Nothing here sleeps for luck. Whatever must come true is waited for ([`wait_until`]), and a test fails by name when it does
//! not within [`LIMIT`]. The functions panic where a test is to fail; they return errors only where a test may expect one.
//!
//! # Examples
//!
//! The server is killed in the middle of a load, and comes back: nothing is lost, and nothing takes effect twice.
//!
//! ```no_run
//! use eitherway::operation::{Definition, Done, Migration, Spec};
//! use eitherway_testkit::World;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! pub struct Add {
//!     item: String,
//! }
//!
//! impl Definition for Add {
//!     type Answer = Done;
//!     const SPEC: Spec = Spec::event("add", "shop.add");
//!     const STATEMENTS: &'static [&'static str] = &["INSERT INTO cart SELECT id, op ->> 'item' FROM new"];
//! }
//!
//! const TABLES: &[Migration] =
//!     &[Migration::new(10, "cart", "CREATE TABLE cart (op_id TEXT NOT NULL, item TEXT NOT NULL)")];
//!
//! eitherway::operations! {
//!     /// All operations of the shop.
//!     pub enum Op -> Answer in "shop" with TABLES { Add(Add) }
//! }
//!
//! #[tokio::main] // in a test: #[tokio::test(flavor = "multi_thread")]
//! async fn main() {
//!     let mut world = World::<Op>::start().await;
//!     let sent = world.server_killed(|caller, n| Add { item: format!("{caller}-{n}") }).await;
//!     sent.assert_all_served();
//!     world.verdict(&sent, "SELECT op_id FROM cart").await.assert_exactly_once();
//! }
//! ```
//!
//! # The parts
//!
//! - [`World`]: a server, a database service on a SQLite file, and a client with all three paths. [`Load`] is put on any
//!   client; [`Verdict`] compares what it sent with what stands in the database, read over a connection of its own.
//! - [`NatsServer`]: a real nats-server on a free port, with or without JetStream; killed, frozen, thawed, restarted.
//! - [`NatsCluster`]: three of them with JetStream, whose routes to each other are proxies, so that the network between them splits.
//! - [`Proxy`]: a TCP proxy that cuts, stalls, delays, throttles and half-closes connections.
//! - [`Dice`] and [`Schedule`]: random faults at random times, the same in every run with the same seed.
//! - [`Peer`] and [`BytesPeer`]: peers that know nothing of the framework; the second sends any bytes.
//! - [`doubles`]: a store in memory and a bus inside the process. **They are doubles**: they prove what a program does with a
//!   path, and nothing about NATS or SQLite.
//! - [`DbFile`], [`OutboxFile`], [`DbService`], [`Client`]: the parts of a world, for a test that builds its own.
//!
//! # Which nats-server
//!
//! The one that `NATS_SERVER_BIN` names; else the one in `PATH`; else `tools/bin/nats-server` in the Cargo target directory.
//! Processes are signalled with `kill` and watched in `/proc`: freezing works on Linux.

// A test fails by a panic, and so does what it calls.
#![allow(clippy::unwrap_used)]

mod binary;
mod bytes;
mod client;
mod cluster;
mod dice;
pub mod doubles;
mod file;
mod load;
mod outbox;
mod peer;
mod port;
pub mod proc;
mod proxy;
mod rows;
mod schedule;
mod server;
mod service;
mod verdict;
mod wait;
mod world;

pub use binary::{NoServer, nats_server};
pub use bytes::BytesPeer;
pub use client::Client;
pub use cluster::{NatsCluster, Split};
pub use dice::{Dice, knob};
pub use file::{DbFile, FileLock};
pub use load::{Load, Sent, Tally};
pub use outbox::OutboxFile;
pub use peer::{Peer, Said, next, silent};
pub use port::Port;
pub use proxy::{BOTH, Direction, End, NewConnections, Proxy};
pub use schedule::{FaultWindow, Schedule, Transition};
pub use server::NatsServer;
pub use service::DbService;
pub use verdict::Verdict;
pub use wait::{LIMIT, holds_within, wait_until};
pub use world::World;

/// What listens at an address: a server, or a proxy in front of it.
pub trait Url {
    /// The address, as `nats://127.0.0.1:4222`.
    fn url(&self) -> String;
}
