//! `rosey serve`.

use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};

use super::addresses::reply_prefixes;
use super::args::{DatabaseArgs, ServeArgs, count, millis};
use super::exit::{Exit, Failure};
use super::namespaces::Wanted;
use super::number::{counted, were};
use super::{console, signals};
use crate::op::Op;
use eitherway::nats::NatsOptions;
use eitherway::service::{self, JetStream, Served, ServiceOptions};
use tokio_util::sync::CancellationToken;

/// The database service's own.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Service")]
pub(super) struct ServiceArgs {
    /// Take events from a JetStream stream: they are kept there while no service runs, and acknowledged when they are
    /// stored. `auto` does if the server has JetStream; `off` empties and deletes a stream of ours first
    #[arg(long, env = "ROSEY_JETSTREAM", default_value = "auto", value_name = "WHEN")]
    pub(super) jetstream: JetStreamArg,
    /// How large the stream may grow, in bytes; events that do not fit go to the database directly [default: no limit of
    /// our own]
    #[arg(long, env = "ROSEY_STREAM_MAX_BYTES", value_name = "BYTES", value_parser = clap::value_parser!(i64).range(1..))]
    pub(super) stream_max_bytes: Option<i64>,
    /// How long events wait that an instance took from the stream before it was killed, in milliseconds: then another
    /// instance gets them
    #[arg(long, env = "ROSEY_STREAM_ACK_WAIT_MS", default_value = "30000", value_name = "MS", value_parser = millis)]
    pub(super) stream_ack_wait_ms: Duration,
    /// Answer to subjects below this, too: several separated by commas, or the option several times. Without it answers go
    /// to `_INBOX.>` alone. For clients whose inboxes have a name of their own; nothing but inboxes may lie there
    #[arg(long, env = "ROSEY_REPLY_PREFIX", value_name = "PREFIX", value_parser = reply_prefixes)]
    pub(super) reply_prefix: Vec<String>,
    /// How many requests of one subject, and how many messages of the stream, are worked on at once; of each namespace,
    /// where there are several
    #[arg(long, env = "ROSEY_IN_FLIGHT", default_value = "1024", value_name = "N", value_parser = count)]
    pub(super) in_flight: usize,
    /// How much memory the requests may need that wait or are worked on; what comes beyond is dropped and counted, and its
    /// clients take another path. Of each namespace, where there are several
    #[arg(long, env = "ROSEY_REQUESTS_MIB", default_value = "32", value_name = "MIB", value_parser = count)]
    pub(super) requests_mib: usize,
    /// Start even if another kind of service answers on these subjects
    #[arg(long, env = "ROSEY_TAKEOVER", value_parser = crate::cli::args::yes_or_no, action = ArgAction::SetTrue)]
    pub(super) takeover: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum JetStreamArg {
    Auto,
    On,
    Off,
}

pub(super) async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    let wanted = Wanted::by(&args)?;
    let shutdown = signals::shutdown();
    let nats = args.nats.options("rosey-serve");
    let served = match wanted {
        Wanted::One(namespace) => {
            let database = args.database.with_retention(&args.keep);
            one(nats.namespace(namespace), &database, args.service.options(), &shutdown).await?
        }
        Wanted::Several(files) => {
            let options = args.namespaces.options(args.service.options());
            let told = shutdown.cancelled_owned();
            service::serve_namespaces::<Op, _, _>(nats, files, options, || {}, told).await?
        }
    };
    Ok(report(&served, Exit::Ok))
}

/// Serves one database, until it is told to stop.
pub(super) async fn one(
    nats: NatsOptions,
    database: &DatabaseArgs,
    options: ServiceOptions,
    shutdown: &CancellationToken,
) -> Result<Served, Failure> {
    let place = database.named_or_usual()?;
    if place.is_to_come().await {
        match service::check::<Op>(nats.clone(), &options, shutdown.cancelled()).await {
            // Another one on the same file may have been quicker to create it, or to take it over.
            Err(refused) if place.is_to_come().await => return Err(refused.into()),
            _ if shutdown.is_cancelled() => return Ok(Served::default()),
            _ => {}
        }
    }
    let db = database.open().await?;
    let served = service::serve(nats, db.clone(), options, || {}, shutdown.cancelled()).await;
    db.close().await;
    Ok(served?)
}

impl ServiceArgs {
    fn reply_prefixes(&self) -> Vec<String> {
        // A variable that is blank says nothing.
        let blank = std::env::var("ROSEY_REPLY_PREFIX").is_ok_and(|said| said.trim().is_empty());
        let lists = self.reply_prefix.iter().filter(|list| !(blank && list.trim().is_empty()));
        lists.flat_map(|list| list.split(',')).map(|prefix| prefix.trim().to_owned()).collect()
    }

    pub(super) fn options(&self) -> ServiceOptions {
        let jetstream = match self.jetstream {
            JetStreamArg::Auto => JetStream::Auto,
            JetStreamArg::On => JetStream::On,
            JetStreamArg::Off => JetStream::Off,
        };
        ServiceOptions::default()
            .takeover(self.takeover)
            .jetstream(jetstream)
            .stream_max_bytes(self.stream_max_bytes)
            .ack_wait(self.stream_ack_wait_ms)
            .reply_prefixes(self.reply_prefixes())
            .in_flight(self.in_flight)
            .bytes(self.requests_mib.saturating_mul(1 << 20))
    }
}

/// Reports what was served, and what was lost. `before` is how the rest of the command has ended.
pub(super) fn report(served: &Served, before: Exit) -> Exit {
    let Served { done, repeated, refused, expired, failed, returned, lost, buried, overruns, .. } = served;
    // A request that was delivered twice was served twice.
    let mut text = format!("stopped: {} served, {lost} lost", counted(*done, "request"));
    for (count, what) in [
        (repeated, "repeated without a second effect"),
        (refused, "refused"),
        (expired, "dropped after their deadline"),
        (buried, "kept as dead letters"),
        (failed, "failed, and their senders were told"),
        (returned, "returned to the stream"),
        (overruns, "times requests came faster than they were taken"),
    ] {
        if *count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    let exit = match before {
        Exit::Ok if *lost > 0 => Exit::Failed,
        exit => exit,
    };
    let error = (*lost > 0).then(|| format!("{} lost", were(*lost, "operation")));
    console::ending(&text, exit, error, serde_json::json!({"served": served, "overruns": overruns}));
    exit
}
