//! One operation, directly and over NATS, beside the bare parts: event, call and query, 1 to 256 callers, both levels of
//! durability. Each row over NATS is held to the time of the direct one and 5 %.
//!
//! `cargo xtask bench direct_vs_nats` runs it and prints the tables. Criterion measures: it takes `--save-baseline`,
//! `--baseline`, `--quick` and filters.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../benches/support/bare.rs"]
mod bare;
#[path = "../../benches/support/callers.rs"]
mod callers;
#[path = "support/paths.rs"]
#[allow(dead_code, reason = "the bench `open_loop` takes the rest")]
mod paths;
#[path = "support/processes.rs"]
mod processes;
#[path = "../../benches/support/rows.rs"]
mod rows;

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream;
use eitherway::sql::Synchronous;
use futures_util::StreamExt;
use rosey::op::{MessageLog, Op};
use tokio::runtime::Runtime;

use paths::{OnePath, What};
use processes::LINE;
use rows::row;

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

const KINDS: [(&str, What); 4] = [
    ("event: a line of chat", What::Line),
    ("call: a message to deliver", What::Enqueue),
    ("call: a claim that finds nothing", What::EmptyClaim),
    ("query: the newest ten lines", What::Recent),
];

/// What is measured at one level of durability.
struct Paths {
    direct: OnePath,
    core: OnePath,
    stream: OnePath,
    bare: Bare,
}

impl Paths {
    async fn open(dir: &Path, synchronous: Synchronous) -> Self {
        let direct = OnePath::direct(dir, synchronous).await;
        let core = OnePath::nats(dir, synchronous, "off").await;
        let stream = OnePath::nats(dir, synchronous, "on").await;
        let bare = Bare::open(dir, synchronous, &stream.url).await;
        Self { direct, core, stream, bare }
    }

    fn rows(&self, group: &mut Group<'_>, runtime: &Runtime, callers: usize, what: What) {
        let mut add = |name: &str, path: &OnePath| {
            let step = path.step(what);
            row(group, runtime, name, callers, move |_, _| step());
        };
        add("direct", &self.direct);
        add("over NATS, until committed", &self.core);
        match what {
            What::Line => {
                add("over NATS, until a stream keeps it", &self.stream);
                self.bare.writes(group, runtime, callers);
            }
            // A claim that finds nothing writes nothing: it is held to a query.
            What::EmptyClaim if callers == 1 => {
                let step = self.core.step(What::Recent);
                row(group, runtime, "a query over NATS: the newest ten lines", callers, move |_, _| step());
            }
            What::Recent => self.bare.round_trip(group, runtime, callers),
            _ => {}
        }
    }
}

/// The parts that every path is made of.
struct Bare {
    insert: bare::Bare,
    client: async_nats::Client,
    stream: jetstream::Context,
    payload: bytes::Bytes,
}

impl Bare {
    async fn open(dir: &Path, synchronous: Synchronous, url: &str) -> Self {
        let client = async_nats::connect(url).await.unwrap();
        let mut echo = client.subscribe("bench.echo").await.unwrap();
        let answering = client.clone();
        tokio::spawn(async move {
            while let Some(message) = echo.next().await {
                answering.publish(message.reply.unwrap(), "{}".into()).await.unwrap();
            }
        });
        let stream = jetstream::new(client.clone());
        let config = jetstream::stream::Config {
            name: "BENCH".into(),
            subjects: vec!["bench.stored".into()],
            max_bytes: 1 << 30,
            discard: jetstream::stream::DiscardPolicy::Old,
            ..Default::default()
        };
        stream.create_stream(config).await.unwrap();
        let line = MessageLog { username: "alice".to_owned(), message: LINE.to_owned() };
        let payload = eitherway::__private::wire::payload(&Op::from(line), 0).unwrap().into();
        let lines = vec![("alice".to_owned(), LINE.to_owned())];
        let insert = bare::Bare::open(&dir.join("bare.db"), synchronous, 5, lines).await;
        Self { insert, client, stream, payload }
    }

    fn round_trip(&self, group: &mut Group<'_>, runtime: &Runtime, callers: usize) {
        let (client, payload) = (self.client.clone(), self.payload.clone());
        row(group, runtime, "NATS request and reply alone", callers, move |_, _| {
            let (client, payload) = (client.clone(), payload.clone());
            async move {
                client.request("bench.echo", payload).await.unwrap();
            }
        });
    }

    fn writes(&self, group: &mut Group<'_>, runtime: &Runtime, callers: usize) {
        let insert = self.insert.clone();
        row(group, runtime, "INSERT and commit alone, sqlx pool of 5", callers, move |caller, turn| {
            insert.clone().insert(caller, turn)
        });
        self.round_trip(group, runtime, callers);
        let (stream, payload) = (self.stream.clone(), self.payload.clone());
        row(group, runtime, "JetStream publish alone, acknowledged", callers, move |_, _| {
            let (stream, payload) = (stream.clone(), payload.clone());
            async move {
                stream.publish("bench.stored", payload).await.unwrap().await.unwrap();
            }
        });
    }
}

fn main() {
    let runtime = Runtime::new().unwrap();
    // The system's temporary directory may be in memory, where a sync costs nothing.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut criterion = rows::criterion(Duration::from_secs(3));
    for (level, synchronous) in [("normal", Synchronous::Normal), ("full", Synchronous::Full)] {
        let dir = dir.path().join(level);
        std::fs::create_dir(&dir).unwrap();
        let paths = runtime.block_on(Paths::open(&dir, synchronous));
        // A query does not wait for a sync.
        let kinds =
            KINDS.into_iter().filter(|(_, what)| synchronous == Synchronous::Normal || *what != What::Recent);
        for (kind, what) in kinds {
            for callers in [1, 8, 32, 256] {
                let plural = if callers == 1 { "" } else { "s" };
                let title = format!("{kind}, {callers} caller{plural}, synchronous={level}");
                paths.rows(&mut rows::group(&mut criterion, &title, callers), &runtime, callers, what);
            }
        }
    }
    criterion.final_summary();
}
