//! Faults on purpose, by seed: for tests of what stands around a service that fails.

use crate::bounds::ErrorsOf;
use pin_project::pin_project;
use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tower_layer::Layer;
use tower_service::Service;

/// Applies [`Chaos`] to services. All of them, and all their clones, count their calls together.
///
/// The shares are of all calls, and their sum should be at most 1. They are none
/// until they are set.
pub struct ChaosLayer<F> {
    faults: Faults,
    error: F,
    state: Arc<State>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    hang: f64,
    fail: f64,
    lose: f64,
    delay: f64,
    by: Duration,
}

#[derive(Debug)]
struct State {
    seed: u64,
    calls: AtomicU64,
    active: AtomicBool,
}

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Well,
    Hang,
    Fail,
    Lose,
    Delay,
}

impl<F> ChaosLayer<F> {
    /// Decides by `seed`, and makes the errors of calls that fail by `error`.
    pub fn new(seed: u64, error: F) -> Self {
        let state = State { seed, calls: AtomicU64::new(0), active: AtomicBool::new(true) };
        Self { faults: Faults::default(), error, state: Arc::new(state) }
    }

    /// This share of the calls is never answered; the service is not called.
    pub const fn hang(mut self, share: f64) -> Self {
        self.faults.hang = share;
        self
    }

    /// This share of the calls fails at once; the service is not called.
    pub const fn fail(mut self, share: f64) -> Self {
        self.faults.fail = share;
        self
    }

    /// This share of the calls fails although the service has answered: its effect is there, the answer is lost.
    pub const fn lose(mut self, share: f64) -> Self {
        self.faults.lose = share;
        self
    }

    /// This share of the calls is delayed `by` this time: the service is called, and its future polled only then.
    pub const fn delay(mut self, share: f64, by: Duration) -> Self {
        self.faults.delay = share;
        self.faults.by = by;
        self
    }

    /// Begins or ends the faults. While they are off, calls are counted, and decided as ever.
    pub fn set_active(&self, active: bool) {
        self.state.active.store(active, Relaxed);
    }

    /// How many calls there were.
    pub fn calls(&self) -> u64 {
        self.state.calls.load(Relaxed)
    }
}

impl<S, F: Clone> Layer<S> for ChaosLayer<F> {
    type Service = Chaos<S, F>;

    fn layer(&self, inner: S) -> Self::Service {
        Chaos { inner, layer: self.clone() }
    }
}

impl<F: Clone> Clone for ChaosLayer<F> {
    fn clone(&self) -> Self {
        Self { faults: self.faults, error: self.error.clone(), state: Arc::clone(&self.state) }
    }
}

impl<F> fmt::Debug for ChaosLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChaosLayer")
            .field("faults", &self.faults)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Lets some calls hang, fail, lose their answer, or begin late.
///
/// What happens to the n-th call depends on the seed and on n only, so a run with the same order of calls has the same
/// faults.
///
/// *Errors*: those of the inner service, and what the layer's closure makes. *Drop*: drops the inner future. *Runtime*: a
/// call that begins late needs a tokio runtime with its timer enabled.
///
/// ```
/// use eitherway_layers::ChaosLayer;
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let chaos = ChaosLayer::new(7, || "down").fail(0.5);
/// let service = chaos.layer(service_fn(async |n: u32| Ok::<_, &str>(n)));
/// let mut failed = 0;
/// for n in 0..100 {
///     failed += u32::from(service.clone().oneshot(n).await.is_err());
/// }
/// assert!((35..65).contains(&failed));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Chaos<S, F> {
    inner: S,
    layer: ChaosLayer<F>,
}

impl<S, F> Chaos<S, F> {
    inner!("The service behind the faults.", S);

    fn fate(&self) -> Fate {
        let State { seed, calls, active } = &*self.layer.state;
        let number = calls.fetch_add(1, Relaxed);
        if !active.load(Relaxed) {
            return Fate::Well;
        }
        let Faults { hang, fail, lose, delay, .. } = self.layer.faults;
        let mut random = random_at(*seed, number);
        for (share, fate) in
            [(hang, Fate::Hang), (fail, Fate::Fail), (lose, Fate::Lose), (delay, Fate::Delay)]
        {
            if random < share {
                return fate;
            }
            random -= share;
        }
        Fate::Well
    }
}

/// A number in [0, 1) for the n-th call: the n-th value of SplitMix64.
fn random_at(seed: u64, number: u64) -> f64 {
    let mut bits = seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

impl<S, F, Req> Service<Req> for Chaos<S, F>
where
    S: Service<Req>,
    F: ErrorsOf<S, Req> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ChaosFuture<S::Future, F>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, req: Req) -> Self::Future {
        let fate = self.fate();
        let late = (fate == Fate::Delay).then(|| sleep(self.layer.faults.by));
        let call = (!matches!(fate, Fate::Hang | Fate::Fail)).then(|| self.inner.call(req));
        ChaosFuture { call, late, fate, error: self.layer.error.clone() }
    }
}

/// Response future of [`Chaos`].
#[pin_project]
#[derive(Debug)]
pub struct ChaosFuture<C, F> {
    /// `None` if the service is not called.
    #[pin]
    call: Option<C>,
    #[pin]
    late: Option<Sleep>,
    fate: Fate,
    error: F,
}

impl<C, F, T, E> Future for ChaosFuture<C, F>
where
    C: Future<Output = Result<T, E>>,
    F: Fn() -> E,
{
    type Output = C::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<C::Output> {
        let mut me = self.project();
        if let Some(late) = me.late.as_mut().as_pin_mut() {
            ready!(late.poll(cx));
            me.late.set(None);
        }
        match me.call.as_pin_mut() {
            Some(call) => {
                let result = ready!(call.poll(cx));
                Poll::Ready(if *me.fate == Fate::Lose {
                    result.and_then(|_| Err((me.error)()))
                } else {
                    result
                })
            }
            None if *me.fate == Fate::Fail => Poll::Ready(Err((me.error)())),
            // Never answered, and never woken: only a limit ends it.
            None => Poll::Pending,
        }
    }
}
