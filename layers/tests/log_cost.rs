//! What a log costs where nobody listens. A binary with a single test: levels are cached for the whole process.
#![allow(clippy::unwrap_used)]

mod support;

use rosey_layers::{Label, LogLayer};
use std::{
    fmt,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use support::{Error, Via, events::Events};
use tower::{Layer, ServiceExt, service_fn};
use tracing::Level;

fn path() -> LogLayer {
    LogLayer::new("[NATS]")
}

fn last() -> LogLayer {
    LogLayer::new("[TOTAL]").last()
}

/// Counts how often its id is asked for, and its clones.
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
async fn the_id_is_not_asked_for_when_no_event_of_the_call_is_enabled() {
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
}
