//! `rosey up`: bot and database service in one process, over one writer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time;
use tokio_util::sync::CancellationToken;

use super::args::{ServiceArgs, UpArgs};
use super::exit::{Exit, Failure};
use super::listen::{Endpoints, OfRoom};
use super::paths::Paths;
use super::rooms::{Ended, Process, Room};
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
    let rooms = Room::all(&args.chat, &args.paths, &args.outbox)?;
    let shutdown = signals::shutdown();
    let supervisor = Arc::new(Supervisor::start(&shutdown));
    let endpoints = Endpoints::start(&args.listen, "up", &shutdown).await?;
    let file_mode = args.paths.database.file_mode;
    let process = Process { chat: Arc::new(args.chat), file_mode, shutdown, supervisor };
    let exit = process
        .run(rooms, &endpoints, |room, told| {
            let (process, service) = (process.clone(), args.service.clone());
            async move { both(&process, &service, &room, &told).await }
        })
        .await;
    endpoints.close().await;
    exit
}

/// Opens everything of a room, and runs its bot and the service of its namespace.
async fn both(process: &Process, args: &ServiceArgs, room: &Room, told: &OfRoom) -> Result<Ended, Failure> {
    let database = &room.paths.database;
    // Where no server answers, there is nothing to ask: the bot begins without it.
    let asks = !room.paths.no_nats && reachable::is_there(&room.paths.nats.nats_url).await;
    let asked = asks && may_begin(args, room).await?;
    let db = database.open().await?;
    if asks
        && !asked
        && let Err(refused) = may_serve(args, room, db.database()).await
    {
        db.close().await;
        return Err(refused);
    }
    told.database(&db, database.named_or_usual()?);
    let outbox = outbox::open(&room.outbox, &room.paths).await?;
    let paths = Paths::over(&room.paths, "rosey-bot", Some(db.clone()), outbox).await?;
    let writer = db.clone();
    process.supervisor.ready_with(&room.name, move || Some(writer.writer().silent));
    if room.paths.no_nats {
        let ended = bot::chat(process, room, &paths, told).await;
        paths.close().await;
        return ended;
    }
    let bot_ended = CancellationToken::new();
    let stopped = bot_ended.clone().cancelled_owned();
    let options = args.options().monitor(told.monitor(true));
    let nats = room.paths.service_options();
    let mut service = tokio::spawn(service::serve(nats, db, options, || {}, stopped));
    let (ended, served) = tokio::select! {
        // The service ends before the bot only when it must not start.
        served = &mut service => (None, served),
        ended = bot::chat(process, room, &paths, told) => {
            paths.applied().await;
            bot_ended.cancel();
            (Some(ended), service.await)
        }
    };
    paths.close().await;
    let served = served.map_err(|e| Failure::new(Exit::Failed, format!("the service: {e}")))??;
    let Some(ended) = ended else {
        return Err(Failure::new(Exit::Failed, "the database service ended before the bot"));
    };
    let Ended { exit, why } = ended?;
    Ok(Ended { exit: serve::report(&served, exit, Some(room)), why })
}

/// Refuses where the file would be created, or taken over from another program, and something on NATS does not let the service
/// start: before anything is created. Returns whether that was asked.
async fn may_begin(args: &ServiceArgs, room: &Room) -> Result<bool, Failure> {
    let place = room.paths.database.named_or_usual()?;
    if !place.is_to_come().await {
        return Ok(false);
    }
    let nats = room.paths.service_options();
    match service::check::<Op>(nats, &args.options(), time::sleep(ASKED)).await {
        // Another one on the same file may have been quicker to take it over.
        Err(refused) if place.is_to_come().await => Err(refused.into()),
        _ => Ok(true),
    }
}

/// Refuses where something on NATS does not let a service on this database start.
async fn may_serve(args: &ServiceArgs, room: &Room, database: &str) -> Result<(), Failure> {
    let nats = room.paths.service_options();
    let options = args.options();
    Ok(service::check_for::<Op>(nats, &options, database, time::sleep(ASKED)).await?)
}
