//! `rosey bot`, and the bot's part of `rosey up`.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::args::{BotArgs, ChatArgs};
use super::exit::{Exit, Failure};
use super::files;
use super::listen::Endpoints;
use super::path_stats::{Row, Table};
use super::paths::Paths;
use super::supervisor::Supervisor;
use super::timeline::Timeline;
use super::{console, outbox, signals};
use crate::bot::{Bot, Progress, Summary};
use eitherway::nats::InboxCounts;

pub(super) async fn run(args: BotArgs) -> Result<Exit, Failure> {
    let span = args.paths.span();
    over_paths(args).instrument(span).await
}

async fn over_paths(mut args: BotArgs) -> Result<Exit, Failure> {
    args.paths.queries = args.chat.queries;
    args.paths.outbox_after = args.outbox.after();
    if args.paths.no_nats {
        // Beside a service, the service removes what is old.
        args.paths.database = args.paths.database.with_retention(&args.keep);
    }
    let mode = args.paths.database.file_mode;
    args.chat.chat.check()?;
    let shutdown = signals::shutdown();
    let supervisor = Supervisor::start(&shutdown);
    let endpoints = Endpoints::start(&args.listen, "bot", &shutdown).await?;
    let exit = open_and_chat(&args, mode, shutdown, &endpoints, &supervisor).await;
    endpoints.close().await;
    exit
}

async fn open_and_chat(
    args: &BotArgs,
    file_mode: u32,
    shutdown: CancellationToken,
    endpoints: &Endpoints,
    supervisor: &Supervisor,
) -> Result<Exit, Failure> {
    let outbox = outbox::open(&args.outbox, &args.paths).await?;
    let paths = Paths::open(&args.paths, "rosey-bot", outbox).await?;
    let direct = paths.client().direct;
    supervisor.ready_with(move || direct.database().map(|database| database.writer().silent));
    let exit = chat(&args.chat, file_mode, &paths, shutdown, endpoints).await;
    paths.close().await;
    exit
}

/// Runs the bot until its input ends, or it is told to stop.
pub(super) async fn chat(
    args: &ChatArgs,
    file_mode: u32,
    paths: &Paths,
    shutdown: CancellationToken,
    endpoints: &Endpoints,
) -> Result<Exit, Failure> {
    endpoints.client(|| paths.client());
    let name = args.chat.name().unwrap_or(&args.name);
    let channel = args.channel.as_deref().or(args.chat.channel());
    let source = args.chat.clone().of_channel(args.channel.as_deref()).open(name).await?;
    tokio::select! {
        () = paths.usable() => {}
        () = shutdown.cancelled() => {
            let details = serde_json::json!({"summary": null});
            console::ending("stopped before there was a path: nothing was read", Exit::Ok, None, details);
            return Ok(Exit::Ok);
        }
    }
    let mut bot = Bot::new(paths.db.clone(), source).name(name).concurrency(args.concurrency);
    if let Some(channel) = channel {
        bot = bot.channel(channel);
    }
    if let Some(room) = args.chat.room().filter(|_| args.several_bots) {
        bot = bot.shared(room);
    }
    if let Some(commands) = args.commands() {
        bot = bot.commands(commands);
    }
    let timeline = match &args.timeline {
        Some(file) => Some(Timeline::start(file, file_mode, args.timeline_ms, paths.stats.clone()).await?),
        None => None,
    };
    endpoints.bot(bot.progress());
    let shown = tokio::spawn(show(bot.progress()));
    let summary = bot.run(shutdown.cancelled()).await;
    shown.abort();
    let drawn = match timeline {
        Some(timeline) => timeline.finish().await,
        None => true,
    };
    let kept = paths.replayed().await;
    let rows = paths.stats.rows();
    let inbox = paths.inbox();
    let outbox = kept.as_ref().map(|(_, report)| *report);
    let exit = if summary.is_clean() && drawn { Exit::Ok } else { Exit::Failed };
    let details = as_json(&summary, &rows, outbox, inbox.as_ref());
    if let Some(file) = &args.report {
        report(file, file_mode, &details)?;
    }
    let mut text = format!("{summary}\n\n{}", Table(&rows));
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
    console::ending(&text, exit, error, details);
    Ok(exit)
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
