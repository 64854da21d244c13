//! Persistence that survives its own message bus, as a Tower stack.
//!
//! A program that writes through a message broker loses writes while the broker or the service behind it is down. One that
//! falls back to the database after a time-out may apply a write twice, because the first attempt may still be delivered.
//! Here every operation has an id before its first attempt, and keeps it on every path; a ledger in the database, written in
//! the transaction of the effect, lets an id take effect once. A request goes over NATS to a database service; if that fails,
//! the *same request* runs on the database itself; an event that neither takes waits in an outbox.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use eitherway::operation::{Definition, Done, Migration, Spec};
//! use eitherway::Runtime;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, Serialize, Deserialize)]
//! pub struct Seen {
//!     name: String,
//! }
//!
//! impl Definition for Seen {
//!     type Answer = Done;
//!     const SPEC: Spec = Spec::event("seen", "shop.db.seen");
//!     // `new` has a row for each operation that the ledger did not know yet.
//!     const STATEMENTS: &'static [&'static str] = &["INSERT INTO seen SELECT id, at, op ->> 'name' FROM new"];
//! }
//!
//! const TABLES: &[Migration] =
//!     &[Migration::new(10, "seen", "CREATE TABLE seen (id TEXT PRIMARY KEY, at INTEGER NOT NULL, name TEXT NOT NULL)")];
//!
//! eitherway::operations! {
//!     /// All operations of the shop.
//!     pub enum Op -> Answer in "shop.db" with TABLES {
//!         Seen(Seen),
//!     }
//! }
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let runtime = Runtime::<Op>::builder()
//!     .nats("nats://127.0.0.1:4222")
//!     .store("sqlite://shop.db")
//!     .outbox("shop.outbox")
//!     .build()
//!     .await?;
//! runtime.client().call(Seen { name: "alice".into() }).await?;
//! runtime.shutdown(Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```
//!
//! # The modules, in the order in which a request meets them
//!
//! - [`operation`]: what an operation is; [`operations!`] makes a set of them, [`client!`] gives them methods.
//! - [`mod@client`] and [`runtime`]: the typed client, and the value that owns paths, outbox, health and shutdown.
//! - [`stack`]: the layers in their order, [`stack::StackBuilder`] for a composition of your own.
//! - [`nats`], [`sql`], [`outbox`]: the three paths. [`health`] says what a path takes and why not.
//! - [`service`]: the database service on NATS, over any [`store`].
//! - [`request`], [`reply`]: what travels through the stack. [`clock`]: the time that it carries.
//! - [`error`]: a failure has a [`Class`], which decides what may be done about it. [`hints`]: what messages call your commands.
//!
//! The handbook is in [`docs`]: [operations](docs::operations), the [wire](docs::wire), what happens in
//! [outages](docs::outages), the [outbox](docs::outbox), the [database](docs::database), the [architecture](docs::architecture).
//!
//! # Features
//!
//! - `nats` (default): the path over NATS, and with `sqlite` the database service and the [`Runtime`].
//! - `sqlite` (default): the path on a SQLite file, and the outbox.
//! - `postgres`: stores on PostgreSQL, beside SQLite.
//! - `axum`: [`Head`], [`Reply`] and [`Error`] in the handlers of axum.
//! - `opentelemetry`: a [`trace::Tracer`] by `tracing-opentelemetry`.
//!
//! # When not to use it
//!
//! - Every writer reaches the database anyway, and no other program listens on NATS: a pool is simpler.
//! - Operations must be seen in one global order: events here are order-free, and may arrive late.
//! - The effects are outside of the database (mail, payments): the ledger covers one transaction of one database.

#[doc(hidden)]
#[path = "private.rs"]
pub mod __private;
#[cfg(feature = "sqlite")]
mod answer;
#[cfg(feature = "axum")]
mod axum;
#[cfg(test)]
mod captured_logs;
mod cause;
pub mod client;
pub mod clock;
mod deadline;
#[cfg(doc)]
pub mod docs;
pub mod error;
mod head;
#[cfg(any(feature = "nats", feature = "sqlite"))]
mod headers;
pub mod health;
pub mod hints;
mod id;
#[cfg(feature = "sqlite")]
mod known_time;
mod namespace;
#[cfg(feature = "nats")]
pub mod nats;
pub mod operation;
#[cfg(feature = "sqlite")]
pub mod outbox;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod reply;
pub mod request;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod rfc3339;
#[cfg(all(feature = "nats", feature = "sqlite"))]
pub mod runtime;
#[cfg(all(test, feature = "sqlite"))]
mod sample;
#[cfg(all(feature = "nats", feature = "sqlite"))]
pub mod service;
mod setters;
#[cfg(feature = "sqlite")]
pub mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
pub mod stack;
pub mod store;
pub mod trace;

pub use client::{Db, Stack};
pub use deadline::Deadline;
pub use eitherway_layers::{Class, Classify};
pub use error::{Cause, Code, Error};
pub use health::Health;
pub use namespace::{Namespace, NamespaceError};
pub use operation::Operation;
pub use reply::{Ack, Reply, Via};
pub use request::{Head, OpId, Received, Request};
#[cfg(all(feature = "nats", feature = "sqlite"))]
pub use runtime::Runtime;
pub use trace::Trace;

/// Compiles the example in the README.
#[cfg(all(doctest, feature = "nats", feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
