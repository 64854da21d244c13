//! The outbox, on real files behind real paths: what neither NATS nor the database takes is kept, and applied once when
//! either returns.

mod file;
pub(crate) mod kit;
mod outages;
mod processes;
mod retry;
