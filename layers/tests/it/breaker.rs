//! Promises of `Breaker`.

#[cfg(feature = "balance")]
mod balance;
mod handle;
mod keyed;
mod open;
mod opens;
mod outcomes;
mod probes;
mod reports;

use crate::support::{Error, Req, Via, chaos, read, silent, strict::Strict};
use eitherway_layers::{
    Breaker, BreakerLayer, Class, Failure,
    breaker::{Config, Rejected, State},
};
use std::{
    future::{Future, ready},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{Semaphore, oneshot},
    time::advance,
};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

type Answer = Result<Via, Error>;

const FIRST: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_millis(300);
const SLOW: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(5);

fn config() -> Config {
    Config::new()
        .consecutive_failures(2)
        .back_off(FIRST, CAP)
        .jitter(0.0)
        .slow_after(SLOW)
        .slow_drops_fail()
        .lease(LEASE)
}

/// A service whose calls are answered by the test, in any order.
#[derive(Clone, Default)]
struct Puppet(Arc<Mutex<Vec<oneshot::Sender<Answer>>>>);

impl Puppet {
    fn service(
        &self,
    ) -> impl Service<Req, Response = Via, Error = Error, Future = impl Future<Output = Answer>> + Clone {
        let calls = Arc::clone(&self.0);
        service_fn(move |_: Req| {
            let (sender, receiver) = oneshot::channel();
            calls.lock().unwrap().push(sender);
            async { receiver.await.unwrap() }
        })
    }
    fn answer(&self, call: usize, answer: Answer) {
        let _ = self.0.lock().unwrap().remove(call).send(answer);
    }
    fn calls(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn answers(
    answer: Answer,
) -> impl Service<Req, Response = Via, Error = Error, Future = impl Future<Output = Answer>> + Clone {
    service_fn(move |_: Req| ready(answer.clone()))
}

const DOWN: Answer = Err(Error::Of(Class::Backend));

async fn open<S: Service<Req, Response = Via, Error = Error> + Clone>(breaker: &Breaker<S>) {
    for _ in 0..2 {
        assert_eq!(breaker.clone().oneshot(read(0)).await, DOWN);
    }
    assert_eq!(breaker.handle().state(), State::Open);
}

fn rejected(result: Answer) -> Rejected {
    match result {
        Err(Error::Open(rejected)) => rejected,
        other => panic!("expected a rejection, got {other:?}"),
    }
}

/// A breaker whose back-off has elapsed.
async fn half_open(
    puppet: &Puppet,
) -> Breaker<impl Service<Req, Response = Via, Error = Error, Future = impl Future<Output = Answer>> + Clone>
{
    half_open_with(puppet, config()).await
}

async fn half_open_with(
    puppet: &Puppet,
    config: Config,
) -> Breaker<impl Service<Req, Response = Via, Error = Error, Future = impl Future<Output = Answer>> + Clone>
{
    let breaker = Breaker::new(puppet.service(), config);
    for _ in 0..2 {
        let mut call = task::spawn(breaker.clone().oneshot(read(0)));
        assert_pending!(call.poll());
        puppet.answer(0, DOWN);
        assert_eq!(assert_ready!(call.poll()), DOWN);
    }
    assert_eq!(breaker.handle().state(), State::Open);
    advance(FIRST).await;
    breaker
}
