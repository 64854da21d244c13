//! Sends the same request to a second service when the first fails, and also when it is late.

mod config;
mod future;
pub(crate) mod hedging;
mod layer;
#[cfg(feature = "metrics")]
mod meter;
mod pace;
mod run;

/// The atomics and the clock of `pace` and `run`.
mod sync {
    pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    pub(super) use tokio::time::Instant;
}

pub use self::{
    config::Config,
    future::HedgeFuture,
    hedging::Hedging,
    layer::{HedgeExt, HedgeLayer},
    pace::{Counts, Pace},
};

pub use crate::fallback::Budget;

use crate::{
    bounds::{HedgingOf, PolicyOf, PrimaryService, SecondTo},
    fallback::{FallbackError, First, Primary, Route},
};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tower_service::Service;

/// A [`Fallback`](crate::Fallback) that does not wait for a late primary: after a delay the secondary runs beside
/// it, and the first success is the response.
///
/// The [`Policy`](crate::fallback::Policy) decides as in a fallback; the [`Hedging`] (a [`Pace`], or several) says when a primary is late,
/// and whether a hedge may be paid for. Only requests that may run on both paths at once are hedged
/// ([`Policy::may_overlap`](crate::fallback::Policy::may_overlap); with [`ByClass`](crate::fallback::ByClass), those of `Idempotency::Always`).
///
/// | primary | secondary | result |
/// |---|---|---|
/// | answers before it is late | not called | the primary's |
/// | late, or fails and is rerouted | answers first | the secondary's; a primary that still runs is dropped |
/// | late | fails | the primary is waited for, unless [`Hedging::gives_up`] says that it is hopeless; both errors |
/// | late | refuses the request | the refusal |
/// | refuses the request | runs | the refusal; the secondary is dropped |
///
/// **The loser** is dropped, and counts in no [`Breaker`](crate::Breaker) on its way, however long it took. Report
/// what is heard of it later ([`Pace::heard`]).
///
/// **Readiness** as in a fallback; of a hedge, a secondary that is not ready in time counts only once the primary has
/// failed. The delay begins when the call is first pending, so a primary that answers at
/// once costs no timer and no clock.
///
/// **Copies.** [`Policy::keep`](crate::fallback::Policy::keep) makes one copy of the request per call, and another one per hedge.
///
/// *Errors*: [`FallbackError`]; [`FallbackError::Unready`] also where the secondary has refused the request while the
/// primary ran. *Drop*: dropping the future drops the calls in flight on both paths. *Fairness*: both calls are
/// polled whenever the task is woken; a primary that uses up the task's budget is polled second the next time.
/// *Runtime*: a call that has to wait needs a tokio runtime with its timer enabled.
///
/// ```
/// use eitherway_layers::{Class, Classify, HedgeExt};
/// use std::{future::pending, time::Duration};
/// use tower::{ServiceExt, service_fn};
///
/// #[derive(Debug)]
/// struct Offline;
/// impl Classify for Offline {
///     fn class(&self) -> Class { Class::NotSent }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let frozen = service_fn(async |_: &str| pending::<Result<String, Offline>>().await);
/// let local = service_fn(async |name: &str| Ok::<_, Offline>(format!("{name}, from here")));
///
/// let start = tokio::time::Instant::now();
/// assert_eq!(frozen.hedge_to(local).oneshot("alice").await.unwrap(), "alice, from here");
/// assert_eq!(start.elapsed(), Duration::from_millis(15));
/// # }
/// ```
pub struct Hedge<P, S, C, H> {
    primary: Primary<P>,
    shared: Arc<Shared<S, C, H>>,
}

/// What all clones share: one allocation.
#[derive(Debug)]
struct Shared<S, C, H> {
    /// Locked to be cloned, so that it need not be `Sync`.
    secondary: Mutex<S>,
    policy: C,
    hedging: H,
}

impl<S, C, H> Shared<S, C, H> {
    const fn new(secondary: S, policy: C, hedging: H) -> Self {
        Self { secondary: Mutex::new(secondary), policy, hedging }
    }
}

impl<S: Clone, C, H> Shared<S, C, H> {
    fn secondary(&self) -> S {
        self.secondary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<P, S, C, H> Hedge<P, S, C, H> {
    /// Sends requests to `primary`, and to `secondary` when `policy` says so or `hedging` does.
    pub fn new(primary: P, secondary: S, policy: C, hedging: H) -> Self {
        Self::from_shared(primary, Arc::new(Shared::new(secondary, policy, hedging)))
    }

    fn from_shared(primary: P, shared: Arc<Shared<S, C, H>>) -> Self {
        Self { primary: Primary::new(primary), shared }
    }

    /// The service that is tried first.
    pub const fn get_ref(&self) -> &P {
        &self.primary.service
    }

    /// The same, mutable.
    pub const fn get_mut(&mut self) -> &mut P {
        &mut self.primary.service
    }

    /// The same, without the secondary.
    pub fn into_inner(self) -> P {
        self.primary.service
    }

    /// A clone of the service that is tried second. Only its clones are called.
    pub fn secondary(&self) -> S
    where
        S: Clone,
    {
        self.shared.secondary()
    }

    /// The policy.
    pub fn policy(&self) -> &C {
        &self.shared.policy
    }

    /// What decides about hedges.
    pub fn hedging(&self) -> &H {
        &self.shared.hedging
    }
}

impl<P, S, C, H> Hedge<P, S, C, H> {
    fn around<Req>(&self, first: First<P::Error>, req: Req) -> HedgeFuture<P, S, C, H, Req>
    where
        P: PrimaryService<Req>,
        S: SecondTo<P, Req>,
        C: PolicyOf<P, Req>,
    {
        HedgeFuture::around(first, req, self.shared.secondary(), self.shared.policy.patience())
    }
}

impl<P, S, C, H, Req> Service<Req> for Hedge<P, S, C, H>
where
    P: PrimaryService<Req>,
    S: SecondTo<P, Req>,
    C: PolicyOf<P, Req>,
    H: HedgingOf<P, S, Req>,
{
    type Response = P::Response;
    type Error = FallbackError<P::Error, S::Error>;
    type Future = HedgeFuture<P, S, C, H, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.primary.poll_ready::<Req>(|| self.shared.policy.unready(), cx).map(Ok)
    }

    #[inline(always)]
    fn call(&mut self, mut req: Req) -> Self::Future {
        match self.primary.take_route::<Req>() {
            Route::Primary => {
                let kept = self.shared.policy.keep(&mut req).map(|kept| (kept, Arc::clone(&self.shared)));
                HedgeFuture::primary(self.primary.service.call(req), kept)
            }
            Route::Failed(error) => {
                let result = Err(error);
                self.shared.policy.rerouted(&req, &result);
                self.around(First::of(result), req)
            }
            Route::PrimaryNotReady => {
                self.shared.policy.bypassed(&req);
                self.around(First::Nothing, req)
            }
        }
    }
}

impl<P: Clone, S, C, H> Clone for Hedge<P, S, C, H> {
    fn clone(&self) -> Self {
        Self { primary: self.primary.clone(), shared: Arc::clone(&self.shared) }
    }
}

impl<P: fmt::Debug, S: fmt::Debug, C: fmt::Debug, H: fmt::Debug> fmt::Debug for Hedge<P, S, C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge").field("primary", &self.primary.service).field("shared", &self.shared).finish()
    }
}
