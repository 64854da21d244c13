//! `rosey bot`, and the bot's part of `rosey up`.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time;

use super::args::BotArgs;
use super::exit::{Exit, Failure};
use super::files;
use super::listen::{Endpoints, OfRoom};
use super::path_stats::{Row, Table};
use super::paths::Paths;
use super::rooms::{Ended, Process, Room};
use super::supervisor::Supervisor;
use super::timeline::Timeline;
use super::{console, outbox, signals};
use crate::bot::{Bot, Progress, Summary};
use eitherway::nats::InboxCounts;

pub(super) async fn run(mut args: BotArgs) -> Result<Exit, Failure> {
    args.paths.queries = args.chat.queries;
    args.paths.outbox_after = args.outbox.after();
    if args.paths.no_nats {
        // Beside a service, the service removes what is old.
        args.paths.database = args.paths.database.with_retention(&args.keep);
    }
    let rooms = Room::all(&args.chat, &args.paths, &args.outbox)?;
    let shutdown = signals::shutdown();
    let supervisor = Arc::new(Supervisor::start(&shutdown));
    let endpoints = Endpoints::start(&args.listen, "bot", &shutdown).await?;
    let file_mode = args.paths.database.file_mode;
    let process = Process { chat: Arc::new(args.chat), file_mode, shutdown, supervisor };
    let exit = process
        .run(rooms, &endpoints, |room, told| {
            let process = process.clone();
            async move { open_and_chat(&process, &room, &told).await }
        })
        .await;
    endpoints.close().await;
    exit
}

async fn open_and_chat(process: &Process, room: &Room, told: &OfRoom) -> Result<Ended, Failure> {
    let outbox = outbox::open(&room.outbox, &room.paths).await?;
    let paths = Paths::open(&room.paths, "rosey-bot", outbox).await?;
    let direct = paths.client().direct;
    process
        .supervisor
        .ready_with(&room.name, move || direct.database().map(|database| database.writer().silent));
    let ended = chat(process, room, &paths, told).await;
    paths.close().await;
    ended
}

/// Runs the bot in its room until its input ends, or it is told to stop.
pub(super) async fn chat(
    process: &Process,
    room: &Room,
    paths: &Paths,
    told: &OfRoom,
) -> Result<Ended, Failure> {
    told.client(|| paths.client());
    let (args, file_mode) = (&*process.chat, process.file_mode);
    let name = room.source.name().unwrap_or(&args.name);
    let channel = args.channel.as_deref().or(room.source.channel());
    let source = room.source.clone().of_channel(args.channel.as_deref()).open(name).await?;
    tokio::select! {
        () = paths.usable() => {}
        () = process.shutdown.cancelled() => {
            let why = "stopped before there was a path: nothing was read";
            console::ending(&room.says(why), Exit::Ok, None, of(room, serde_json::json!({"summary": null})));
            return Ok(Ended { exit: Exit::Ok, why: why.to_owned() });
        }
    }
    let mut bot = Bot::new(paths.db.clone(), source).name(name).concurrency(args.concurrency);
    if let Some(channel) = channel {
        bot = bot.channel(channel);
    }
    if let Some(shared) = room.source.room().filter(|_| args.several_bots) {
        bot = bot.shared(shared);
    }
    if let Some(commands) = args.commands(&room.source) {
        bot = bot.commands(commands);
    }
    let timeline = match &room.timeline {
        Some(file) => Some(Timeline::start(file, file_mode, args.timeline_ms, paths.stats.clone()).await?),
        None => None,
    };
    told.bot(bot.progress());
    let shown = room.is_alone.then(|| tokio::spawn(show(bot.progress())));
    let summary = bot.run(process.shutdown.cancelled()).await;
    if let Some(shown) = shown {
        shown.abort();
    }
    let drawn = match timeline {
        Some(timeline) => timeline.finish().await,
        None => true,
    };
    let kept = paths.replayed().await;
    let rows = paths.stats.rows();
    let inbox = paths.inbox();
    let outbox = kept.as_ref().map(|(_, report)| *report);
    let exit = if summary.is_clean() && drawn { Exit::Ok } else { Exit::Failed };
    let details = of(room, as_json(&summary, &rows, outbox, inbox.as_ref()));
    if let Some(file) = &room.report {
        report(file, file_mode, &details)?;
    }
    let mut text = room.says(&format!("{summary}\n\n{}", Table(&rows)));
    let outbox_line = kept.as_ref().and_then(|(file, report)| report.line(file));
    for line in outbox_line.into_iter().chain(inbox.as_ref().and_then(late)) {
        text.push('\n');
        text.push_str(&line);
    }
    let error = if !summary.is_clean() {
        Some(format!("not everything was done: {}", summary.to_string().replace('\n', "; ")))
    } else {
        (!drawn).then(|| "the timeline is not complete".to_owned())
    };
    let why = match (&summary.lost, &error) {
        (Some(lost), _) => lost.clone(),
        (None, Some(error)) => error.clone(),
        (None, None) => summary.ended.as_str().to_owned(),
    };
    console::ending(&text, exit, error, details);
    Ok(Ended { exit, why })
}

/// The same with the room's name, if it has one.
pub(super) fn of(room: &Room, mut details: serde_json::Value) -> serde_json::Value {
    if !room.name.is_none() {
        details["namespace"] = room.name.as_str().into();
    }
    details
}

/// A bar on a terminal, for as long as this runs.
async fn show(progress: Arc<Progress>) {
    // The input's length is known once it is opened.
    time::sleep(Duration::from_millis(300)).await;
    let total = progress.bytes_total();
    let bar = console::bar(total.map(|bytes| bytes / 1024), if total.is_some() { "KiB" } else { "events" });
    loop {
        bar.set_position(total.map_or_else(|| progress.events(), |_| progress.bytes_read() / 1024));
        bar.set_message(format!("{} events, {} operations failed", progress.events(), progress.failed()));
        time::sleep(Duration::from_millis(200)).await;
    }
}

/// A sentence about answers that arrived when no request waited for them any more, if there were any.
fn late(inbox: &InboxCounts) -> Option<String> {
    let InboxCounts { late, foreign, overruns, .. } = inbox;
    (late + foreign + overruns > 0).then(|| {
        format!(
            "NATS: {late} answers came too late, {foreign} were for another client, {overruns} times answers came faster than \
             they were taken"
        )
    })
}

fn as_json(
    summary: &Summary,
    rows: &[Row],
    outbox: Option<outbox::runtime::Report>,
    inbox: Option<&InboxCounts>,
) -> serde_json::Value {
    serde_json::json!({"summary": summary, "operations": rows, "outbox": outbox, "nats": inbox})
}

fn report(file: &Path, file_mode: u32, json: &serde_json::Value) -> Result<(), Failure> {
    files::begin(file, file_mode)
        .and_then(|mut opened| opened.write_all(format!("{json:#}\n").as_bytes()))
        .map_err(|e| Failure::new(Exit::Failed, format!("the report {}: {e}", file.display())))
}
