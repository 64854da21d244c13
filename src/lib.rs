//! Persistence as a Tower stack. Every database operation is a request through a stack of Tower layers: it
//! goes over NATS to a database service, and when that path fails, the *same request* runs on the database
//! itself. Each operation takes effect exactly once, and the log says which path served it.
//!
//! - [`client::Db`] is the typed client, [`stack::StackBuilder`] builds the standard stack behind it.
//! - `nats::NatsService` and `stack::Direct` are the two paths, `outbox::OutboxService` is the third one, for
//!   events.
//! - `service` is the database service on NATS, `sql` the SQLite database behind both paths.
//! - [`operation`] defines what an operation is, [`operations!`] makes a set of them.
//! - [`Error`] carries a [`Class`], which decides what may be done about it.

#[cfg(feature = "sqlite")]
mod answer;
pub mod client;
pub mod clock;
pub mod error;
#[cfg(feature = "sqlite")]
mod files;
pub mod health;
#[cfg(test)]
mod heard;
#[cfg(feature = "sqlite")]
mod known_time;
mod namespace;
#[cfg(feature = "nats")]
pub mod nats;
pub mod operation;
#[cfg(feature = "sqlite")]
pub mod outbox;
pub mod reply;
pub mod request;
#[cfg(all(feature = "nats", feature = "sqlite"))]
mod rfc3339;
#[cfg(all(feature = "nats", feature = "sqlite"))]
pub mod runtime;
#[cfg(all(test, feature = "sqlite"))]
mod sample;
#[cfg(all(feature = "nats", feature = "sqlite"))]
pub mod service;
#[cfg(feature = "sqlite")]
pub mod sql;
pub mod stack;
pub mod store;

pub use client::{Db, Stack};
pub use eitherway_layers::{Class, Classify};
pub use error::{Cause, Code, Error};
pub use health::Health;
pub use namespace::{Namespace, NamespaceError};
pub use operation::Operation;
pub use reply::{Ack, Reply, Via};
pub use request::{Head, OpId, Received, Request, Trace};
#[cfg(all(feature = "nats", feature = "sqlite"))]
pub use runtime::Runtime;

/// Compiles the example in the README.
#[cfg(all(doctest, feature = "nats", feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
