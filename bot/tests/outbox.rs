//! The outbox, on real files behind real paths: what neither NATS nor the database takes is kept, and applied once when
//! either returns.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "outbox/file.rs"]
mod file;
#[path = "outbox/kit.rs"]
mod kit;
#[path = "outbox/outages.rs"]
mod outages;
#[path = "outbox/processes.rs"]
mod processes;
#[path = "outbox/retry.rs"]
mod retry;
mod support;
