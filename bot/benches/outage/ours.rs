//! Rosey: the standard stack with an outbox, over NATS and the file, with `rosey serve`.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eitherway::nats::NatsService;
use eitherway::operation::Kind;
use eitherway::outbox::OutboxService;
use eitherway::stack::{BoxedStack, HedgeCounts, Hedging, StackBuilder};
use eitherway::{Db, Runtime, Via};
use eitherway_testkit::Proxy;
use rosey::op::{MessageLog, Op, OutboundEnqueue, RecentChat};
use tokio::task::JoinSet;

use super::load::{Design, Path};
use super::support::{DbFile, NatsServer, ServeProcess, nats, wait_until};
use super::world::World;

/// The stack of a channel's bot.
#[derive(Clone)]
pub(crate) struct Ours(Db<BoxedStack<Op>>);

impl Design for Ours {
    async fn line(&self, number: u64) -> Path {
        let (username, message) = (super::verdict::speaker(number), super::verdict::line(number));
        path(self.0.call(MessageLog { username, message }).await.map(|reply| reply.via))
    }

    async fn read(&self) -> Path {
        path(self.0.call(RecentChat { limit: 10 }).await.map(|reply| reply.via))
    }

    async fn ask(&self, number: u64) -> Path {
        let content = super::verdict::line(number);
        path(self.0.call(OutboundEnqueue { username: None, content }).await.map(|reply| reply.via))
    }
}

fn path<E>(result: Result<Via, E>) -> Path {
    match result {
        Ok(Via::DB) => Path::Database,
        Ok(Via::OUTBOX) => Path::Outbox,
        Ok(_) => Path::Nats,
        Err(_) => Path::Failed,
    }
}

/// Changes of a value, each with its time.
type Turns<T> = Arc<Mutex<Vec<(Instant, T)>>>;

/// The parts of a bot, and what they report while the load runs.
pub(crate) struct Bot {
    pub(crate) design: Ours,
    runtime: Runtime<Op>,
    nats: NatsService<Op>,
    outbox: OutboxService<Op>,
    /// Whether NATS takes events, and whether it takes queries.
    health: Turns<(bool, bool)>,
    /// The number of events that wait in the outbox.
    waiting: Turns<u64>,
    tasks: JoinSet<()>,
}

impl Bot {
    /// Starts a server, a service and a bot; returns when the bot has recognised the service.
    pub(crate) async fn start(jetstream: bool, dir: &std::path::Path) -> (World<ServeProcess>, Self) {
        Self::start_with(jetstream, dir, Hedging::new(), false).await
    }

    /// The same; `behind`: whether the bot reaches the server over a network that can fail.
    pub(crate) async fn start_with(
        jetstream: bool,
        dir: &std::path::Path,
        hedging: Hedging,
        behind: bool,
    ) -> (World<ServeProcess>, Self) {
        let (server, file) = (NatsServer::with_jetstream(&dir.join("jetstream")).await, DbFile::new());
        let mode = if jetstream { "on" } else { "off" };
        let service = ServeProcess::start_with(&server, &file, &["--jetstream", mode]).await;
        // As the bot opens it: with the usual time for a lock.
        let network = if behind { Some(Proxy::before(&server).await) } else { None };
        let path = match &network {
            Some(network) => nats(network).await,
            None => nats(&server).await,
        };
        let builder =
            Runtime::builder().nats(path).store(file.url()).stack(StackBuilder::new().hedging(hedging));
        let runtime = builder.outbox(dir.join("bot.outbox")).build().await.unwrap().boxed();
        let (nats, outbox) = (runtime.nats().unwrap().clone(), runtime.outbox().unwrap().clone());
        let (health, waiting) = (Turns::default(), Turns::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_health(nats.clone(), Arc::clone(&health)));
        tasks.spawn(watch_outbox(outbox.clone(), Arc::clone(&waiting)));
        nats.recognised().await;
        let design = Ours(runtime.client());
        (
            World { server, service, file, network },
            Self { design, runtime, nats, outbox, health, waiting, tasks },
        )
    }

    /// Waits until everything that was accepted is applied: both the outbox and the stream are empty.
    pub(crate) async fn flush(&self) {
        wait_until("the outbox is empty", || async { self.outbox.counts().waiting == 0 }).await;
        self.nats.recognised().await;
        self.nats.all_applied(Duration::from_secs(30)).await.unwrap();
    }

    /// The first moment from `from` and before `to` at which NATS no longer took a kind of operation.
    pub(crate) fn noticed(&self, from: Instant, to: Instant) -> Option<Instant> {
        let health = self.health.lock().unwrap();
        let out = |(at, (events, queries)): &&(Instant, (bool, bool))| {
            (from..to).contains(at) && !(*events && *queries)
        };
        health.iter().find(out).map(|(at, _)| *at)
    }

    /// When the outbox was empty again after this moment; `None` if no event waited.
    pub(crate) fn drained(&self, from: Instant) -> Option<Instant> {
        let waiting = self.waiting.lock().unwrap();
        let last = waiting.iter().rposition(|(at, n)| *at < from && *n > 0)?;
        waiting[last..].iter().find(|(at, n)| *at >= from && *n == 0).map(|(at, _)| *at)
    }

    pub(crate) fn hedges(&self) -> HedgeCounts {
        self.runtime.hedges().counts()
    }

    /// How often the ledger knew an operation already, in the service and here.
    pub(crate) async fn repeats(&self) -> u64 {
        let here = self.runtime.direct().database().unwrap();
        let own: u64 = super::hedge::indices().map(|index| here.duplicates(index)).sum();
        let stats = self.nats.client().request("$SRV.STATS", "".into()).await.unwrap();
        let stats: serde_json::Value = serde_json::from_slice(&stats.payload).unwrap();
        let endpoints = stats["endpoints"].as_array().unwrap();
        own + endpoints.iter().filter_map(|endpoint| endpoint["data"]["repeated"].as_u64()).sum::<u64>()
    }

    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
        self.runtime.shutdown(Duration::from_secs(10)).await;
    }
}

/// Records every change of what NATS takes.
async fn watch_health(nats: NatsService<Op>, turns: Turns<(bool, bool)>) {
    let mut status = nats.status();
    loop {
        let takes = {
            let status = status.borrow_and_update();
            [Kind::Event, Kind::Query].map(|kind| status.takes(kind))
        };
        turns.lock().unwrap().push((Instant::now(), (takes[0], takes[1])));
        if status.changed().await.is_err() {
            return;
        }
    }
}

async fn watch_outbox(outbox: OutboxService<Op>, turns: Turns<u64>) {
    let mut counts = outbox.watch();
    loop {
        let waiting = counts.borrow_and_update().waiting;
        turns.lock().unwrap().push((Instant::now(), waiting));
        if counts.changed().await.is_err() {
            return;
        }
    }
}
