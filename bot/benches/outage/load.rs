//! The load: a fixed number of operations per second, whatever happens to the earlier ones. Each latency is
//! measured from the scheduled start, so that an operation delayed by another one counts as slow (no
//! coordinated omission).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eitherway::operation::Kind;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Operations per second. One in [`QUERIES`] is a query.
pub(crate) const RATE: u32 = 1000;
const QUERIES: u64 = 10;

/// The path that served an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Nats,
    Database,
    Outbox,
    /// No path: the caller got an error.
    Failed,
}

/// One operation, as its caller saw it. Times are relative to the first operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) event: bool,
    pub(crate) kind: Kind,
    /// The scheduled start.
    pub(crate) begun: Duration,
    pub(crate) took: Duration,
    pub(crate) path: Path,
    /// How long after its scheduled start the operation began, because the machine was busy. Included in
    /// `took`.
    pub(crate) late: Duration,
}

impl Seen {
    pub(crate) fn ended(&self) -> Duration {
        self.begun + self.took
    }
}

/// A design under load.
pub(crate) trait Design: Clone + Send + 'static {
    /// Records the chat line with this number.
    fn line(&self, number: u64) -> impl Future<Output = Path> + Send;
    /// Reads the newest lines.
    fn read(&self) -> impl Future<Output = Path> + Send;
    /// Asks for something to be done, and waits until it is.
    fn ask(&self, number: u64) -> impl Future<Output = Path> + Send {
        let _ = number;
        self.read()
    }
}

/// Events, and one query in [`QUERIES`].
fn usual(number: u64) -> Kind {
    if number.is_multiple_of(QUERIES) { Kind::Query } else { Kind::Event }
}

/// Events, and as many queries as calls.
pub(crate) fn mixed(number: u64) -> Kind {
    match number % (2 * QUERIES) {
        0 => Kind::Query,
        QUERIES => Kind::Call,
        _ => Kind::Event,
    }
}

/// A running load.
pub(crate) struct Load {
    pub(crate) start: Instant,
    stop: Arc<AtomicBool>,
    pace: JoinHandle<()>,
    seen: UnboundedReceiver<Seen>,
}

impl Load {
    pub(crate) fn start<D: Design>(design: D) -> Self {
        Self::of(design, usual)
    }

    /// Starts the load. A dedicated thread keeps the pace, because a runtime's timers have a resolution of
    /// milliseconds.
    pub(crate) fn of<D: Design>(design: D, kind: fn(u64) -> Kind) -> Self {
        let (start, stop, runtime) = (Instant::now(), Arc::new(AtomicBool::new(false)), Handle::current());
        let (tell, seen) = unbounded_channel();
        let stopped = Arc::clone(&stop);
        let pace = std::thread::spawn(move || {
            for number in 0.. {
                let begun = Duration::from_secs(number) / RATE;
                std::thread::sleep(begun.saturating_sub(start.elapsed()));
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let late = start.elapsed().saturating_sub(begun);
                let (design, tell) = (design.clone(), tell.clone());
                runtime.spawn(async move {
                    let kind = kind(number);
                    let path = match kind {
                        Kind::Event => design.line(number).await,
                        Kind::Query => design.read().await,
                        Kind::Call => design.ask(number).await,
                    };
                    let took = start.elapsed().saturating_sub(begun);
                    // The receiver is gone only when the bench ends early.
                    let _ =
                        tell.send(Seen { number, event: kind == Kind::Event, kind, begun, took, path, late });
                });
            }
        });
        Self { start, stop, pace, seen }
    }

    /// The time since the first operation.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Stops the load, and waits for all operations in flight. Returns them in the order of their start.
    pub(crate) async fn finish(mut self) -> Vec<Seen> {
        self.stop.store(true, Ordering::Release);
        let mut all = Vec::new();
        while let Some(seen) = self.seen.recv().await {
            all.push(seen);
        }
        self.pace.join().unwrap();
        all.sort_by_key(|seen| seen.number);
        all
    }
}
