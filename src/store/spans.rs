//! The spans of a transaction. It serves many operations, so it belongs to the trace of none: it is linked to each, and each
//! has a span of its own for the time of the transaction, linked to it.

use tracing::field::Empty;
use tracing::{Span, debug_span};

use super::queue::Write;
use crate::trace::{TARGET, Tracer, tracer};

/// As many operations of a transaction have spans: as many links has a span, usually.
const MOST: usize = 128;

/// The span of a transaction, and one for each operation that is traced. None, if none is.
#[derive(Debug, Default)]
pub(super) struct Spans(Vec<Span>);

impl Spans {
    /// Begins them. `system` is the database.
    #[inline]
    pub(super) fn begin(system: &'static str, writes: &[Write]) -> Self {
        tracer().map_or_else(Self::default, |tracer| Self::of(tracer, system, writes))
    }

    #[cold]
    fn of(tracer: &dyn Tracer, system: &'static str, writes: &[Write]) -> Self {
        let mut traces = writes
            .iter()
            .filter_map(|write| write.trace.as_deref())
            .filter(|trace| trace.is_sampled())
            .peekable();
        if traces.peek().is_none() {
            return Self::default();
        }
        let transaction = debug_span!(
            target: TARGET,
            parent: None,
            "transaction",
            otel.kind = "client",
            db.system.name = system,
            db.operation.batch.size = writes.len(),
            otel.status_code = Empty,
        );
        let traces: Vec<_> = traces.take(MOST).collect();
        // Before its context is asked for, which begins it: who decides what is sampled sees the links.
        traces.iter().for_each(|trace| tracer.links(&transaction, trace));
        let context = tracer.context(&transaction);
        let commit = |trace| {
            let commit = debug_span!(
                target: TARGET,
                parent: None,
                "commit",
                otel.kind = "client",
                db.system.name = system,
                otel.status_code = Empty,
            );
            tracer.continues(&commit, trace);
            context.iter().for_each(|context| tracer.links(&commit, context));
            commit
        };
        let mut spans: Vec<Span> = traces.into_iter().map(commit).collect();
        spans.push(transaction);
        Self(spans)
    }

    /// The transaction is over.
    pub(super) fn end(self, committed: bool) {
        if !committed {
            for span in &self.0 {
                span.record("otel.status_code", "ERROR");
            }
        }
    }
}
