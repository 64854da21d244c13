//! A custom stack: other layers, in another order, with tower's `buffer`, `concurrency_limit`, `load_shed`
//! and `retry`. Every layer is an ordinary Tower layer, so any order is correct, but not every order is
//! useful.

#![allow(clippy::print_stdout)]

use std::future::{Ready, ready};
use std::time::Duration;

use eitherway::nats::{NatsOptions, NatsService};
use eitherway::sql::{SqlService, SqliteOptions};
use eitherway::{Cause, Class, Classify, Code, Db, Reply};
use eitherway_layers::{BreakerLayer, FallbackExt, LogLayer, PathChangeLogLayer, TimeoutLayer};
use rosey::op::{Error, Op, Request, RoseyClient};
use tower::retry::Policy;
use tower::{BoxError, ServiceBuilder};

/// Retries a busy database once. The request keeps its id, so it cannot take effect twice.
#[derive(Clone)]
struct OnceMore(bool);

impl<A> Policy<Request, Reply<A>, Error> for OnceMore {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Request, result: &mut Result<Reply<A>, Error>) -> Option<Ready<()>> {
        let busy = matches!(result, Err(error) if error.class() == Class::Backend);
        (busy && std::mem::take(&mut self.0)).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}

/// tower's buffer and load shed return boxed errors: an error of the stack is unboxed, and one of theirs
/// means that the request was not sent.
fn unbox(error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(own) => *own,
        Err(theirs) => Cause::new(Code::UNAVAILABLE, theirs.to_string()).into(),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("rosey.db");
    let database = SqlService::<Op>::open(&SqliteOptions::new(&file.to_string_lossy())?).await?;
    let nats = NatsService::<Op>::connect(NatsOptions::new("nats://127.0.0.1:1")).await?;

    // Here the breaker is outside the log, so that rejected calls are not logged at all.
    let primary = ServiceBuilder::new()
        .layer(BreakerLayer::default())
        .layer(LogLayer::new("[NATS]"))
        .layer(TimeoutLayer::new(Duration::from_millis(250)))
        .service(nats);
    let secondary = ServiceBuilder::new().retry(OnceMore(true)).concurrency_limit(64).service(database);
    let stack = ServiceBuilder::new()
        .map_err(unbox)
        .load_shed()
        .buffer(512)
        .layer(PathChangeLogLayer::new())
        .map_err(Error::from)
        .service(primary.fallback_to(secondary));

    let db = Db::new(stack);
    // One task per request: a buffer polled more than 128 times in one turn of a task returns `Pending` to
    // let others run (tokio's cooperative budget), and load shed cannot distinguish that from a full buffer.
    let joins = (0..200).map(|n| {
        let db = db.clone();
        tokio::spawn(async move { db.user_joined(format!("user{n}")).await })
    });
    let results = futures_util::future::try_join_all(joins).await?;
    println!("{} of {} joined", results.iter().filter(|r| r.is_ok()).count(), results.len());
    println!("{} sessions are open", db.open_sessions().await?.len());
    Ok(())
}
