//! `rosey outbox --retry ID` and `--retry-refused`.

use std::path::Path;

use super::super::args::Global;
use super::super::exit::{Exit, Failure};
use super::super::query;
use super::super::shown::clean;
use super::args::OutboxCommand;
use crate::op::Op;
use crate::outbox::{self, OutboxOptions, OutboxService, Retried};

/// Puts what was refused back to what waits: what is named, or all of it.
pub(super) async fn run(global: &Global, file: &Path, args: &OutboxCommand) -> Result<Exit, Failure> {
    // Asked for the error: nothing is created here.
    outbox::list(file).await?;
    let outbox = OutboxService::<Op>::open(&OutboxOptions::new(file)).await?;
    let retried = retry(&outbox, args).await;
    outbox.close().await;
    let (Retried { waiting, too_old }, missing) = retried?;
    let json = serde_json::json!({"waiting": waiting, "too_old": too_old, "missing": missing});
    query::show(global, &json, |_| {
        let mut text = format!("{waiting} operations wait again");
        if waiting > 0 {
            text.push_str(": the next start of the bot replays them, or `rosey outbox --replay`");
        }
        if too_old > 0 {
            text.push_str(&format!(
                "\n{too_old} were taken more than 7 days ago, and stay set aside: whether they have been done since cannot be \
                 told any more"
            ));
        }
        for id in &missing {
            text.push_str(&format!("\n{}: none that was refused has this id", clean(id)));
        }
        text
    });
    Ok(if too_old == 0 && missing.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// Does it; answers also the ids of which there is none.
async fn retry(outbox: &OutboxService<Op>, args: &OutboxCommand) -> Result<(Retried, Vec<String>), Failure> {
    let failed = |cause: crate::Cause| Failure::of(Exit::Unserved, &cause);
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
