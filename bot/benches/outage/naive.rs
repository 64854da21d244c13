//! Two designs for comparison, as they are written when outages are not considered. Both have one service,
//! which subscribes and inserts, without ids and without a ledger, and answers requests. Both use the
//! client's default settings.
//!
//! * [`NaiveClient::Forget`], the design of the Python bot: `if nats: publish … elif db: insert …`. Whether there is
//!   a client at all is decided at the start. A publish is not acknowledged.
//! * [`NaiveClient::Ask`]: a request with a time-out of 2 s, and a direct insert when it fails. The request has no
//!   id, so no part of the system can tell whether the service has applied it as well.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::{Client, ConnectOptions};
use futures_util::StreamExt;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::load::{Design, Path};
use super::support::{DbFile, NatsServer, Url};
use super::verdict;
use super::world::{Process, World};

const SUBJECT: &str = "naive.line";
const READ: &str = "naive.read";
/// The argument that makes this program run as the service.
pub(crate) const SERVICE: &str = "naive-service";

const TABLE: &str = "CREATE TABLE IF NOT EXISTS recent_chat (
    id INTEGER PRIMARY KEY, timestamp INTEGER DEFAULT (unixepoch()), username TEXT, message TEXT)";
const INSERT: &str = "INSERT INTO recent_chat (username, message) VALUES (?1, ?2)";
const NEWEST: &str = "SELECT message FROM recent_chat ORDER BY id DESC LIMIT 10";

/// Opens the file with the same settings as Rosey, except for sqlx's default limit for locks.
async fn open(path: &str) -> SqlitePool {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.unwrap();
    sqlx::query(TABLE).execute(&pool).await.unwrap();
    pool
}

async fn insert(pool: &SqlitePool, username: &str, message: &str) -> bool {
    sqlx::query(INSERT).bind(username).bind(message).execute(pool).await.is_ok()
}

async fn newest(pool: &SqlitePool) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(NEWEST).fetch_all(pool).await
}

/// The service, in a separate process.
pub(crate) async fn serve(url: &str, path: &str) {
    let pool = open(path).await;
    let client = ConnectOptions::new().retry_on_initial_connect().connect(url).await.unwrap();
    let mut messages = client.subscribe("naive.>").await.unwrap();
    client.flush().await.unwrap();
    println!("serving");
    while let Some(message) = messages.next().await {
        let done = if message.subject.as_str() == READ {
            newest(&pool).await.is_ok()
        } else {
            let text = String::from_utf8_lossy(&message.payload);
            let (username, line) = text.split_once('\t').unwrap_or_default();
            insert(&pool, username, line).await
        };
        if let (true, Some(reply)) = (done, message.reply) {
            // The requester may be gone; a typical service ignores that.
            let _ = client.publish(reply, "ok".into()).await;
        }
    }
}

/// The service as a child process.
pub(crate) struct Service {
    child: Child,
    arguments: [String; 2],
}

impl Service {
    fn start(arguments: [String; 2]) -> Self {
        let program = std::env::current_exe().unwrap();
        let mut child =
            Command::new(program).arg(SERVICE).args(&arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "serving\n");
        Self { child, arguments }
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }
}

impl Process for Service {
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn freeze(&self) {
        self.signal("-STOP");
    }

    fn thaw(&self) {
        self.signal("-CONT");
    }

    async fn restart(&mut self) {
        let arguments = self.arguments.clone();
        *self = tokio::task::spawn_blocking(move || Self::start(arguments)).await.unwrap();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a client sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NaiveClient {
    Forget,
    Ask,
}

impl NaiveClient {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Forget => "publish and forget",
            Self::Ask => "ask, then insert without an id",
        }
    }

    /// A short name for the chart.
    pub(crate) const fn short(self) -> &'static str {
        match self {
            Self::Forget => "publish and forget",
            Self::Ask => "ask, then insert",
        }
    }
}

/// A client of the service.
#[derive(Clone)]
pub(crate) struct Naive {
    way: NaiveClient,
    /// Decided at the start.
    client: Option<Client>,
    pool: SqlitePool,
}

/// Starts a server, a service and a client.
pub(crate) async fn start(way: NaiveClient) -> (World<Service>, Naive) {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let path = file.path().display().to_string();
    let pool = open(&path).await;
    let arguments = [server.url(), path];
    let service = tokio::task::spawn_blocking(move || Service::start(arguments)).await.unwrap();
    let client = async_nats::connect(server.url()).await.ok();
    (World { server, service, file, network: None }, Naive { way, client, pool })
}

impl Naive {
    async fn ask(&self, subject: &'static str, payload: String) -> bool {
        let Some(client) = &self.client else { return false };
        let answer = client.request(subject, payload.into());
        matches!(tokio::time::timeout(Duration::from_secs(2), answer).await, Ok(Ok(_)))
    }
}

impl Design for Naive {
    async fn line(&self, number: u64) -> Path {
        let (username, line) = (verdict::speaker(number), verdict::line(number));
        let payload = format!("{username}\t{line}");
        let sent = match (self.way, &self.client) {
            (NaiveClient::Forget, Some(client)) => {
                // The client returns Ok as soon as the message is in its own queue.
                return if client.publish(SUBJECT, payload.into()).await.is_ok() {
                    Path::Nats
                } else {
                    Path::Failed
                };
            }
            (NaiveClient::Ask, Some(_)) => self.ask(SUBJECT, payload).await,
            (_, None) => false,
        };
        match sent {
            true => Path::Nats,
            false if insert(&self.pool, &username, &line).await => Path::Database,
            false => Path::Failed,
        }
    }

    async fn read(&self) -> Path {
        match self.ask(READ, String::new()).await {
            true => Path::Nats,
            false if newest(&self.pool).await.is_ok() => Path::Database,
            false => Path::Failed,
        }
    }
}
