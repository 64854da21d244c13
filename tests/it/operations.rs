//! Operations of one's own: whatever they say, each request takes effect once, and one that fails fails alone.
#![allow(unreachable_pub)]

mod adversary;
mod answers;
mod apply;
mod batch;
mod encoded;
mod moved;
mod over_nats;
mod race;
mod shop;
mod statements;
mod stores;
