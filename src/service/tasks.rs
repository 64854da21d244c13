//! The tasks over one connection: told to take nothing more, waited for, and the connection closed behind them.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::Instrument;

use super::link::Link;

/// How long giving up may take.
const GIVING_UP: Duration = Duration::from_secs(1);

/// The tasks over one connection.
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) link: Link,
    pub(super) all: JoinSet<()>,
    /// Nothing more is to be taken: so it is, too, when these tasks are dropped.
    pub(super) stop: CancellationToken,
    _dropped: DropGuard,
    /// The time for finishing is over, for those over all connections.
    pub(super) give_up: CancellationToken,
}

impl Tasks {
    pub(super) fn over(link: Link, give_up: CancellationToken) -> Self {
        let stop = CancellationToken::new();
        Self { link, all: JoinSet::new(), _dropped: stop.clone().drop_guard(), stop, give_up }
    }

    /// Waits until all is done, or given up; then closes the connection, so that every answer and acknowledgement has left.
    async fn finish(mut self) {
        let give_up = self.give_up.clone();
        let late = async {
            give_up.cancelled().await;
            time::sleep(GIVING_UP).await;
        };
        let done = async { while self.all.join_next().await.is_some() {} };
        let is_late = tokio::select! {
            () = done => false,
            () = late => true,
        };
        if is_late {
            self.all.abort_all();
        }
        self.link.close().await;
    }
}

/// What is being finished over earlier connections.
#[derive(Debug, Default)]
pub(super) struct Earlier {
    tasks: JoinSet<()>,
    /// Whether all are to give up.
    pub(super) give_up: CancellationToken,
}

impl Earlier {
    /// Stops these tasks, and finishes what they have taken beside those that follow.
    pub(super) fn add(&mut self, tasks: Tasks) {
        tasks.stop.cancel();
        while self.tasks.try_join_next().is_some() {}
        self.tasks.spawn(tasks.finish().in_current_span());
    }

    /// Waits for all, and for what works over the stream's connection, which the others may ask to the last; what is still
    /// tried again after `grace` is told to give up, and counts what it gives up.
    pub(super) async fn finish(mut self, stream: Tasks, grace: Duration) {
        stream.stop.cancel();
        let all = async {
            while self.tasks.join_next().await.is_some() {}
            stream.finish().await;
        };
        let mut all = std::pin::pin!(all);
        if time::timeout(grace, all.as_mut()).await.is_err() {
            self.give_up.cancel();
            all.await;
        }
    }
}
