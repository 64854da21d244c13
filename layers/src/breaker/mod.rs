//! Stops calling a service that fails, and detects its recovery.

mod config;
mod error;
mod future;
pub(crate) mod handle;
mod keyed;
mod layer;
#[cfg(feature = "balance")]
mod load;
mod permit;
mod shared;
pub(crate) mod state;
mod tell;
mod waiters;
mod window;

/// The atomics, the locks and the clock of `shared`, `state`, `waiters` and `window`.
mod sync {
    pub(super) use std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    };
    pub(super) use tokio::time::Instant;
}

#[cfg(feature = "balance")]
pub use self::load::CircuitLoad;
#[cfg(feature = "hedge")]
pub(crate) use self::permit::neutrally;
pub use self::{
    config::Config,
    error::Rejected,
    future::BreakerFuture,
    handle::{Changed, Handle, Watch},
    keyed::{KeyedBreaker, KeyedBreakerLayer},
    layer::BreakerLayer,
    state::State,
};

use self::{
    permit::{Readiness, Reservation},
    shared::Shared,
};
use crate::{
    ByError,
    bounds::{FailsWith, Judges},
    held::Held,
};
use std::task::{Context, Poll, Waker, ready};
use tower_service::Service;

/// A circuit breaker.
///
/// | state | calls | next state |
/// |---|---|---|
/// | closed | pass | open, after consecutive failures or (opt-in) at a failure rate |
/// | open | rejected at once | half-open, with the first call after the back-off |
/// | half-open | a few pass as probes | closed, or open again for twice as long |
/// | held | rejected at once | closed, on [`Handle::set_healthy`] |
/// | forced | as the operator decided | closed, on [`Handle::reset`] |
///
/// **Failures** are what the classifier reports, except requests that were refused ([`Class::Rejected`]) or
/// too large ([`Class::TooLarge`]): those do not indicate a failing service. An error of the inner
/// `poll_ready` is a failure too.
///
/// **Dropped calls** do not count, unless slow ones are to ([`Config::slow_drops_fail`]). A dropped probe makes room
/// for another one. A panic of the inner service is a failure. Outcomes of calls that began before the last change
/// of state are ignored.
///
/// **Readiness.** While the circuit rejects calls, the inner service is not polled and `poll_ready` returns
/// `Ok` ([`Config::unready_when_open`] is for balancers). `call` asks the circuit again: it returns the rejection, as an
/// error made from [`Rejected`], unless calls pass by then and the inner service is ready. A caller that waits for the
/// inner service is woken when the circuit opens. A service that was ready before the circuit opened rejects its call
/// too; what the inner service had reserved for that call stays reserved until the next call or the drop of this clone.
///
/// *Cost* while closed: on success two loads of one atomic word and a reference count; no lock, no
/// allocation, and no clock unless the call has to wait. *Drop*: drops the inner future, and settles the call
/// as above.
///
/// ```
/// use eitherway_layers::{Breaker, Class, Classify, breaker::{Config, Rejected}};
/// use tower::{Service, ServiceExt, service_fn};
///
/// #[derive(Debug, PartialEq)]
/// enum Error { Down, Open(Rejected) }
/// impl Classify for Error {
///     fn class(&self) -> Class { Class::NotSent }
/// }
/// impl From<Rejected> for Error {
///     fn from(rejected: Rejected) -> Self { Error::Open(rejected) }
/// }
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let down = service_fn(async |_: ()| Err::<(), _>(Error::Down));
/// let mut breaker = Breaker::new(down, Config::new().consecutive_failures(1).jitter(0.0));
///
/// assert_eq!(breaker.ready().await.unwrap().call(()).await, Err(Error::Down));
/// let Err(Error::Open(rejected)) = breaker.ready().await.unwrap().call(()).await else { panic!() };
/// assert_eq!(rejected.retry_after(), Some(std::time::Duration::from_millis(500)));
/// # }
/// ```
///
/// [`Class::Rejected`]: crate::Class::Rejected
/// [`Class::TooLarge`]: crate::Class::TooLarge
#[derive(Debug)]
pub struct Breaker<S, C = ByError> {
    reservation: Reservation,
    classifier: C,
    inner: S,
}

impl<S> Breaker<S> {
    /// A breaker with a new circuit.
    pub fn new(inner: S, config: Config) -> Self {
        Self::from_shared(inner, Held::new(Shared::new(config)), ByError)
    }
}

impl<S, C> Breaker<S, C> {
    const fn from_shared(inner: S, shared: Held<Shared>, classifier: C) -> Self {
        Self { inner, reservation: Reservation::new(shared), classifier }
    }

    /// A handle to watch and operate the circuit.
    pub fn handle(&self) -> Handle {
        Handle::new(self.reservation.shared.clone())
    }

    inner!("The service behind the breaker.", S);
}

impl<S, C> Breaker<S, C> {
    /// A request that was to be rejected is there, perhaps long after that was decided. It passes if the circuit lets it
    /// by now and the inner service happens to be ready: nothing would wake a task that has stopped waiting.
    fn decide_again<Req>(&mut self, rejected: Rejected) -> Result<(), Rejected>
    where
        S: Service<Req>,
    {
        self.reservation.release();
        self.reservation.enter();
        match self.reservation.readiness {
            Readiness::Rejected(now) => {
                self.reservation.release();
                Err(now)
            }
            Readiness::Waits { generation } => {
                let ready = self.inner.poll_ready(&mut Context::from_waker(Waker::noop()));
                if let Poll::Ready(Ok(())) = ready {
                    self.reservation.ready(generation);
                    Ok(())
                } else {
                    self.reservation.release();
                    Err(rejected)
                }
            }
            Readiness::Undecided | Readiness::Ready { .. } => Ok(()),
        }
    }
}

impl<S, C, Req> Service<Req> for Breaker<S, C>
where
    S: FailsWith<Rejected, Req>,
    C: Judges<S, Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BreakerFuture<S::Future, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        loop {
            let generation = match self.reservation.readiness {
                Readiness::Ready { .. } | Readiness::Rejected(_) => return Poll::Ready(Ok(())),
                Readiness::Waits { generation }
                    if self.reservation.shared.state.load().generation == generation =>
                {
                    generation
                }
                // The circuit has changed while the inner service was pending.
                Readiness::Waits { .. } => {
                    self.reservation.release();
                    continue;
                }
                Readiness::Undecided if self.reservation.shared.config.unready_when_open => {
                    ready!(self.reservation.poll_enter(cx));
                    continue;
                }
                Readiness::Undecided => {
                    self.reservation.enter();
                    continue;
                }
            };
            match self.inner.poll_ready(cx) {
                Poll::Ready(Ok(())) => {
                    self.reservation.ready(generation);
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Err(error)) => {
                    self.reservation.ready(generation);
                    let result = Err(error);
                    if let Ok(mut permit) = self.reservation.pass() {
                        permit.finish(self.classifier.failure(&result));
                    }
                    return Poll::Ready(result.map(drop));
                }
                // CORRECTNESS: the inner service has registered the waker, and so has the circuit.
                Poll::Pending if self.reservation.wait(generation, cx.waker()) => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        if let Readiness::Rejected(rejected) = self.reservation.readiness
            && let Err(rejected) = self.decide_again(rejected)
        {
            return BreakerFuture::rejected(rejected);
        }
        match self.reservation.pass() {
            Ok(permit) => BreakerFuture::running(permit, self.classifier.clone(), || self.inner.call(req)),
            Err(rejected) => BreakerFuture::rejected(rejected),
        }
    }
}

/// A clone shares the circuit but not the turn: readiness belongs to the instance that was polled.
impl<S: Clone, C: Clone> Clone for Breaker<S, C> {
    fn clone(&self) -> Self {
        Self {
            reservation: Reservation::new(self.reservation.shared.clone()),
            classifier: self.classifier.clone(),
            inner: self.inner.clone(),
        }
    }
}
