//! The order in which a pass reads what waits.

use std::collections::VecDeque;

use super::OutboxService;
use super::entry::StoredEntry;
use crate::error::Cause;

/// How many events are read at a time.
const PAGE: u32 = 256;

/// From some place to the end, and then, if that was not the beginning, once more from the beginning.
pub(super) struct Cursor {
    page: VecDeque<StoredEntry>,
    horizon: i64,
    after: i64,
    /// Whether there may be more behind `after`.
    more: bool,
    /// Whether it began at the beginning.
    whole: bool,
}

impl Cursor {
    /// Behind the number `after`, through what was taken after `horizon`.
    pub(super) const fn new(after: i64, horizon: i64) -> Self {
        Self { page: VecDeque::new(), horizon, after, more: true, whole: after == 0 }
    }

    pub(super) async fn next<O>(&mut self, outbox: &OutboxService<O>) -> Result<Option<StoredEntry>, Cause> {
        if self.page.is_empty() && self.more {
            let page = outbox.next(self.after, self.horizon, PAGE).await?;
            self.more = page.len() == PAGE as usize;
            self.after = page.last().map_or(self.after, |entry| entry.seq);
            self.page.extend(page);
        }
        Ok(self.page.pop_front())
    }

    /// Turns back to the beginning, if it did not begin there. Only when nothing is on its way any more: what was
    /// offered and not forgotten yet would come a second time.
    pub(super) fn turn(&mut self) -> bool {
        let turns = !std::mem::replace(&mut self.whole, true);
        if turns {
            (self.after, self.more) = (0, true);
        }
        turns
    }
}
