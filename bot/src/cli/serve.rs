//! `rosey serve`.

use super::args::{DatabaseArgs, ServeArgs, ServiceArgs};
use super::exit::{Exit, Failure};
use super::listen::Endpoints;
use super::namespaces::Wanted;
use super::number::{counted, were};
use super::rooms::Room;
use super::supervisor::Supervisor;
use super::{bot, console, signals};
use crate::op::Op;
use eitherway::Namespace;
use eitherway::nats::NatsOptions;
use eitherway::service::{self, Served, ServiceOptions};
use tokio_util::sync::CancellationToken;

pub(super) async fn run(args: ServeArgs) -> Result<Exit, Failure> {
    let wanted = Wanted::by(&args)?;
    let shutdown = signals::shutdown();
    let supervisor = Supervisor::start(&shutdown);
    let endpoints = Endpoints::start(&args.listen, "serve", &shutdown).await?;
    let served = serve(args, wanted, &shutdown, &endpoints, &supervisor).await;
    endpoints.close().await;
    Ok(report(&served?, Exit::Ok, None))
}

async fn serve(
    args: ServeArgs,
    wanted: Wanted,
    shutdown: &CancellationToken,
    endpoints: &Endpoints,
    supervisor: &Supervisor,
) -> Result<Served, Failure> {
    let nats = args.nats.options("rosey-serve");
    match wanted {
        Wanted::One(namespace) => {
            let database = DatabaseArgs { namespace: namespace.clone(), ..args.database };
            let database = database.with_retention(&args.keep);
            let options = args.service.options();
            one(nats.namespace(namespace), &database, options, shutdown, endpoints, supervisor).await
        }
        Wanted::Several(databases) => {
            let options = args.service.options().monitor(endpoints.room(&Namespace::none()).monitor(false));
            let options = args.namespaces.options(options, &databases);
            let stopped = shutdown.cancelled();
            supervisor.ready();
            Ok(service::serve_namespaces::<Op, _, _>(nats, databases, options, || {}, stopped).await?)
        }
    }
}

/// Serves one database, until it is told to stop.
async fn one(
    nats: NatsOptions,
    database: &DatabaseArgs,
    options: ServiceOptions,
    shutdown: &CancellationToken,
    endpoints: &Endpoints,
    supervisor: &Supervisor,
) -> Result<Served, Failure> {
    let told = endpoints.room(&Namespace::none());
    let options = options.monitor(told.monitor(true));
    let place = database.named_or_usual()?;
    if place.is_to_come().await {
        supervisor.ready();
        match service::check::<Op>(nats.clone(), &options, shutdown.cancelled()).await {
            // Another one on the same file may have been quicker to create it, or to take it over.
            Err(refused) if place.is_to_come().await => return Err(refused.into()),
            _ if shutdown.is_cancelled() => return Ok(Served::default()),
            _ => {}
        }
    }
    let db = database.open().await?;
    told.database(&db, place);
    let writer = db.clone();
    supervisor.ready_with(&Namespace::none(), move || Some(writer.writer().silent));
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
        ServiceOptions::default()
            .takeover(self.takeover)
            .bundles(self.bundles)
            .jetstream(self.jetstream)
            .stream_max_bytes(self.stream_max_bytes)
            .stream_replicas(self.stream_replicas)
            .ack_wait(self.stream_ack_wait_ms)
            .reply_prefixes(self.reply_prefixes())
            .in_flight(self.in_flight)
            .bytes(self.requests_mib.saturating_mul(1 << 20))
    }
}

/// Reports what was served, and what was lost. `before` is how the rest of the command has ended, in this room.
pub(super) fn report(served: &Served, before: Exit, room: Option<&Room>) -> Exit {
    let Served { done, repeated, refused, expired, failed, returned, lost, buried, overruns, .. } = served;
    // A request that was delivered twice was served twice.
    let mut text = format!("stopped: {} served, {lost} lost", counted(*done, "request"));
    for (count, what) in [
        (repeated, "repeated without a second effect"),
        (refused, "refused"),
        (expired, "dropped after their deadline"),
        (buried, "kept as dead letters"),
        (failed, "failed, and their senders were stopped"),
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
    let details = serde_json::json!({"served": served, "overruns": overruns});
    match room {
        Some(room) => console::ending(&room.says(&text), exit, error, bot::of(room, details)),
        None => console::ending(&text, exit, error, details),
    }
    exit
}
