//! `rosey up`: bot and database service in one process, over one writer.

use std::time::Duration;

use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::args::UpArgs;
use super::exit::{Exit, Failure};
use super::listen::Endpoints;
use super::paths::Paths;
use super::supervisor::Supervisor;
use super::{bot, outbox, reachable, serve, signals};
use crate::op::Op;
use eitherway::service;

/// How long NATS is asked before a file is created or taken over; the bot has a path without it.
const ASKED: Duration = Duration::from_secs(2);

pub(super) async fn run(mut args: UpArgs) -> Result<Exit, Failure> {
    args.paths.database = args.paths.database.with_retention(&args.keep);
    args.paths.queries = args.chat.queries;
    args.paths.outbox_after = args.outbox.after();
    let mode = args.paths.database.file_mode;
    args.chat.chat.check()?;
    let shutdown = signals::shutdown();
    let supervisor = Supervisor::start(&shutdown);
    let endpoints = Endpoints::start(&args.listen, "up", &shutdown).await?;
    let exit = both(&args, mode, shutdown, &endpoints, &supervisor).await;
    endpoints.close().await;
    exit
}

/// Opens everything, and runs both.
async fn both(
    args: &UpArgs,
    mode: u32,
    shutdown: CancellationToken,
    endpoints: &Endpoints,
    supervisor: &Supervisor,
) -> Result<Exit, Failure> {
    // Where no server answers, there is nothing to ask: the bot begins without it.
    let asks = !args.paths.no_nats && reachable::is_there(&args.paths.nats.nats_url).await;
    let asked = asks && may_begin(args).await?;
    let db = args.paths.database.open().await?;
    if asks
        && !asked
        && let Err(refused) = may_serve(args, db.database()).await
    {
        db.close().await;
        return Err(refused);
    }
    endpoints.database(&db, args.paths.database.named_or_usual()?);
    let outbox = outbox::open(&args.outbox, &args.paths).await?;
    let paths = Paths::over(&args.paths, "rosey-bot", Some(db.clone()), outbox).await?;
    let writer = db.clone();
    supervisor.ready_with(move || Some(writer.writer().silent));
    if args.paths.no_nats {
        let exit =
            bot::chat(&args.chat, mode, &paths, shutdown, endpoints).instrument(args.paths.span()).await;
        paths.close().await;
        return exit;
    }
    let bot_ended = CancellationToken::new();
    let ended = bot_ended.clone().cancelled_owned();
    let options = args.service.options().monitor(endpoints.monitor(true));
    let nats = args.paths.service_options();
    let mut service = tokio::spawn(service::serve(nats, db, options, || {}, ended));
    let (exit, served) = tokio::select! {
        // The service ends before the bot only when it must not start.
        served = &mut service => (None, served),
        exit = bot::chat(&args.chat, mode, &paths, shutdown, endpoints).instrument(args.paths.span()) => {
            paths.applied().await;
            bot_ended.cancel();
            (Some(exit), service.await)
        }
    };
    paths.close().await;
    let served = served.map_err(|e| Failure::new(Exit::Failed, format!("the service: {e}")))??;
    match exit {
        Some(exit) => exit.map(|exit| serve::report(&served, exit)),
        None => Err(Failure::new(Exit::Failed, "the database service ended before the bot")),
    }
}

/// Refuses where the file would be created, or taken over from another program, and something on NATS does not let the service
/// start: before anything is created. Returns whether that was asked.
async fn may_begin(args: &UpArgs) -> Result<bool, Failure> {
    let place = args.paths.database.named_or_usual()?;
    if !place.is_to_come().await {
        return Ok(false);
    }
    let nats = args.paths.service_options();
    match service::check::<Op>(nats, &args.service.options(), time::sleep(ASKED)).await {
        // Another one on the same file may have been quicker to take it over.
        Err(refused) if place.is_to_come().await => Err(refused.into()),
        _ => Ok(true),
    }
}

/// Refuses where something on NATS does not let a service on this database start.
async fn may_serve(args: &UpArgs, database: &str) -> Result<(), Failure> {
    let nats = args.paths.service_options();
    let options = args.service.options();
    Ok(service::check_for::<Op>(nats, &options, database, time::sleep(ASKED)).await?)
}
