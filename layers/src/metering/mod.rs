//! Counters, durations and an in-flight gauge for calls, through the facade crate `metrics`.

mod future;
mod layer;
pub(crate) mod table;

pub use self::{future::MetricsFuture, layer::MetricsLayer};

use self::table::{Call, Table};
use crate::{ByError, ByLabel, Labels, bounds::Judges, clock::OuterBegin, held::Held};
use std::task::{Context, Poll};
use tower_service::Service;

/// Records every call.
///
/// | metric | labels |
/// |---|---|
/// | counter `{prefix}_operations_total` | `operation`, `path`, `outcome`: `ok`, a [`Class`](crate::Class), or `cancelled` |
/// | histogram `{prefix}_operation_duration_seconds` | `operation`, `path` |
/// | gauge `{prefix}_operations_in_flight` | `path` |
///
/// The outcome is recorded when the call's future completes *or is dropped*, so a call whose caller has gone
/// is counted as `cancelled`, and the gauge cannot leak. A panic of the service counts as `unknown`. The duration is recorded
/// for every outcome.
///
/// Install the recorder before the first call: handles are resolved once, at the first call of an operation,
/// and kept.
///
/// *Cost*: two clock reads per call, which are most of it, and no allocation after the first call of an operation. A
/// layer around another one needs none: see [`MetricsLayer::share_clock`]. *Errors* pass through.
#[derive(Clone, Debug)]
pub struct Metrics<S, C = ByError, L = ByLabel> {
    /// `None` if disabled.
    table: Option<Held<Table>>,
    classifier: C,
    labels: L,
    shares_clock: bool,
    inner: S,
}

impl<S, C, L> Metrics<S, C, L> {
    inner!("The service whose calls are recorded.", S);
}

impl<S, C, L, Req> Service<Req> for Metrics<S, C, L>
where
    S: Service<Req>,
    L: Labels<Req>,
    C: Judges<S, Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = MetricsFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let _outer = self.shares_clock.then(OuterBegin::keep);
        // Starts before the inner call, so that the gauge is decremented even if that call panics.
        let call = self
            .table
            .as_ref()
            .map(|table| Call::begin(table.clone(), &self.labels, &req, self.shares_clock));
        let mut future =
            MetricsFuture { call, classifier: self.classifier.clone(), inner: self.inner.call(req) };
        if let Some(call) = &mut future.call {
            call.leaves();
        }
        future
    }
}
