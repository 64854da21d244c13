//! What was sent, by operation: over which path, how often it failed, how long it took.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use eitherway_layers::{Class, Classify};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

use crate::op::{Error, Op, Request};
use eitherway::OpId;
use eitherway::clock;
use eitherway::operation::{Kind, Operation};
use eitherway::reply::Via;
use eitherway::stack::BoxedStack;

/// Counts the operations that go through a stack. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct PathStats {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    rows: Vec<Counts>,
    /// Since it was last taken.
    window: Window,
    /// The last ones that change something, or have failed; the newest behind.
    last: VecDeque<Last>,
}

/// How many of the last operations are kept.
pub(super) const LAST: usize = 12;

/// An operation that has ended.
#[derive(Clone, Debug)]
pub(super) struct Last {
    /// When, in unix milliseconds.
    pub(super) at: i64,
    pub(super) operation: &'static str,
    pub(super) id: OpId,
    /// The path that served, or the class of the error.
    pub(super) ended: Result<Via, Class>,
    pub(super) took: Duration,
}

#[derive(Clone, Debug)]
struct Counts {
    served: Served,
    /// Microseconds; two significant digits.
    took: Histogram<u64>,
}

/// Which paths have served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Served {
    pub(super) nats: u64,
    pub(super) db: u64,
    /// Kept in the outbox; whatever became of it then.
    pub(super) outbox: u64,
    pub(super) failed: u64,
    pub(super) slowest_us: u64,
}

/// What has ended in a window of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    /// What needs an acknowledgement.
    pub(super) events: Served,
    /// What needs an answer: calls and queries.
    pub(super) requests: Served,
}

impl Served {
    fn add(&mut self, via: Result<Via, &Error>, micros: u64) {
        match via {
            Ok(Via::DB) => self.db += 1,
            Ok(Via::OUTBOX) => self.outbox += 1,
            Ok(_) => self.nats += 1,
            Err(_) => self.failed += 1,
        }
        self.slowest_us = self.slowest_us.max(micros);
    }

    pub(super) const fn sent(&self) -> u64 {
        self.nats + self.db + self.outbox + self.failed
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            nats: self.nats + other.nats,
            db: self.db + other.db,
            outbox: self.outbox + other.outbox,
            failed: self.failed + other.failed,
            slowest_us: self.slowest_us.max(other.slowest_us),
        }
    }
}

impl Window {
    pub(super) fn all(self) -> Served {
        self.events.and(self.requests)
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { events: self.events.and(other.events), requests: self.requests.and(other.requests) }
    }
}

/// What was sent of one operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) operation: String,
    pub(super) sent: u64,
    pub(super) nats: u64,
    pub(super) db: u64,
    /// Kept in the outbox; whatever became of it then.
    pub(super) outbox: u64,
    pub(super) failed: u64,
    pub(super) p50_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
}

impl Default for PathStats {
    fn default() -> Self {
        // An auto-sizing histogram of two digits cannot fail to be made; an empty one would only lose percentiles.
        let took = Histogram::new(2).unwrap_or_else(|_| unreachable!("two significant digits are valid"));
        let rows = vec![Counts { served: Served::default(), took }; Op::SPECS.len()];
        Self {
            state: Arc::new(Mutex::new(State {
                rows,
                window: Window::default(),
                last: VecDeque::with_capacity(LAST),
            })),
        }
    }
}

impl PathStats {
    /// The same stack, counted.
    pub(super) fn over(&self, stack: BoxedStack<Op>) -> BoxedStack<Op> {
        let stats = self.clone();
        BoxCloneSyncService::new(service_fn(move |request: Request| {
            let (stack, stats) = (stack.clone(), stats.clone());
            async move {
                let (index, id, start) = (request.op.index(), request.head.id.clone(), Instant::now());
                let result = stack.oneshot(request).await;
                stats.record(index, id, result.as_ref().map(|reply| reply.via), start.elapsed());
                result
            }
        }))
    }

    fn record(&self, index: usize, id: OpId, via: Result<Via, &Error>, took: Duration) {
        let (micros, at) = (u64::try_from(took.as_micros()).unwrap_or(u64::MAX), clock::now());
        let mut state = self.state.lock();
        let State { rows, window, last } = &mut *state;
        let (Some(counts), Some(spec)) = (rows.get_mut(index), Op::SPECS.get(index)) else { return };
        counts.served.add(via, micros);
        // A bot asks so often whether there is something to say, and whether it leads, that nothing else would be left.
        let asks = spec.claim || spec.kind == Kind::Query;
        if !asks || via.is_err() {
            if last.len() == LAST {
                last.pop_front();
            }
            last.push_back(Last { at, operation: spec.name, id, ended: via.map_err(Classify::class), took });
        }
        // It grows as it must: an operation takes hours at most.
        let _ = counts.took.record(micros);
        match spec.kind {
            Kind::Event => window.events.add(via, micros),
            Kind::Call | Kind::Query => window.requests.add(via, micros),
        }
    }

    /// What has ended since this was last asked.
    pub(super) fn window(&self) -> Window {
        std::mem::take(&mut self.state.lock().window)
    }

    /// The last ones that have ended, the newest first.
    pub(super) fn last(&self) -> Vec<Last> {
        self.state.lock().last.iter().rev().cloned().collect()
    }

    /// One row for each operation that was sent.
    pub(super) fn rows(&self) -> Vec<Row> {
        let row = |(name, Counts { served, took }): (&&str, &Counts)| Row {
            operation: (*name).to_owned(),
            sent: served.sent(),
            nats: served.nats,
            db: served.db,
            outbox: served.outbox,
            failed: served.failed,
            p50_us: took.value_at_quantile(0.5),
            p99_us: took.value_at_quantile(0.99),
            max_us: took.max(),
        };
        Op::NAMES.iter().zip(&self.state.lock().rows).map(row).filter(|row| row.sent > 0).collect()
    }
}

/// Rows as a table.
pub(super) struct Table<'a>(pub(super) &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = |of: fn(&Row) -> u64| self.0.iter().map(of).sum::<u64>();
        let kept = total(|r| r.outbox);
        // A column that most sessions have nothing to put in.
        let outbox = |count: &dyn fmt::Display| {
            if kept > 0 { format!("{count:>8}") } else { String::new() }
        };
        writeln!(
            f,
            "{:<22}{:>8}{:>10}{:>8}{}{:>8}{:>11}{:>11}{:>11}",
            "operation",
            "sent",
            "via NATS",
            "via DB",
            outbox(&"outbox"),
            "failed",
            "p50",
            "p99",
            "slowest"
        )?;
        for row in self.0 {
            writeln!(
                f,
                "{:<22}{:>8}{:>10}{:>8}{}{:>8}{:>11}{:>11}{:>11}",
                row.operation,
                row.sent,
                row.nats,
                row.db,
                outbox(&row.outbox),
                row.failed,
                millis(row.p50_us),
                millis(row.p99_us),
                millis(row.max_us)
            )?;
        }
        write!(
            f,
            "{:<22}{:>8}{:>10}{:>8}{}{:>8}",
            "all",
            total(|r| r.sent),
            total(|r| r.nats),
            total(|r| r.db),
            outbox(&kept),
            total(|r| r.failed)
        )
    }
}

/// Microseconds as milliseconds, with as many digits as are worth reading.
pub(super) fn millis(micros: u64) -> String {
    let digits = if micros < 10_000 { 2 } else { 0 };
    #[allow(clippy::cast_precision_loss)] // a duration for people
    let millis = micros as f64 / 1000.0;
    format!("{millis:.digits$} ms")
}
