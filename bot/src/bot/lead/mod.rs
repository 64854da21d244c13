//! Two bots in one room: one of them leads. It speaks, answers, and writes what the network does not identify; the others watch,
//! and hold what the leader may not have written yet.
//!
//! | file | contains |
//! |---|---|
//! | `lease` | whether this bot leads, by its own clocks |
//! | `keeping` | the task that asks for the lead, and gives it back |
//! | `takeover` | from the one that led before to this one |
//! | `held` | what is held meanwhile, and what of it has been written by another one |
//! | `voice` | the sender, which says nothing while another bot leads |
//!
//! The lead is a lease in the database ([`Lead`](crate::op::Lead)): it ends by itself, by the clock of the database's host. Its holder
//! counts from before it has asked, by two clocks of its own, and so stops before another one begins: also one that was
//! frozen, and also one whose machine slept. What is written is safe without it, for a time: a bot that reaches no database
//! goes on writing (into the outbox), and a watching one holds.

pub(super) mod held;
pub(super) mod keeping;
mod lease;
pub(super) mod takeover;
#[cfg(test)]
mod tests;
pub(super) mod voice;

pub use lease::Role;
pub(super) use lease::{Lease, Turn};
