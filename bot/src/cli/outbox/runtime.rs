//! The outbox of a bot that runs: opened, replayed, and told of at the end.

use serde::Serialize;

use super::super::args::PathArgs;
use super::super::exit::Failure;
use super::super::number::{counted, wait};
use super::super::shown;
use super::args::OutboxArgs;
use crate::op::Op;
use eitherway::clock;
use eitherway::outbox::{Counts, OutboxService, Replayed};
use eitherway::runtime::Drained;

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
    paths: &PathArgs,
) -> Result<Option<OutboxService<Op>>, Failure> {
    let database = &paths.database;
    let Some(options) = args.options(database.file_mode) else { return Ok(None) };
    let options = options
        .namespace(paths.namespace.clone().unwrap_or_default())
        .future_tolerance(database.future_tolerance_ms)
        .past_tolerance(database.past_tolerance_days);
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

impl Report {
    pub(in crate::cli) const fn of(drained: Drained) -> Self {
        Self { replayed: drained.replayed, left: drained.left }
    }

    /// What there is to say at the end, if there is anything.
    pub(in crate::cli) fn line(&self, file: &str) -> Option<String> {
        let Self { replayed: Replayed { replayed, refused, .. }, left } = self;
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

/// Unix milliseconds as a date and time of day.
pub(super) fn clock_time(at: i64) -> String {
    shown::time(clock::seconds(at))
}
