//! The cost of a log without a subscriber, and while failures repeat. A binary with a single test, because
//! levels are cached for the whole process.
#![allow(clippy::unwrap_used)]

mod support;

use allocation_counter::measure;
use eitherway_layers::{Class, Label, LogLayer};
use std::{
    fmt,
    future::{Future, ready},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};
use support::{Error, Req, Via, events::Events, read, write};
use tower::{Layer, Service, ServiceExt, service_fn};
use tracing::Level;

fn path() -> LogLayer {
    LogLayer::new("[NATS]")
}

fn last() -> LogLayer {
    LogLayer::new("[TOTAL]").last()
}

/// Counts its clones and how often its id is requested.
struct Watched(Arc<AtomicUsize>);
struct Id(Arc<AtomicUsize>);

impl Clone for Id {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, SeqCst);
        Self(Arc::clone(&self.0))
    }
}
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("watched")
    }
}
impl Label for Watched {
    const LABELS: &'static [&'static str] = &["watched"];
    type Id = Id;
    fn label(&self) -> usize {
        0
    }
    fn id(&self) -> Id {
        self.0.fetch_add(1, SeqCst);
        Id(Arc::clone(&self.0))
    }
}

#[tokio::test]
async fn the_id_is_not_asked_for_when_no_event_of_the_call_is_enabled_and_trouble_costs_successes_no_allocation()
 {
    let count = Arc::new(AtomicUsize::new(0));
    let inner = service_fn(|_: Watched| ready(Ok::<_, Error>(Via(0))));
    last().layer(inner).oneshot(Watched(Arc::clone(&count))).await.unwrap();
    assert_eq!(count.load(SeqCst), 0, "no subscriber");
    for (layer, level, asked) in [
        (path(), Level::ERROR, 0),
        (path(), Level::WARN, 1),
        (path(), Level::DEBUG, 1),
        (last(), Level::ERROR, 1),
    ] {
        let (_events, _guard) = Events::catch(level);
        let count = Arc::new(AtomicUsize::new(0));
        let inner = service_fn(|_: Watched| ready(Ok::<_, Error>(Via(0))));
        layer.layer(inner).oneshot(Watched(Arc::clone(&count))).await.unwrap();
        assert_eq!(count.load(SeqCst), asked, "{layer:?} at {level}");
    }
    for layer in [path(), last()] {
        trouble_costs_successes_no_allocation(&layer);
    }
}

fn trouble_costs_successes_no_allocation(layer: &LogLayer) {
    let (events, _guard) = Events::catch(Level::INFO);
    let mut service = layer.layer(service_fn(|req: Req| {
        let answer = if req.write { Err(Error::Of(Class::Backend)) } else { Ok(Via(0)) };
        Waits { answer: Some(answer), waited: false }
    }));
    let mut end = |req| {
        let mut cx = Context::from_waker(Waker::noop());
        let mut call = pin!(service.call(req));
        assert!(call.as_mut().poll(&mut cx).is_pending());
        call.poll(&mut cx).is_ready()
    };
    assert!(end(write(1)) && end(write(2)));
    let allocated = measure(|| assert!((0..1_000).all(|id| end(read(id)))));
    assert_eq!(allocated.count_total, 0);
    assert_eq!(events.take().len(), 1);
}

/// Completes at the second poll.
struct Waits {
    answer: Option<Result<Via, Error>>,
    waited: bool,
}

impl Future for Waits {
    type Output = Result<Via, Error>;
    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        match std::mem::replace(&mut self.waited, true) {
            true => self.answer.take().map_or(Poll::Pending, Poll::Ready),
            false => Poll::Pending,
        }
    }
}
