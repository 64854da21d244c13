//! What was sent, by operation: over which path, how often it failed, how long it took.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};

use crate::op::{Error, Op, Request};
use crate::operation::Operation;
use crate::reply::Via;
use crate::stack::BoxedStack;

/// Counts the operations that go through a stack. Clones count together.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    rows: Arc<Mutex<Vec<Counts>>>,
}

#[derive(Clone, Debug)]
struct Counts {
    nats: u64,
    db: u64,
    outbox: u64,
    failed: u64,
    /// Microseconds; two significant digits.
    took: Histogram<u64>,
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

impl Default for Tally {
    fn default() -> Self {
        // An auto-sizing histogram of two digits cannot fail to be made; an empty one would only lose percentiles.
        let took = Histogram::new(2).unwrap_or_else(|_| unreachable!("two significant digits are valid"));
        let counts = Counts { nats: 0, db: 0, outbox: 0, failed: 0, took };
        Self { rows: Arc::new(Mutex::new(vec![counts; Op::SPECS.len()])) }
    }
}

impl Tally {
    /// The same stack, counted.
    pub(super) fn over(&self, stack: BoxedStack<Op>) -> BoxedStack<Op> {
        let tally = self.clone();
        BoxCloneSyncService::new(service_fn(move |request: Request| {
            let (stack, tally) = (stack.clone(), tally.clone());
            async move {
                let (index, start) = (request.op.index(), Instant::now());
                let result = stack.oneshot(request).await;
                tally.record(index, result.as_ref().map(|reply| reply.via), start.elapsed());
                result
            }
        }))
    }

    fn record(&self, index: usize, via: Result<Via, &Error>, took: Duration) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counts) = rows.get_mut(index) else { return };
        match via {
            Ok(Via::Nats) => counts.nats += 1,
            Ok(Via::Db) => counts.db += 1,
            Ok(Via::Outbox) => counts.outbox += 1,
            Err(_) => counts.failed += 1,
        }
        // It grows as it must: an operation takes hours at the most.
        let _ = counts.took.record(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// One row for each operation that was sent.
    pub(super) fn rows(&self) -> Vec<Row> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |(name, counts): (&&str, &Counts)| Row {
            operation: (*name).to_owned(),
            sent: counts.nats + counts.db + counts.outbox + counts.failed,
            nats: counts.nats,
            db: counts.db,
            outbox: counts.outbox,
            failed: counts.failed,
            p50_us: counts.took.value_at_quantile(0.5),
            p99_us: counts.took.value_at_quantile(0.99),
            max_us: counts.took.max(),
        };
        Op::NAMES.iter().zip(rows.iter()).map(row).filter(|row| row.sent > 0).collect()
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
