//! A bus inside the process.

use std::task::{Context, Poll};

use eitherway::health::{Database, Health};
use eitherway::stack::Bus;
use eitherway::store::Store;
use eitherway::{Cause, Code, Error, Operation, Reply, Request, Via};
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tower::Service;

/// The path of its replies.
pub const LINE: Via = Via::new("line", "[LINE]");

type Answered<O> = Result<Reply<<O as Operation>::Answer>, Error<O>>;
type Call<O> = (Request<O>, oneshot::Sender<Answered<O>>);

/// Hands requests to a task that has a store. Each waits for its answer; nothing is repeated and nothing is stored.
#[derive(Debug)]
pub struct Line<O: Operation> {
    calls: mpsc::UnboundedSender<Call<O>>,
    health: watch::Receiver<Health>,
}

/// The other end. It ends when it is dropped: what waits for an answer is told that there is none.
#[derive(Debug)]
pub struct Served {
    health: watch::Sender<Health>,
    _tasks: JoinSet<()>,
}

impl<O: Operation> Line<O> {
    /// A line to a store that serves at once.
    pub fn to<D: Store<O>>(mut store: D) -> (Self, Served) {
        let (calls, mut queue) = mpsc::unbounded_channel::<Call<O>>();
        let database = Database { id: store.id().to_owned(), file: store.file_id(), instance: None };
        let (health, heard) = watch::channel(Health::of_path(LINE, |_| None).with_database(Some(database)));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut working = JoinSet::new();
            while let Some((request, answer)) = queue.recv().await {
                std::future::poll_fn(|cx| store.poll_ready(cx)).await.unwrap();
                let applied = store.call(request);
                working.spawn(async move {
                    let _ = answer.send(applied.await.map(|reply| Reply { via: LINE, ..reply }));
                });
            }
        });
        (Self { calls, health: heard }, Served { health, _tasks: tasks })
    }
}

impl Served {
    /// Says that the line leads to this database, or that it is not known.
    pub fn leads_to(&self, id: Option<&str>) {
        let database = id.map(|id| Database { id: id.to_owned(), ..Database::default() });
        self.health.send_modify(|health| health.database = database);
    }
}

impl<O: Operation> Clone for Line<O> {
    fn clone(&self) -> Self {
        Self { calls: self.calls.clone(), health: self.health.clone() }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.health.send_modify(|health| {
            let database = health.database.clone();
            health.update(
                Health::of_path(LINE, |_| Some("the other end is gone".into())).with_database(database),
            );
        });
    }
}

impl<O: Operation> Service<Request<O>> for Line<O> {
    type Response = Reply<O::Answer>;
    type Error = Error<O>;
    type Future = BoxFuture<'static, Answered<O>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<O>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<O>) -> Self::Future {
        let (tx, rx) = oneshot::channel();
        let sent = self.calls.send((request.clone(), tx));
        Box::pin(async move {
            if sent.is_err() {
                return Err(Error::new(Cause::new(Code::UNAVAILABLE, "the other end is gone"), request));
            }
            let gone = |_| Err(Error::new(Cause::new(Code::UNANSWERED, "the other end is gone"), request));
            rx.await.unwrap_or_else(gone)
        })
    }
}

impl<O: Operation> Bus<O> for Line<O> {
    fn via(&self) -> Via {
        LINE
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}
