//! One operation, directly and over NATS, beside the bare parts: one caller and many, an event and a query.
//!
//! `cargo xtask bench direct_vs_nats` runs it and prints the tables. Criterion measures: it takes
//! `--save-baseline`, `--baseline`, `--quick` and filters. The database service runs in a separate process, as
//! in production.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../../benches/support/callers.rs"]
mod callers;
#[path = "support/processes.rs"]
mod processes;
#[path = "../../benches/support/rows.rs"]
mod rows;

use std::path::Path;
use std::time::Duration;

use async_nats::jetstream;
use eitherway::sql::SqliteOptions;
use eitherway::stack::BoxedStack;
use eitherway::{Db, Request, Via};
use futures_util::StreamExt;
use rosey::op::{MessageLog, Op, RecentChat};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::runtime::Runtime;

use processes::{LINE, nats_server, serve};
use rows::row;

type Group<'a> = criterion::BenchmarkGroup<'a, criterion::measurement::WallTime>;

/// What is measured, ready for use.
struct Parts {
    bare: SqlitePool,
    client: async_nats::Client,
    js: jetstream::Context,
    payload: bytes::Bytes,
    /// One stack per path, so that no operation falls back unnoticed.
    direct: eitherway::Runtime<Op>,
    nats: eitherway::Runtime<Op>,
}

impl Parts {
    async fn open(dir: &Path, url: &str) -> Self {
        let nats = eitherway::Runtime::builder().nats(url).build().await.unwrap().boxed();
        nats.nats().unwrap().recognised().await;
        let own = SqliteOptions::new(dir.join("direct.db").to_str().unwrap()).unwrap();
        let direct = eitherway::Runtime::builder().store(own).build().await.unwrap().boxed();
        let client = async_nats::connect(url).await.unwrap();
        let mut echo = client.subscribe("bench.echo").await.unwrap();
        let answering = client.clone();
        tokio::spawn(async move {
            while let Some(message) = echo.next().await {
                answering.publish(message.reply.unwrap(), "{}".into()).await.unwrap();
            }
        });
        let js = jetstream::new(client.clone());
        js.create_stream(jetstream::stream::Config {
            name: "BENCH".into(),
            subjects: vec!["bench.stored".into()],
            max_bytes: 1 << 30,
            ..Default::default()
        })
        .await
        .unwrap();
        Self {
            bare: pool(dir).await,
            client,
            js,
            payload: eitherway::__private::wire::payload(&Op::from(line()), 0).unwrap().into(),
            direct,
            nats,
        }
    }

    /// A row of this request and its reply, without a service.
    fn echo(&self, group: &mut Group<'_>, runtime: &Runtime, callers: usize, payload: bytes::Bytes) {
        let client = self.client.clone();
        row(group, runtime, "bare NATS request and reply", callers, move |_, _| {
            let (client, payload) = (client.clone(), payload.clone());
            async move {
                client.request("bench.echo", payload).await.unwrap();
            }
        });
    }

    fn events(&self, group: &mut Group<'_>, runtime: &Runtime, callers: usize) {
        let Self { bare, direct, nats, js, payload, .. } = self;
        let bare = bare.clone();
        row(group, runtime, "bare INSERT and commit, sqlx pool", callers, move |_, _| insert(bare.clone()));
        let direct = direct.client();
        row(group, runtime, "stack, direct (ledger, line, user)", callers, move |_, _| {
            send(direct.clone(), Via::DB)
        });
        self.echo(group, runtime, callers, payload.clone());
        let nats = nats.client();
        row(group, runtime, "stack, NATS, until committed", callers, move |_, _| {
            send(nats.clone(), Via::NATS)
        });
        let (js, payload) = (js.clone(), payload.clone());
        row(group, runtime, "bare JetStream publish, acknowledged", callers, move |_, _| {
            let (js, payload) = (js.clone(), payload.clone());
            async move {
                js.publish("bench.stored", payload).await.unwrap().await.unwrap();
            }
        });
    }

    fn queries(&self, group: &mut Group<'_>, runtime: &Runtime, callers: usize) {
        let (direct, nats) = (self.direct.client(), self.nats.client());
        row(group, runtime, "stack, direct", callers, move |_, _| ask(direct.clone(), Via::DB));
        self.echo(group, runtime, callers, "{\"limit\":10}".into());
        row(group, runtime, "stack, NATS", callers, move |_, _| ask(nats.clone(), Via::NATS));
    }
}

fn line() -> MessageLog {
    MessageLog { username: "alice".to_owned(), message: LINE.to_owned() }
}

async fn pool(dir: &Path) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(dir.join("bare.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(Duration::from_secs(30));
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(5).connect_with(options).await.unwrap();
    sqlx::query(
        "CREATE TABLE chat (id INTEGER PRIMARY KEY, at INTEGER NOT NULL, username TEXT NOT NULL, message TEXT NOT NULL)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool
}

/// Sends the line through this stack.
async fn send(db: Db<BoxedStack<Op>>, via: Via) {
    assert_eq!(db.send(Request::new(line())).await.unwrap().via, via);
}

/// Asks for the newest ten lines.
async fn ask(db: Db<BoxedStack<Op>>, via: Via) {
    assert_eq!(db.send(Request::new(RecentChat { limit: 10 })).await.unwrap().via, via);
}

async fn insert(bare: SqlitePool) {
    sqlx::query("INSERT INTO chat (at, username, message) VALUES (?, ?, ?)")
        .bind(1_i64)
        .bind("alice")
        .bind(LINE)
        .execute(&bare)
        .await
        .unwrap();
}

fn main() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (_server, url) = nats_server(dir.path());
    // Acknowledged after the commit; the bench `service` measures the stream.
    let _service = serve(&url, dir.path(), "off");
    let parts = runtime.block_on(Parts::open(dir.path(), &url));
    let mut criterion = rows::criterion();
    for callers in [1, 256] {
        let plural = if callers == 1 { "" } else { "s" };
        let title = format!("event: a line of chat, {callers} caller{plural}");
        parts.events(&mut rows::group(&mut criterion, &title, callers), &runtime, callers);
        let title = format!("query: the newest ten lines, {callers} caller{plural}");
        parts.queries(&mut rows::group(&mut criterion, &title, callers), &runtime, callers);
    }
    criterion.final_summary();
}
