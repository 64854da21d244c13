//! Metric handles, resolved once.

use crate::{Class, Failure, Labels, clock, held::Held};
use ::metrics::{Counter, Gauge, Histogram, Unit};
use std::{fmt, sync::OnceLock};
use tokio::time::Instant;

/// The values of the label `outcome`: success, the classes of errors in their order, and a dropped call.
const OUTCOMES: [&str; 7] = {
    let [a, b, c, d, e] = Class::ALL;
    ["ok", a.as_str(), b.as_str(), c.as_str(), d.as_str(), e.as_str(), "cancelled"]
};
const OK: u8 = 0;
/// What a panic counts as.
const UNKNOWN: u8 = OK + 1 + Class::Unknown as u8;
const CANCELLED: u8 = OUTCOMES.len() as u8 - 1;

/// One cell per operation, filled when it is first used.
///
/// The table learns the operations from the first request. If one layer serves request types with different
/// labels, the later types are served correctly but resolve their handles anew each time.
pub(crate) struct PerOperation<H> {
    entries: OnceLock<Box<[Entry<H>]>>,
}

struct Entry<H> {
    name: &'static str,
    handles: OnceLock<H>,
}

impl<H> PerOperation<H> {
    pub(crate) const fn new() -> Self {
        Self { entries: OnceLock::new() }
    }

    /// Calls `act` with the handles of an operation.
    #[inline]
    pub(crate) fn with<T>(
        &self,
        op: Operation,
        make: impl Fn(&'static str) -> H,
        act: impl FnOnce(&H) -> T,
    ) -> T {
        let entries = self
            .entries
            .get_or_init(|| op.all.iter().map(|name| Entry { name, handles: OnceLock::new() }).collect());
        let name = op.name();
        match entries.get(op.index) {
            Some(entry) if std::ptr::eq(entry.name, name) || entry.name == name => {
                act(entry.handles.get_or_init(|| make(name)))
            }
            _ => act(&make(name)),
        }
    }
}

/// A request's operation, kept after the request has been moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    all: &'static [&'static str],
    index: usize,
}

impl Operation {
    pub(crate) fn of<Req>(labels: &impl Labels<Req>, req: &Req) -> Self {
        Self { all: labels.names(), index: labels.label(req) }
    }

    fn name(self) -> &'static str {
        self.all.get(self.index).copied().unwrap_or("?")
    }
}

/// The handles of one operation on one path.
struct Handles {
    outcomes: [Counter; OUTCOMES.len()],
    duration: Histogram,
}

/// All handles of one path.
pub(super) struct Table {
    prefix: &'static str,
    path: &'static str,
    operations: PerOperation<Handles>,
    in_flight: OnceLock<Gauge>,
}

impl Table {
    pub(super) const fn new(prefix: &'static str, path: &'static str) -> Self {
        Self { prefix, path, operations: PerOperation::new(), in_flight: OnceLock::new() }
    }

    pub(super) const fn path(&self) -> &'static str {
        self.path
    }

    fn name(&self, rest: &str) -> String {
        format!("{}_{rest}", self.prefix)
    }

    #[inline]
    fn in_flight(&self) -> &Gauge {
        self.in_flight.get_or_init(|| {
            let name = self.name("operations_in_flight");
            ::metrics::describe_gauge!(
                name.clone(),
                Unit::Count,
                "Operations that have begun and not ended."
            );
            ::metrics::gauge!(name, "path" => self.path)
        })
    }

    fn resolve(&self, operation: &'static str) -> Handles {
        let total = self.name("operations_total");
        let duration = self.name("operation_duration_seconds");
        ::metrics::describe_counter!(total.clone(), Unit::Count, "Operations, by how they ended.");
        ::metrics::describe_histogram!(duration.clone(), Unit::Seconds, "How long operations took.");
        Handles {
            outcomes: OUTCOMES.map(|outcome| {
                ::metrics::counter!(total.clone(), "operation" => operation, "path" => self.path, "outcome" => outcome)
            }),
            duration: ::metrics::histogram!(duration, "operation" => operation, "path" => self.path),
        }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("prefix", &self.prefix)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// One call. Dropping it records the call; without an outcome, it is recorded as cancelled, or as unknown after a panic.
#[derive(Debug)]
pub(super) struct Call {
    table: Held<Table>,
    operation: Operation,
    start: Instant,
    outcome: u8,
    /// Whether the inner service is running right now: dropped meanwhile, it has panicked.
    inside: bool,
    shares_clock: bool,
}

impl Call {
    #[inline]
    pub(super) fn begin<Req>(
        table: Held<Table>,
        labels: &impl Labels<Req>,
        req: &Req,
        shares_clock: bool,
    ) -> Self {
        let operation = Operation::of(labels, req);
        table.in_flight().increment(1.0);
        let start = clock::begun();
        if shares_clock {
            clock::share_begin(start);
        }
        Self { table, operation, start, outcome: CANCELLED, inside: true, shares_clock }
    }

    /// The inner service has returned.
    #[inline]
    pub(super) const fn leaves(&mut self) {
        self.inside = false;
    }

    #[inline]
    pub(super) fn is_polled(&mut self) {
        self.inside = true;
        if self.shares_clock {
            clock::expect_end();
        }
    }

    #[inline]
    pub(super) fn end(&mut self, failure: Option<Failure>) {
        self.outcome = failure.map_or(OK, |failure| OK + 1 + failure.class as u8);
    }
}

impl Drop for Call {
    #[inline]
    fn drop(&mut self) {
        let end =
            if self.shares_clock && self.outcome != CANCELLED { clock::shared_end() } else { clock::end() };
        let outcome = if self.inside && self.outcome == CANCELLED { UNKNOWN } else { self.outcome };
        self.table.operations.with(
            self.operation,
            |name| self.table.resolve(name),
            |handles| {
                handles.outcomes[usize::from(outcome)].increment(1);
                handles.duration.record(end.duration_since(self.start));
            },
        );
        self.table.in_flight().decrement(1.0);
    }
}
