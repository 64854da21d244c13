//! `rosey up`: bot and database service in one process, over one writer.

use tokio::sync::watch;

use super::args::UpArgs;
use super::exit::{Exit, Failure};
use super::paths::Paths;
use super::{bot, outbox, serve, signals};
use crate::service;

pub(super) async fn run(mut args: UpArgs) -> Result<Exit, Failure> {
    args.paths.database = args.paths.database.keeping(&args.keep)?;
    args.paths.queries = args.chat.queries.into();
    let mode = args.paths.database.file_mode;
    let shutdown = signals::shutdown();
    let db = args.paths.database.open().await?;
    let outbox = outbox::open(&args.outbox, mode).await?;
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
