//! `rosey restore`.

use std::time::Duration;

use serde::Serialize;
use tokio::time;

use super::args::{Global, RestoreArgs};
use super::exit::{Exit, Failure};
use super::number::counted;
use super::shown::clean;
use super::{backup, console, reachable};
use crate::op::Op;
use eitherway::nats::{NatsService, Recognition, Status};
use eitherway::sql::backup::{Restored, restore};

/// How long a service on NATS may take to answer.
const ASKED: Duration = Duration::from_secs(2);

/// How long the stream remembers what was published, unless a server allows less.
const WINDOW: &str = "two minutes";

pub(super) async fn run(global: &Global, args: RestoreArgs) -> Result<Exit, Failure> {
    let options = backup::file(args.store.database.named_or_usual()?, &args.file)?;
    if !args.no_nats && reachable::is_there(&args.nats.nats_url).await {
        nobody_serves(&args).await?;
    }
    let (bar, shown) = backup::bar(&options);
    let restored = restore::<Op>(&options, &args.file, shown).await;
    bar.finish_and_clear();
    let restored = restored?;
    let advice = advice(&restored);
    console::show(global, &Report { restored, advice }, text);
    Ok(Exit::Ok)
}

/// What is printed: what was done, and what is to be done now.
#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    restored: Restored,
    advice: Vec<String>,
}

/// Refuses while a service of this namespace answers, wherever it runs: it would go on with the file that it has open.
async fn nobody_serves(args: &RestoreArgs) -> Result<(), Failure> {
    let options =
        args.nats.options("rosey-restore").namespace(args.store.namespace.clone().unwrap_or_default());
    let nats = NatsService::<Op>::connect(options).await?;
    let mut status = nats.status();
    let known = status.wait_for(|status| is_served(status) || status.is_hopeless());
    let served =
        time::timeout(ASKED, known).await.is_ok_and(|known| known.is_ok_and(|status| is_served(&status)));
    if !served {
        return Ok(());
    }
    Err(Failure::new(
        Exit::MustNotStart,
        "a database service answers on NATS: stop it first, `systemctl stop rosey-serve` for example. If it serves another \
         database, say --no-nats. Nothing was changed",
    ))
}

fn is_served(status: &Status) -> bool {
    matches!(status.service, Recognition::Ours { .. })
}

fn advice(restored: &Restored) -> Vec<String> {
    let mut advice = Vec::new();
    if let Some(before) = &restored.before {
        let before = before.display();
        let newer = match restored.newer {
            Some(0) => "nothing was applied to it after the backup".to_owned(),
            Some(newer) => {
                format!("{} applied after the backup stand there alone", counted(newer, "operation"))
            }
            None => "what was applied to it after the backup cannot be read".to_owned(),
        };
        advice.push(format!(
            "the file that stood here is {before}: {newer}. `rosey restore` of it takes this back; remove it when it is not \
             needed any more"
        ));
    }
    advice.push(
        "start the service: what NATS' stream still holds is applied then. What had been taken out of the stream since the \
         backup does not come again by itself"
            .to_owned(),
    );
    advice.push(format!(
        "the stream answers what was published to it in the last {WINDOW} without storing it again: wait for so long after \
         the last event before a bot offers events again, from its outbox or from its chat's history. Each takes effect once"
    ));
    advice
}

fn text(report: &Report) -> String {
    let copied = &report.restored.copied;
    let mut text = format!("{} is restored: {}", backup::shown_file(copied), backup::what(copied));
    for advice in &report.advice {
        text.push_str("\n- ");
        text.push_str(&clean(advice));
    }
    text
}
