//! `rosey outbox --retry ID` and `--retry-refused`.

use std::path::Path;

use super::super::args::Global;
use super::super::console;
use super::super::exit::{Exit, Failure};
use super::super::number::{wait, were};
use super::super::shown::clean;
use super::args::OutboxCommand;
use crate::op::Op;
use eitherway::outbox::{self, OutboxOptions, OutboxService, Retried};

/// Puts what was refused back to what waits: what is named, or all of it.
pub(super) async fn run(global: &Global, file: &Path, args: &OutboxCommand) -> Result<Exit, Failure> {
    // Asked for the error: nothing is created here.
    outbox::list(file).await?;
    let outbox = OutboxService::<Op>::open(&OutboxOptions::new(file)).await?;
    let retried = retry(&outbox, args).await;
    outbox.close().await;
    let (Retried { waiting, too_old }, missing) = retried?;
    let json = serde_json::json!({"waiting": waiting, "too_old": too_old, "missing": missing});
    console::show(global, &json, |_| {
        let mut text = format!("{} again", wait(waiting, "operation"));
        if waiting > 0 {
            text.push_str(": the next start of the bot replays them, or `rosey outbox --replay`");
        }
        if too_old > 0 {
            text.push_str(&format!(
                "\n{} taken more than 7 days ago and stay set aside: whether they have been applied since cannot be \
                 told any more",
                were(too_old, "operation")
            ));
        }
        for id in &missing {
            text.push_str(&format!("\n{}: no refused operation has this id", clean(id)));
        }
        text
    });
    if too_old == 0 && missing.is_empty() {
        return Ok(Exit::Ok);
    }
    let old = (too_old > 0).then(|| format!("{} too old to be offered again", were(too_old, "operation")));
    let none =
        (!missing.is_empty()).then(|| format!("no refused operation has the id {}", missing.join(", ")));
    Err(Failure::new(Exit::Failed, old.into_iter().chain(none).collect::<Vec<_>>().join("; ")))
}

/// Does it; returns also the ids of which there is none.
async fn retry(outbox: &OutboxService<Op>, args: &OutboxCommand) -> Result<(Retried, Vec<String>), Failure> {
    let failed = |cause: eitherway::Cause| Failure::of(Exit::Unserved, &cause);
    if args.retry_refused {
        return Ok((outbox.retry(None).await.map_err(failed)?, Vec::new()));
    }
    let (mut all, mut missing) = (Retried::default(), Vec::new());
    for id in &args.retry {
        let one = outbox.retry(Some(id)).await.map_err(failed)?;
        if one == Retried::default() {
            missing.push(id.clone());
        }
        all.waiting += one.waiting;
        all.too_old += one.too_old;
    }
    Ok((all, missing))
}
