//! The tasks over one connection: told to take nothing more, waited for, and the connection closed behind them.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time;
use tracing::Instrument;

use super::link::Link;
use super::subscription::told;

/// How long giving up may take.
const GIVING_UP: Duration = Duration::from_secs(1);

/// The tasks over one connection.
#[derive(Debug)]
pub(super) struct Tasks {
    pub(super) link: Link,
    pub(super) all: JoinSet<()>,
    /// Turns true when nothing more is to be taken.
    stop: watch::Sender<bool>,
    /// Turns true when the time for finishing is over.
    give_up: watch::Sender<bool>,
}

impl Tasks {
    pub(super) fn over(link: Link) -> Self {
        Self {
            link,
            all: JoinSet::new(),
            stop: watch::Sender::new(false),
            give_up: watch::Sender::new(false),
        }
    }

    pub(super) fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    pub(super) fn giving_up(&self) -> watch::Receiver<bool> {
        self.give_up.subscribe()
    }

    /// Takes nothing more; what was taken is still done.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Waits until all is done, or given up; then closes the connection, so that every answer and acknowledgement has left.
    async fn finish(mut self) {
        let mut give_up = self.giving_up();
        let late = async {
            told(&mut give_up).await;
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
    giving_up: Vec<watch::Sender<bool>>,
}

impl Earlier {
    /// Stops these tasks, and finishes what they have taken beside those that follow.
    pub(super) fn add(&mut self, tasks: Tasks) {
        tasks.stop();
        while self.tasks.try_join_next().is_some() {}
        self.giving_up.retain(|give_up| give_up.receiver_count() > 0);
        self.giving_up.push(tasks.give_up.clone());
        self.tasks.spawn(tasks.finish().in_current_span());
    }

    /// Waits for all, and for what works over the stream's connection, which the others may ask to the last; what is still
    /// tried again after `grace` is told to give up, and counts what it gives up.
    pub(super) async fn finish(mut self, stream: Tasks, grace: Duration) {
        stream.stop();
        self.giving_up.push(stream.give_up.clone());
        let mut tasks = self.tasks;
        let all = async move {
            while tasks.join_next().await.is_some() {}
            stream.finish().await;
        };
        let mut all = std::pin::pin!(all);
        if time::timeout(grace, all.as_mut()).await.is_err() {
            for give_up in &self.giving_up {
                give_up.send_replace(true);
            }
            all.await;
        }
    }
}
