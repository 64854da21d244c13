//! The outbox of a bot that runs: opened, replayed, and told of at the end.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time;

use super::super::args::DatabaseArgs;
use super::super::exit::Failure;
use super::super::number::{counted, wait};
use super::super::signals;
use super::args::OutboxArgs;
use super::clock_time;

use crate::op::Op;
use crate::outbox::{Counts, OutboxService, Replayed, Replayer};
use crate::stack::BoxedStack;

/// How long the last round may take, before a bot ends.
const LAST_ROUND: Duration = Duration::from_secs(5);

/// An outbox, and whoever offers again what waits in it.
pub(in crate::cli) struct Kept {
    outbox: OutboxService<Op>,
    replayer: Arc<Replayer<Op, BoxedStack<Op>>>,
    stop: watch::Sender<bool>,
    running: std::sync::Mutex<Option<JoinHandle<()>>>,
}

/// What became of the outbox, for the report.
#[derive(Clone, Copy, Debug, Serialize)]
pub(in crate::cli) struct Report {
    #[serde(flatten)]
    replayed: Replayed,
    left: Counts,
}

/// Opens the outbox, and says what waits in it.
///
/// One that is named and cannot be opened is an error: it was asked for. Without the usual one a bot goes on, and says
/// so: it is better off than not at all.
pub(in crate::cli) async fn open(
    args: &OutboxArgs,
    database: &DatabaseArgs,
) -> Result<Option<OutboxService<Op>>, Failure> {
    let Some(mut options) = args.options(database.file_mode) else { return Ok(None) };
    options.future_tolerance = database.future_tolerance_ms;
    options.past_tolerance = database.past_tolerance_days;
    let outbox = match OutboxService::open(&options).await {
        Ok(outbox) => outbox,
        Err(error) if args.is_named() => return Err(error.into()),
        Err(error) => {
            tracing::error!(
                "no outbox: {error}. What neither NATS nor the database takes is lost; `--outbox off` says that this is \
                 meant"
            );
            return Ok(None);
        }
    };
    let (file, counts) = (outbox.path().display(), outbox.counts());
    if let Ok(Some(oldest)) = outbox.oldest().await {
        let since = clock_time(oldest);
        tracing::info!(
            "{} in the outbox {file} since {since}: replayed as soon as a path takes them",
            wait(counts.waiting, "operation")
        );
    }
    if counts.refused + counts.expired > 0 {
        let Counts { refused, expired, .. } = counts;
        tracing::warn!(
            "in the outbox {file}: {refused} refused and {expired} expired operations; `rosey outbox` lists them"
        );
    }
    Ok(Some(outbox))
}

impl Kept {
    /// Begins to offer what waits over a stack without the outbox.
    pub(in crate::cli) fn start(outbox: OutboxService<Op>, stack: BoxedStack<Op>) -> Self {
        let replayer = Arc::new(Replayer::new(outbox.clone(), stack));
        let (stop, stopped) = watch::channel(false);
        let run = Arc::clone(&replayer);
        let running = tokio::spawn(async move { run.run(signals::told(stopped)).await });
        Self { outbox, replayer, stop, running: std::sync::Mutex::new(Some(running)) }
    }

    /// To be notified when a path returns.
    pub(in crate::cli) fn wake(&self) -> Arc<Notify> {
        self.replayer.wake()
    }

    /// The file, for people.
    pub(in crate::cli) fn shown(&self) -> String {
        self.outbox.path().display().to_string()
    }

    /// Ends the replay with a last round, as far as that goes.
    pub(in crate::cli) async fn finish(&self) -> Report {
        let _ = self.stop.send(true);
        let running = self.running.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(running) = running {
            let _ = running.await;
            if self.outbox.counts().waiting > 0 {
                // Too late is no error: it waits for the next start.
                let _ = time::timeout(LAST_ROUND, self.replayer.once()).await;
            }
        }
        Report { replayed: self.replayer.done(), left: self.outbox.counts() }
    }

    /// Closes the file.
    pub(in crate::cli) async fn close(self) {
        self.finish().await;
        self.outbox.close().await;
    }
}

impl Report {
    /// What there is to say at the end, if there is anything.
    pub(in crate::cli) fn line(&self, file: &str) -> Option<String> {
        let Self { replayed: Replayed { replayed, refused }, left } = self;
        if replayed + refused == 0 && left.is_empty() {
            return None;
        }
        let mut line = format!("outbox {file}: {} replayed", counted(*replayed, "operation"));
        match left.waiting {
            0 => line.push_str(", none waiting"),
            waiting => line.push_str(&format!(
                ", {waiting} waiting: the next start replays them, or `rosey outbox --replay`"
            )),
        }
        if left.refused + left.expired > 0 {
            let Counts { refused, expired, .. } = left;
            line.push_str(&format!(
                "; set aside: {refused} refused, {expired} expired (`rosey outbox` lists them)"
            ));
        }
        Some(line)
    }
}
