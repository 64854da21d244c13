//! What this database is to the rest of the crate: a [`Store`].

use std::time::Duration;

use tokio::sync::watch;

use super::SqlService;
use crate::error::Cause;
use crate::operation::Persist;
use crate::store::{Concerns, DeadLetter, Store};

impl<O: Persist> Store<O> for SqlService<O> {
    fn id(&self) -> &str {
        self.database()
    }

    async fn ping(&self) -> Result<(), Cause> {
        self.ping().await
    }

    async fn dead_letter(&self, letter: DeadLetter, again: bool) -> Result<bool, Cause> {
        if again && self.has_dead_letter(&letter).await? {
            return Ok(false);
        }
        self.keep_dead_letter(letter).await.map(|()| true)
    }

    fn duplicates(&self, index: usize) -> u64 {
        self.duplicates(index)
    }

    async fn close(&self) {
        self.close().await;
    }

    fn shown(&self) -> &str {
        self.shown()
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.watch_trouble()
    }

    fn concerns(&self) -> watch::Receiver<Concerns> {
        self.watch_concerns()
    }

    fn future_tolerance(&self) -> Duration {
        self.future_tolerance()
    }

    fn observe_time(&self, at: i64, elsewhere: bool) {
        self.shared.keeper.witness(at, elsewhere);
    }

    fn clock_skew(&self) -> Option<String> {
        self.shared.keeper.clock_skew().map(crate::store::keeper::sentence)
    }
}
