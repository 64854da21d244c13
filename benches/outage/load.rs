//! The load: so many operations a second, whatever becomes of the ones before. Each is counted from the moment it was
//! meant to begin, so that one that was held up by another is not forgiven.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Operations a second. One in [`QUERIES`] only reads.
pub(crate) const RATE: u32 = 1000;
const QUERIES: u64 = 10;

/// Which path served an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Nats,
    Database,
    Outbox,
    /// None: the caller was told.
    Failed,
}

/// One operation, seen by its caller. Times are counted from the first one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) event: bool,
    /// When it was meant to begin.
    pub(crate) begun: Duration,
    pub(crate) took: Duration,
    pub(crate) path: Path,
    /// How much later than it was meant to it was begun: the machine was busy elsewhere. It is part of `took`.
    pub(crate) late: Duration,
}

impl Seen {
    pub(crate) fn ended(&self) -> Duration {
        self.begun + self.took
    }
}

/// Who takes operations: ours, and the designs beside it.
pub(crate) trait Design: Clone + Send + 'static {
    /// Says a line of the chat that holds this number.
    fn line(&self, number: u64) -> impl Future<Output = Path> + Send;
    /// Reads the newest lines.
    fn read(&self) -> impl Future<Output = Path> + Send;
}

/// A load that runs.
pub(crate) struct Load {
    pub(crate) start: Instant,
    stop: Arc<AtomicBool>,
    pace: JoinHandle<()>,
    seen: UnboundedReceiver<Seen>,
}

impl Load {
    /// Begins. The pace is kept by a thread of its own, for the timers of a runtime count in milliseconds.
    pub(crate) fn start<D: Design>(design: D) -> Self {
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
                    let event = number % QUERIES != 0;
                    let path = if event { design.line(number).await } else { design.read().await };
                    let took = start.elapsed().saturating_sub(begun);
                    // Nobody listens any more only when the bench ends early.
                    let _ = tell.send(Seen { number, event, begun, took, path, late });
                });
            }
        });
        Self { start, stop, pace, seen }
    }

    /// The time since its first operation.
    pub(crate) fn now(&self) -> Duration {
        self.start.elapsed()
    }

    /// Begins no more, and waits until everything that was begun has ended. In the order in which it was begun.
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
