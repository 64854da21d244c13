//! The layers as their users see them. One binary; what measures allocations has one of its own, because a subscriber that another test
//! installs makes the whole process look at its events anew.
#![allow(clippy::unwrap_used)]
// A call of `nesting` is as deep as its layers and what is between them.
#![recursion_limit = "256"]

mod api;
#[cfg(feature = "http-body")]
mod body;
mod breaker;
mod breaker_model;
mod bulkhead;
mod chaos;
mod contract;
mod examples;
mod fallback;
mod features;
mod foreign;
mod hedge;
mod log;
#[cfg(feature = "metrics")]
mod metrics;
mod nesting;
mod sizes;
mod stack;
mod stale;
#[path = "../support/mod.rs"]
mod support;
mod timeout;
