//! `rosey up`: bot and database service in one process, over one writer.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time;

use super::args::UpArgs;
use super::exit::{Exit, Failure};
use super::paths::Paths;
use super::{bot, outbox, serve, signals};
use crate::op::Op;
use crate::service;
use crate::sql::take_over;

/// For so long NATS is asked before a file is taken over; the bot has a path without it.
const ASKED: Duration = Duration::from_secs(2);

pub(super) async fn run(mut args: UpArgs) -> Result<Exit, Failure> {
    args.paths.database = args.paths.database.keeping(&args.keep)?;
    args.paths.queries = args.chat.queries.into();
    let mode = args.paths.database.file_mode;
    let shutdown = signals::shutdown();
    serve_allowed(&args).await?;
    let db = args.paths.database.open().await?;
    let outbox = outbox::open(&args.outbox, &args.paths.database).await?;
    let paths = Paths::over(&args.paths, "rosey-bot", Some(db.clone()), outbox).await?;
    if args.paths.no_nats {
        let exit = bot::chat(&args.chat, mode, &paths, shutdown).await;
        paths.close().await;
        return exit;
    }
    let (bot_ended, ended) = watch::channel(false);
    let options = args.service.options();
    let nats = args.paths.nats.options("rosey-serve");
    let mut service = tokio::spawn(service::serve(nats, db, options, || {}, signals::told(ended)));
    let (exit, served) = tokio::select! {
        // The service ends before the bot only when it must not start.
        served = &mut service => (None, served),
        exit = bot::chat(&args.chat, mode, &paths, shutdown) => {
            paths.applied().await;
            let _ = bot_ended.send(true);
            (Some(exit), service.await)
        }
    };
    paths.close().await;
    let served = served.map_err(|e| Failure::new(Exit::Failed, format!("the service: {e}")))??;
    let reported = serve::report(&served);
    match exit {
        Some(exit) => exit.map(|exit| if exit == Exit::Ok { reported } else { exit }),
        None => Ok(Exit::Failed),
    }
}

/// Refuses where the file would be taken over from another program, and a service answers on NATS beside which ours must not start.
async fn serve_allowed(args: &UpArgs) -> Result<(), Failure> {
    let file = args.paths.database.named_or_usual()?;
    if args.paths.no_nats || !take_over::is_due(&file).await {
        return Ok(());
    }
    let nats = args.paths.nats.options("rosey-serve");
    match service::check::<Op>(nats, &args.service.options(), time::sleep(ASKED)).await {
        // Another one on the same file may have been quicker to take it over.
        Err(refused) if take_over::is_due(&file).await => Err(refused.into()),
        _ => Ok(()),
    }
}
