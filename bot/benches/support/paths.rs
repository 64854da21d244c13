//! One operation over one path: directly, over NATS until it is committed, over NATS until a stream keeps it. Each path has a
//! database of its own; those over NATS have a server and a service that are processes of their own, as in production.

use std::path::Path;

use eitherway::sql::{SqliteOptions, Synchronous};
use eitherway::stack::BoxedStack;
use eitherway::{Db, Request, Via};
use rosey::op::{MessageLog, Op, OutboundEnqueue, OutboundGet, RecentChat};

use crate::processes::{Ended, LINE, nats_server, serve};

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// An event: a line of chat.
    Line,
    /// A call: a message to deliver.
    Enqueue,
    /// A call that finds nothing to hand out.
    EmptyClaim,
    /// A query: the newest ten lines.
    Recent,
}

/// The stack of one path alone, so that no operation falls back unnoticed.
pub(crate) struct OnePath {
    pub(crate) runtime: eitherway::Runtime<Op>,
    via: Via,
    /// Server and service; none of the direct path.
    pub(crate) processes: Vec<(&'static str, Ended)>,
    pub(crate) url: String,
}

impl OnePath {
    /// Writes to the file `direct.db` of this directory.
    pub(crate) async fn direct(dir: &Path, synchronous: Synchronous) -> Self {
        let options = SqliteOptions::new(dir.join("direct.db").to_str().unwrap()).unwrap();
        let options = options.synchronous(synchronous);
        let runtime = eitherway::Runtime::builder().store(options).build().await.unwrap().boxed();
        Self { runtime, via: Via::DB, processes: Vec::new(), url: String::new() }
    }

    /// Sends to a service that writes to a file of this directory; `jetstream` is its flag.
    pub(crate) async fn nats(dir: &Path, synchronous: Synchronous, jetstream: &str) -> Self {
        let dir = dir.join(format!("jetstream-{jetstream}"));
        std::fs::create_dir_all(&dir).unwrap();
        let (server, url) = nats_server(&dir);
        let level = if synchronous == Synchronous::Full { "full" } else { "normal" };
        let service = serve(&url, &dir, &["--jetstream", jetstream, "--synchronous", level]);
        let runtime = eitherway::Runtime::builder().nats(url.as_str()).build().await.unwrap().boxed();
        runtime.nats().unwrap().recognised().await;
        let processes = vec![("nats-server", server), ("rosey serve", service)];
        Self { runtime, via: Via::NATS, processes, url }
    }

    /// A step of a caller: sends one, and waits for its answer.
    pub(crate) fn step(&self, what: What) -> impl Fn() -> Sending + Clone + Send + Sync + use<> {
        let (db, via) = (self.runtime.client(), self.via);
        move || Box::pin(send(db.clone(), via, what))
    }
}

pub(crate) type Sending = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn send(db: Db<BoxedStack<Op>>, via: Via, what: What) {
    let (username, limit) = ("alice".to_owned(), 10);
    let served = match what {
        What::Line => {
            db.send(Request::new(MessageLog { username, message: LINE.to_owned() })).await.unwrap().via
        }
        What::Enqueue => {
            let message = OutboundEnqueue { username: Some(username), content: LINE.to_owned() };
            db.send(Request::new(message)).await.unwrap().via
        }
        What::EmptyClaim => {
            let claim = OutboundGet { username: Some("bob".to_owned()), limit, max_retries: 3 };
            db.send(Request::new(claim)).await.unwrap().via
        }
        What::Recent => db.send(Request::new(RecentChat { limit })).await.unwrap().via,
    };
    assert_eq!(served, via);
}
