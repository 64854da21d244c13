//! One event per call, and one line when another path takes over.

mod failure_logs;
mod future;
mod layer;
mod level_callsite;
mod path_change;
mod rate_limit;
mod record;
pub(crate) mod serving_path;

/// The atomics of `failure_logs`.
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, Ordering};
}

pub use self::{
    future::LogFuture,
    layer::LogLayer,
    level_callsite::TARGET,
    path_change::{PathChangeLog, PathChangeLogLayer, SwitchFuture},
    rate_limit::{RateLimitedLog, Summary, Suppressed},
    serving_path::{ByResponse, Parts, ServingPath, SinglePart},
};
pub use crate::classify::Sources;

use self::record::CallLog;
use crate::{
    ByError, ByLabel, Labels,
    bounds::{Judges, Printable},
    clock::OuterBegin,
};
use std::task::{Context, Poll};
use tower_service::Service;

/// Logs one event for every call, when it has ended.
///
/// | outcome | a path's log | the outermost log ([`LogLayer::last`]) |
/// |---|---|---|
/// | success | `DEBUG [NATS] user_joined ok` | nothing |
/// | error | `DEBUG [NATS] user_joined failed: …`, because it may still be rerouted | `ERROR` |
/// | time-out, and errors of the class `Backend` | `WARN [NATS] user_joined timed out: …` | `ERROR` |
/// | a panic of the service | `WARN [NATS] user_joined panicked` | `ERROR` |
/// | dropped before completion | `DEBUG [NATS] user_joined cancelled` | `DEBUG` |
///
/// Other levels: [`LogLayer::levels`]. The message of an error goes on with what its sources say
/// ([`LogLayer::with_sources`]).
///
/// Fields: `id`; `took`, the duration of the call; for errors `class`. The message starts with the tag, the
/// target is [`TARGET`].
///
/// **Rate limiting.** Repeated warnings and errors are counted by class (see [`RateLimitedLog`]): the first one is
/// logged, then one in 10 s ([`LogLayer::every`]) with the number of those suppressed, and a summary when they have stopped: `WARN
/// [NATS] 2047 more operations timed out, in 2.1 s`. The suppressed ones are logged at `DEBUG`. A message that
/// differs by more than its digits is not suppressed, for up to [`TEXTS`](RateLimitedLog::TEXTS) of them in that time. The next call
/// with any other outcome detects that they have stopped, including a rejection by an open circuit; a success
/// that did not have to wait does not check.
///
/// *Cost*: if none of its events is enabled, a call reads no clock and does not ask for the request's id.
/// With only warnings or errors enabled, the id is kept, and the clock is read only by a call that has to
/// wait: `took` is then missing from errors that came at once. A log that tells of every call reads it twice, or not at
/// all besides metrics of the same path ([`LogLayer::share_clock`]). While failures repeat, each call that checks
/// reads the clock once more and tries a lock for each kind of failure; it waits for none, and allocates
/// nothing. *Errors* pass through. *Drop*: drops the inner future, and logs the call as cancelled.
#[derive(Clone, Debug)]
pub struct Log<S, C = ByError, L = ByLabel> {
    layer: LogLayer<C, L>,
    inner: S,
}

impl<S, C, L> Log<S, C, L> {
    inner!("The service whose calls are logged.", S);
}

impl<S, C, L, Req> Service<Req> for Log<S, C, L>
where
    S: Printable<Req>,
    L: Labels<Req>,
    C: Judges<S, Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = LogFuture<S::Future, L::Id, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let LogLayer { account, classifier, labels, shares_clock } = &self.layer;
        let _outer = shares_clock.then(OuterBegin::keep);
        let mut future = LogFuture {
            record: CallLog::begin(account, labels, &req, *shares_clock),
            classifier: classifier.clone(),
            inner: self.inner.call(req),
        };
        if let Some(record) = &mut future.record {
            record.leaves();
        }
        future
    }
}
