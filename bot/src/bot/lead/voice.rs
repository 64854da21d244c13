//! The sender of a bot that may not be alone in its room.

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt};

use super::Lease;
use crate::bot::chat::{ANOTHER, ChatSender, Unsent};

/// Says nothing while another bot may lead.
pub(in crate::bot) struct Voice {
    sender: Arc<dyn ChatSender>,
    lease: Arc<Lease>,
}

impl Voice {
    /// The network is told too: what waits there for its turn is not said later.
    pub(in crate::bot) fn new(sender: Arc<dyn ChatSender>, lease: Arc<Lease>) -> Self {
        let held = Arc::clone(&lease);
        sender.only_while(Arc::new(move || held.may_speak()));
        Self { sender, lease }
    }

    fn may(&self) -> Result<(), Unsent> {
        if self.lease.may_speak() { Ok(()) } else { Err(Unsent::transient(ANOTHER)) }
    }
}

impl ChatSender for Voice {
    fn allowance(&self) -> Option<u32> {
        if self.lease.may_speak() { self.sender.allowance() } else { Some(0) }
    }

    fn say<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        async move {
            self.may()?;
            self.sender.say(text).await
        }
        .boxed()
    }

    fn pm<'a>(&'a self, user: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        async move {
            self.may()?;
            self.sender.pm(user, text).await
        }
        .boxed()
    }

    fn hears(&self) -> bool {
        self.sender.hears()
    }

    fn hint<'a>(&'a self, user: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        self.sender.hint(user, text)
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Unsent>> {
        self.sender.flush()
    }
}
