//! The shop as it runs in earnest: a nats-server, the database, its service and the HTTP server, each a process of its own.
#![allow(dead_code)] // each test file uses a part of it

mod places;
#[path = "../../../../bot/tests/support/kit/postgres.rs"]
mod postgres;

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use eitherway_testkit::{LIMIT, NatsServer, Port, Url, proc, wait_until};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};

pub(crate) use places::{Database, on_each_database};

/// A process of the example; killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and waits until it has ended by itself.
    pub(crate) async fn stop(&mut self) {
        proc::signal(self.child.id(), "-TERM");
        let mut status = None;
        wait_until("it ends", || {
            status = self.child.try_wait().unwrap();
            std::future::ready(status.is_some())
        })
        .await;
        assert!(status.unwrap().success(), "{}", self.log());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// All of it.
pub(crate) struct World {
    nats: String,
    pub(crate) database: Database,
    pub(crate) client: Client,
    pub(crate) port: Port,
    /// For the stream, the logs and the outbox.
    dir: tempfile::TempDir,
}

impl World {
    /// A server with JetStream, and nothing of the shop yet.
    pub(crate) async fn new(database: Database) -> (NatsServer, Self) {
        let dir = tempfile::tempdir().unwrap();
        let server = NatsServer::with_jetstream(dir.path()).await;
        Self::with(server, database, dir)
    }

    /// The same with a server that has no streams.
    pub(crate) async fn without_stream(database: Database) -> (NatsServer, Self) {
        Self::with(NatsServer::start().await, database, tempfile::tempdir().unwrap())
    }

    fn with(server: NatsServer, database: Database, dir: tempfile::TempDir) -> (NatsServer, Self) {
        let client = Client::builder().pool_max_idle_per_host(0).build().unwrap();
        let nats = server.url();
        (server, Self { nats, database, client, port: Port::reserve(), dir })
    }

    fn start(&self, program: &str, arguments: &[&str]) -> Process {
        let log = self.dir.path().join(format!("{}.log", arguments[0]));
        let write = File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .env("NATS_URL", &self.nats)
            .env("SHOP_DB", self.database.url())
            .env("SHOP_OUTBOX", self.dir.path().join("outbox"))
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .stdout(Stdio::from(write.try_clone().unwrap()))
            .stderr(Stdio::from(write))
            .spawn()
            .unwrap();
        Process { child, log }
    }

    pub(crate) fn serve(&self) -> Process {
        self.start(env!("CARGO_BIN_EXE_shop"), &["serve"])
    }

    /// Returns when it answers.
    pub(crate) async fn http(&self) -> Process {
        let process = self.start(env!("CARGO_BIN_EXE_shop"), &["http", &self.address()]);
        wait_until("it answers", || async { self.get("/orders/none").send().await.is_ok() }).await;
        process
    }

    /// Returns when it listens.
    pub(crate) async fn grpc(&self) -> Process {
        let process = self.start(env!("CARGO_BIN_EXE_shop-grpc"), &[&self.address()]);
        wait_until("it listens", || async { tokio::net::TcpStream::connect(self.address()).await.is_ok() })
            .await;
        process
    }

    /// Where it answers.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address())
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(self.url(path))
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.client.post(self.url(path)).json(body)
    }

    /// So many of a thing.
    pub(crate) fn order(&self, item: &str, quantity: u32) -> RequestBuilder {
        self.post("/orders", &json!({"item": item, "quantity": quantity}))
    }

    /// So many more of a thing, and waits until they are there.
    pub(crate) async fn stock(&self, item: &str, by: u32) {
        let accepted = self.post("/stock", &json!({"item": item, "by": by})).send().await.unwrap();
        assert!(accepted.status().is_success(), "{accepted:?}");
        wait_until("they are there", || async {
            self.database.number("SELECT coalesce(sum(count), 0) FROM stock").await >= i64::from(by)
        })
        .await;
    }

    /// Waits until this path serves queries.
    pub(crate) async fn served_by(&self, path: &str) {
        wait_until(path, || async {
            let asked = self.get("/orders/none").send().await;
            asked.is_ok_and(|answer| answer.status() == 404)
        })
        .await;
        wait_until(path, || async {
            let placed = self.order("probe", 1).send().await;
            placed.is_ok_and(|answer| served_by(&answer) == path)
        })
        .await;
    }
}

/// Which path served it; nothing, if it was not served.
pub(crate) fn served_by(answer: &Response) -> String {
    answer.headers().get("served-by").map(|via| via.to_str().unwrap().to_owned()).unwrap_or_default()
}
