//! The outbox on the command line: of a bot that runs, and `rosey outbox`.

mod args;
mod retry;
pub(super) mod runtime;

use std::path::Path;

use super::args::Global;
use super::exit::{Exit, Failure};
use super::number::{counted, wait, were};
use super::paths::Paths;
use super::shown::clean;
use super::{confirm, console};
use crate::op::Op;
use eitherway::outbox::{
    self, Listing, OutboxError, OutboxOptions, OutboxService, ReplayPass, Replayer, Which,
};

pub(super) use args::{OutboxArgs, OutboxCommand, USUAL};
use runtime::clock_time;
pub(super) use runtime::open;

pub(super) async fn run(global: &Global, args: OutboxCommand) -> Result<Exit, Failure> {
    let args = args.spelled_out();
    let Some(file) = args.file() else {
        return Err(Failure::new(Exit::Usage, "the outbox is off: name one with --outbox FILE"));
    };
    if let Some(which) = args.discard {
        return discard(global, file, which, args.yes).await;
    }
    if args.retry_refused || !args.retry.is_empty() {
        return retry::run(global, file, &args).await;
    }
    if args.replay {
        return replay(global, file, &args).await;
    }
    let listing = match outbox::list(file).await {
        // None was needed yet.
        Err(OutboxError::Missing { .. }) => return Ok(show_missing(global, file)),
        listing => listing?,
    };
    console::show(global, &listing, text);
    Ok(Exit::Ok)
}

/// An empty listing of a file that is not there: `file` is null, and `missing` says which it would be.
fn show_missing(global: &Global, file: &Path) -> Exit {
    let listing = Listing { file: file.display().to_string(), ..Listing::default() };
    let mut json = serde_json::json!(listing);
    json["missing"] = json["file"].take();
    console::show(global, &json, |_| {
        text(&Listing { file: format!("{} (there is no such file)", file.display()), ..Listing::default() })
    });
    Exit::Ok
}

async fn replay(global: &Global, file: &Path, args: &OutboxCommand) -> Result<Exit, Failure> {
    // Asked for the error: nothing is created here.
    outbox::list(file).await?;
    let options = OutboxOptions::new(file).namespace(args.paths.namespace.clone().unwrap_or_default());
    let outbox = OutboxService::<Op>::open(&options).await?;
    // A mistyped address creates no database that would take the events.
    let paths = Paths::open_for_one(&args.paths.clone().asking(), eitherway::operation::Kind::Event).await?;
    let bar = console::bar(Some(outbox.counts().waiting), "operations");
    let replayer = Replayer::new(outbox.clone(), paths.db.stack().clone());
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
    let pass = {
        let mut once = std::pin::pin!(replayer.once());
        loop {
            tokio::select! {
                pass = &mut once => break pass,
                _ = tick.tick() => bar.set_position(replayer.done().replayed),
            }
        }
    };
    bar.finish_and_clear();
    let waiting = outbox.counts().waiting;
    outbox.close().await;
    paths.close().await;
    let ReplayPass { replayed, refused, expired, stopped, .. } = &pass;
    let stopped = stopped.as_ref().map(ToString::to_string);
    let json = serde_json::json!({"replayed": replayed, "refused": refused, "expired": expired, "waiting": waiting,
                                  "stopped": stopped});
    console::show(global, &json, |_| {
        let mut text =
            format!("{replayed} replayed, {refused} refused, {expired} expired, {waiting} waiting");
        if let Some(cause) = &stopped {
            text.push_str(&format!("\nstopped: {cause}"));
        }
        text
    });
    match (waiting, *refused) {
        (0, 0) => Ok(Exit::Ok),
        (0, refused) => Err(Failure::new(
            Exit::Refused,
            format!("{} refused and set aside; `rosey outbox` lists why", were(refused, "operation")),
        )),
        (waiting, _) => {
            let why = format!("{} in the outbox", wait(waiting, "operation"));
            Err(match &pass.stopped {
                Some(cause) => Failure::because(Exit::Unserved, cause, format!("{why}: {cause}")),
                None => Failure::new(Exit::Unserved, why),
            })
        }
    }
}

async fn discard(global: &Global, file: &Path, which: Which, yes: bool) -> Result<Exit, Failure> {
    let listing = outbox::list(file).await?;
    let count = match which {
        Which::All => listing.waiting + listing.refused + listing.expired,
        Which::Waiting => listing.waiting,
        Which::Refused => listing.refused,
        Which::Expired => listing.expired,
    };
    // Held before the question: while it is asked, no bot may take the file.
    let outbox = OutboxService::<Op>::open(&OutboxOptions::new(file)).await?;
    let what = format!("{} in {}", counted(count, "operation"), listing.file);
    if let Err(failure) = confirm::removal(global, yes, &what, "will never be applied") {
        outbox.close().await;
        return Err(failure);
    }
    let dropped = outbox.discard(which).await;
    outbox.close().await;
    let dropped = dropped.map_err(|cause| Failure::of(Exit::Unserved, &cause))?;
    console::show(global, &serde_json::json!({"dropped": dropped}), |_| {
        format!("{} dropped from {}", counted(dropped, "operation"), clean(&file.display().to_string()))
    });
    Ok(Exit::Ok)
}

fn text(listing: &Listing) -> String {
    let Listing { file, namespace, waiting, refused, expired, oldest, operations, refusals } = listing;
    let since = oldest.map_or_else(String::new, |at| format!(", the oldest since {}", clock_time(at)));
    let of = namespace.as_ref().map_or_else(String::new, |name| format!(" (namespace {})", clean(name)));
    let mut text =
        format!("{}{of}: {waiting} waiting{since}; {refused} refused, {expired} expired", clean(file));
    if operations.is_empty() {
        return text;
    }
    text.push_str(&format!("\n\n{:<22}{:>10}{:>10}{:>10}", "operation", "waiting", "refused", "expired"));
    for (operation, rows) in operations {
        let name = clean(operation);
        text.push_str(&format!("\n{name:<22}{:>10}{:>10}{:>10}", rows.waiting, rows.refused, rows.expired));
    }
    if !refusals.is_empty() {
        text.push_str("\n\nrefused last:");
    }
    for refusal in refusals {
        text.push_str(&format!(
            "\n{}  {}  {}: {}",
            clock_time(refusal.refused_at),
            clean(&refusal.operation),
            refusal.id,
            clean(&refusal.reason)
        ));
    }
    text
}
