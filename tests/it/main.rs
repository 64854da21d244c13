//! The framework from end to end, with real servers, files and processes. One binary: a test that changes what its whole process
//! shares (environment, limits, signals, the current directory) does so in a child process.
#![allow(clippy::unwrap_used, missing_docs)]

mod deadline;
mod examples;
mod folds;
mod golden;
mod hostile;
mod migrations;
mod names;
mod nats;
mod notices;
mod operations;
mod order_free;
mod outages;
mod people;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_classes;
#[cfg(feature = "postgres")]
mod postgres_cluster;
#[cfg(feature = "postgres")]
mod postgres_faults;
#[cfg(feature = "postgres")]
mod postgres_namespaces;
#[cfg(feature = "postgres")]
mod postgres_operator;
mod postgres_tls;
#[cfg(feature = "postgres")]
mod postgres_upkeep;
mod reads;
mod retention;
mod runtime;
mod seams;
mod sqlite;
mod stack;
mod stream;
#[path = "../../bot/tests/support/kit/mod.rs"]
mod support;
mod verify;
mod versions;
