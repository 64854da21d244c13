//! Counters that can be read while the bot runs.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::event::Kind;
use super::lead::{Lease, Role};
use eitherway::clock;

/// A bot's counters. Shared between tasks; every number only grows.
#[derive(Debug, Default)]
pub struct Progress {
    events: [AtomicU64; Kind::COUNT],
    bytes_read: AtomicU64,
    bytes_total: AtomicU64,
    bad_lines: AtomicU64,
    operations: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
    polls_failed: AtomicU64,
    delivered: AtomicU64,
    undelivered: AtomicU64,
    handler_errors: AtomicU64,
    handler_panics: AtomicU64,
    last_event: AtomicI64,
    lease: OnceLock<Arc<Lease>>,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $counter:ident, $add:ident;)+) => {
        impl Progress {
            $(
                $(#[$doc])*
                pub fn $counter(&self) -> u64 {
                    self.$counter.load(Relaxed)
                }

                pub(super) fn $add(&self) {
                    self.$counter.fetch_add(1, Relaxed);
                }
            )+
        }
    };
}

counters! {
    /// Lines of the input that were skipped.
    bad_lines, bad_line;
    /// Operations requested, whatever their result.
    operations, operation;
    /// Operations that failed, including refused ones.
    failed, operation_failed;
    /// Operations that were refused because of their content.
    refused, operation_refused;
    /// Failed questions for messages to be delivered, which are asked again.
    polls_failed, poll_failed;
    /// Messages handed to the chat.
    delivered, message_delivered;
    /// Failed attempts to hand a message to the chat.
    undelivered, message_undelivered;
    /// Handlers that returned an error.
    handler_errors, handler_error;
    /// Handlers and background tasks that panicked.
    handler_panics, handler_panic;
}

impl Progress {
    /// Events of this kind that have been handled.
    pub fn events_of(&self, kind: Kind) -> u64 {
        self.events[kind.index()].load(Relaxed)
    }

    /// Events that have been handled.
    pub fn events(&self) -> u64 {
        self.events.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// When an event was last read, in unix milliseconds; `None` before the first one.
    pub fn last_event(&self) -> Option<i64> {
        Some(self.last_event.load(Relaxed)).filter(|at| *at > 0)
    }

    /// What the bot is in its room; `None` if no other bot can be there.
    pub fn role(&self) -> Option<Role> {
        self.lease.get().and_then(|lease| lease.role())
    }

    pub(super) fn of_lease(&self, lease: Arc<Lease>) {
        let _ = self.lease.set(lease);
    }

    /// Bytes of the input that have been read.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Relaxed)
    }

    /// Size of the input in bytes; `None` if it has no known end.
    pub fn bytes_total(&self) -> Option<u64> {
        Some(self.bytes_total.load(Relaxed)).filter(|total| *total > 0)
    }

    pub(super) fn event_read(&self) {
        self.last_event.store(clock::now(), Relaxed);
    }

    pub(super) fn event(&self, kind: Kind) {
        self.events[kind.index()].fetch_add(1, Relaxed);
    }

    pub(super) fn read_to(&self, position: u64) {
        self.bytes_read.fetch_max(position, Relaxed);
    }

    pub(super) fn total(&self, bytes: Option<u64>) {
        self.bytes_total.store(bytes.unwrap_or(0), Relaxed);
    }
}
