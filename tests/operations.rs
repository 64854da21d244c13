//! Operations of one's own: whatever they say, each request takes effect once, and one that fails fails alone.
#![cfg(feature = "sqlite")]
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod operations {
    mod adversary;
    mod answers;
    mod apply;
    #[cfg(feature = "nats")]
    mod over_nats;
    mod shop;
    mod statements;
}
#[cfg(feature = "nats")]
mod support;
