//! Sends the same request to a second service when the first cannot serve it.

pub(crate) mod budget;
#[cfg(feature = "metrics")]
mod count;
mod error;
mod first;
mod future;
mod layer;
mod limit;
pub(crate) mod policy;
mod primary;

/// The atomics of `budget`.
mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

#[cfg(feature = "metrics")]
pub use self::count::CountReroutes;
pub use self::{
    budget::Budget,
    error::{FallbackError, NotReady},
    future::FallbackFuture,
    layer::{FallbackExt, FallbackLayer},
    limit::LimitReroutes,
    policy::{AtMostOnce, ByClass, Idempotency, IdempotencyRule, Policy, Unready},
};

pub(crate) use self::{
    error::Boxed,
    first::First,
    primary::{Primary, Route},
};

use crate::bounds::{PolicyOf, PrimaryService, SecondTo};
use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};
use tower_service::Service;

/// Sends a request to the primary, and to the secondary when the [`Policy`] says so.
///
/// An error of the primary's `poll_ready` is kept until `call`, so that a caller whose secondary also fails gets both
/// errors. It is boxed for so long, and has to be `Send + 'static`.
///
/// **Readiness.** `poll_ready` drives only the primary's readiness. When the primary is not ready, the policy
/// decides whether to wait, to bypass it at once, or to bypass it after a while. When its `poll_ready` fails,
/// the next request bypasses it, and so do all later ones of this clone: a service that has failed is not polled
/// again. A request that was to bypass it goes to it after all if it is ready by the time of `call`. Waiting with a limit allocates one timer,
/// once per clone. The secondary is cloned, and its readiness driven, inside the future of the call that
/// needs it: calls that fall back at once do not queue behind each other.
///
/// A clone that goes around a pending primary leaves what it has queued for (a permit, a slot) to others. One that is
/// *ready* keeps what the primary has reserved, as every service does, until it is called or dropped: make clones ready
/// when there is a request, as `oneshot` does.
///
/// The secondary's readiness is bounded, too ([`Policy::patience`]): then the call fails with
/// [`FallbackError::NotReady`], so that a path behind this one can take the request.
///
/// **Copies.** [`Policy::keep`] makes the only copy of the request. The secondary and the policy are behind
/// one `Arc`, so a call costs a reference count; a call that keeps no copy does not cost even that. A call that needs the
/// secondary clones it under a lock: neither it nor the primary has to be `Sync` for this service to be `Send`.
///
/// *Errors*: [`FallbackError`], with the errors of both paths. *Drop*: dropping the future drops the call in
/// flight, and nothing is rerouted. The primary's future, and everything it holds, is dropped before the
/// secondary starts.
///
/// ```
/// use eitherway_layers::{Class, Classify, FallbackExt};
/// use tower::{ServiceExt, service_fn};
///
/// #[derive(Debug)]
/// struct Offline;
/// impl Classify for Offline {
///     fn class(&self) -> Class { Class::NotSent }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let remote = service_fn(async |_: &str| Err::<String, _>(Offline));
/// let local = service_fn(async |name: &str| Ok::<_, Offline>(format!("{name}, from here")));
///
/// let stack = remote.fallback_to(local);
/// assert_eq!(stack.oneshot("alice").await.unwrap(), "alice, from here");
/// # }
/// ```
pub struct Fallback<P, S, C = ByClass> {
    primary: Primary<P>,
    /// One allocation for what all clones share and only some calls need.
    shared: Arc<Shared<S, C>>,
}

/// What a call to the primary holds on to, in case it has to be rerouted.
struct Shared<S, C> {
    /// Locked to be cloned, so that it need not be `Sync`.
    secondary: Mutex<S>,
    policy: C,
}

impl<S, C> Shared<S, C> {
    const fn new(secondary: S, policy: C) -> Self {
        Self { secondary: Mutex::new(secondary), policy }
    }
}

impl<S: Clone, C> Shared<S, C> {
    fn secondary(&self) -> S {
        self.secondary.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<P, S, C> Fallback<P, S, C> {
    /// Sends requests to `primary`, and to `secondary` when `policy` says so.
    pub fn new(primary: P, secondary: S, policy: C) -> Self {
        Self::from_shared(primary, Arc::new(Shared::new(secondary, policy)))
    }

    fn from_shared(primary: P, shared: Arc<Shared<S, C>>) -> Self {
        Self { primary: Primary::new(primary), shared }
    }

    /// The service that is tried first.
    pub const fn get_ref(&self) -> &P {
        &self.primary.service
    }

    /// The service that is tried first.
    pub const fn get_mut(&mut self) -> &mut P {
        &mut self.primary.service
    }

    /// The service that is tried first.
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
}

impl<P, S, C, Req> Service<Req> for Fallback<P, S, C>
where
    P: PrimaryService<Req>,
    S: SecondTo<P, Req>,
    C: PolicyOf<P, Req>,
{
    type Response = P::Response;
    type Error = FallbackError<P::Error, S::Error>;
    type Future = FallbackFuture<P, S, C, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.primary.poll_ready::<Req>(|| self.shared.policy.unready(), cx).map(Ok)
    }

    #[inline(always)]
    fn call(&mut self, mut req: Req) -> Self::Future {
        match self.primary.take_route::<Req>() {
            Route::Primary => {
                let kept = self.shared.policy.keep(&mut req).map(|kept| (kept, Arc::clone(&self.shared)));
                FallbackFuture::primary(kept, || self.primary.service.call(req))
            }
            Route::Failed(error) => {
                let result = Err(error);
                self.shared.policy.rerouted(&req, &result);
                FallbackFuture::around(First::of(result), req, Arc::clone(&self.shared))
            }
            Route::PrimaryNotReady => {
                self.shared.policy.bypassed(&req);
                FallbackFuture::around(First::Nothing, req, Arc::clone(&self.shared))
            }
        }
    }
}

impl<P: Clone, S, C> Clone for Fallback<P, S, C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), primary: self.primary.clone() }
    }
}

impl<P: fmt::Debug, S: fmt::Debug, C: fmt::Debug> fmt::Debug for Fallback<P, S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fallback")
            .field("primary", &self.primary.service)
            .field("secondary", &self.shared.secondary)
            .field("policy", &self.shared.policy)
            .finish_non_exhaustive()
    }
}
