//! Promises of `Hedge`.

mod late;
mod model;
mod pace;
mod readiness;
mod silence;

use crate::support::{Error, Req, Via, chaos, read, silent, strict::Strict};
use eitherway_layers::{
    Class, Classify, FallbackError, Hedge, HedgeExt, HedgeLayer,
    fallback::{ByClass, Idempotency},
    hedge::{self, Budget, Config, Pace},
};
use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready, task};
use tower::{Layer, Service, ServiceExt, service_fn};

type Answer = Result<Via, Error>;
type Both = FallbackError<Error, Error>;

const DELAY: Duration = Duration::from_millis(20);
const MS: Duration = Duration::from_millis(1);

/// Answers after a time, counts its calls, and how many of them live.
#[derive(Clone)]
struct After {
    time: Duration,
    answer: Answer,
    calls: Arc<AtomicUsize>,
    alive: Arc<()>,
}

impl After {
    fn new(time: Duration, answer: Answer) -> Self {
        Self { time, answer, calls: Arc::default(), alive: Arc::default() }
    }
    fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
    fn service(&self) -> impl Service<Req, Response = Via, Error = Error, Future: Send> + Clone + use<> {
        // Only calls hold the token beside `self`.
        let (time, answer, calls, alive) =
            (self.time, self.answer.clone(), Arc::clone(&self.calls), Arc::downgrade(&self.alive));
        service_fn(move |_: Req| {
            calls.fetch_add(1, SeqCst);
            let (alive, answer) = (alive.upgrade(), answer.clone());
            async move {
                let _alive = alive;
                if !time.is_zero() {
                    sleep(time).await;
                }
                answer
            }
        })
    }
    fn alive(&self) -> usize {
        Arc::strong_count(&self.alive) - 1
    }
}

/// Hedges everything after [`DELAY`].
fn always() -> Pace {
    Pace::new(Config::new().after(DELAY).budget(Budget::unlimited()))
}

type HedgeOf<P, S> = Hedge<P, S, ByClass, Pace>;

fn hedged<P, S>(primary: P, secondary: S, pace: &Pace) -> HedgeOf<P, S> {
    primary.hedge_with(secondary, ByClass::new(), pace.clone())
}
