use crate::{ByError, Class, Classifier, Failure};
use std::time::Duration;

/// How far a request may be repeated on another path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Idempotency {
    /// Never once it was given to a service. No copy of it is made.
    Never,
    /// Only after an error which says that the request was not carried anywhere ([`Class::was_not_carried`]).
    IfNotSent,
    /// Always: the request is idempotent.
    Always,
}

/// What happens to a request while the primary is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unready {
    /// The request waits, without a limit.
    Wait,
    /// The request bypasses the primary at once.
    Reroute,
    /// The request waits this long, then bypasses the primary. Needs a tokio runtime with its timer enabled.
    After(Duration),
}

/// Decides which requests go to the secondary.
///
/// A closure is a policy too: it receives the kept request and the result, and reroutes where it returns
/// `true`. Every request is kept, as a clone.
///
/// ```
/// use eitherway_layers::Fallback;
/// use std::convert::Infallible;
/// use tower::{ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // If the cache has no value, ask the origin.
/// let cache = service_fn(async |_: u32| Ok::<_, Infallible>(None));
/// let origin = service_fn(async |key: u32| Ok::<_, Infallible>(Some(key * 2)));
/// let on_miss = |_: &u32, result: &Result<Option<u32>, Infallible>| matches!(result, Ok(None));
///
/// let answer = Fallback::new(cache, origin, on_miss).oneshot(21).await;
/// assert_eq!(answer.unwrap(), Some(42));
/// # }
/// ```
pub trait Policy<Req, Res, Err> {
    /// Returns a copy of the request for the secondary, or `None` if this request must not be repeated: the
    /// primary's result is then final. It may change the request that the primary gets, to make its body one that can
    /// be replayed.
    fn keep(&self, req: &mut Req) -> Option<Req>;

    /// Whether the secondary serves the request after this result of the primary. Called only if a copy was
    /// kept; `req` is that copy.
    fn reroute(&self, req: &Req, result: &Result<Res, Err>) -> bool;

    /// Called when a request goes to the secondary because of this result: of the call, or of the primary's
    /// `poll_ready`, in which case it is an error.
    fn rerouted(&self, req: &Req, result: &Result<Res, Err>) {
        let _ = (req, result);
    }

    /// Called when a request goes to the secondary because the primary was not ready in time.
    fn bypassed(&self, req: &Req) {
        let _ = req;
    }

    /// Whether this request may run on both paths at once, because it is idempotent. Asked by
    /// [`Hedge`](crate::Hedge) before it starts the secondary beside the primary; by default it may not.
    fn may_overlap(&self, req: &Req) -> bool {
        let _ = req;
        false
    }

    /// Called when [`Hedge`](crate::Hedge) sends a request to the secondary while the primary still runs.
    fn hedged(&self, req: &Req) {
        let _ = req;
    }

    /// What happens to requests while the primary is not ready. The primary has not received them yet, so
    /// bypassing it repeats nothing and is allowed for all of them. By default they wait
    /// [`PATIENCE`](ByClass::PATIENCE).
    fn unready(&self) -> Unready {
        Unready::After(ByClass::PATIENCE)
    }

    /// How long a request waits for a secondary that is not ready; then it fails with
    /// [`FallbackError::NotReady`](super::FallbackError::NotReady). `None`: without a limit. By default
    /// [`SECONDARY_PATIENCE`](ByClass::SECONDARY_PATIENCE).
    fn patience(&self) -> Option<Duration> {
        Some(ByClass::SECONDARY_PATIENCE)
    }
}

impl<Req: Clone, Res, Err, F> Policy<Req, Res, Err> for F
where
    F: Fn(&Req, &Result<Res, Err>) -> bool,
{
    fn keep(&self, req: &mut Req) -> Option<Req> {
        Some(req.clone())
    }

    fn reroute(&self, req: &Req, result: &Result<Res, Err>) -> bool {
        self(req, result)
    }
}

/// How far one request may be repeated, and how it is copied. Implemented by [`Idempotency`] (the same for all) and by
/// closures, for requests that are `Clone`; and by [`AtMostOnce`].
///
/// ```
/// use eitherway_layers::fallback::{ByClass, Idempotency, IdempotencyRule};
///
/// /// Its body can be sent once, unless it is in memory.
/// struct Upload(Option<Vec<u8>>);
///
/// struct InMemory;
/// impl IdempotencyRule<Upload> for InMemory {
///     fn repeat(&self, upload: &Upload) -> Idempotency {
///         if upload.0.is_some() { Idempotency::Always } else { Idempotency::Never }
///     }
///     fn copy(&self, upload: &mut Upload) -> Option<Upload> {
///         upload.0.clone().map(|bytes| Upload(Some(bytes)))
///     }
/// }
/// let policy = ByClass::new().repeat(InMemory);
/// ```
pub trait IdempotencyRule<Req> {
    /// How far this request may be repeated.
    fn repeat(&self, req: &Req) -> Idempotency;

    /// A copy of this request, which may be changed so that there can be one. `None`: it is not repeated. Not called
    /// for requests of [`Idempotency::Never`].
    fn copy(&self, req: &mut Req) -> Option<Req>;
}

impl<Req: Clone> IdempotencyRule<Req> for Idempotency {
    fn repeat(&self, _: &Req) -> Idempotency {
        *self
    }

    fn copy(&self, req: &mut Req) -> Option<Req> {
        Some(req.clone())
    }
}

impl<Req: Clone, F: Fn(&Req) -> Idempotency> IdempotencyRule<Req> for F {
    fn repeat(&self, req: &Req) -> Idempotency {
        self(req)
    }

    fn copy(&self, req: &mut Req) -> Option<Req> {
        Some(req.clone())
    }
}

/// [`Idempotency::Never`], also for requests that are not `Clone`: they go to the secondary only where the primary
/// was not ready for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtMostOnce;

impl<Req> IdempotencyRule<Req> for AtMostOnce {
    fn repeat(&self, _: &Req) -> Idempotency {
        Idempotency::Never
    }

    fn copy(&self, _: &mut Req) -> Option<Req> {
        None
    }
}

/// The default policy: repeats every request, after errors of every [`Class`] except [`Class::Rejected`].
///
/// ```
/// use eitherway_layers::{Class, fallback::{ByClass, Idempotency, Unready}};
/// use std::time::Duration;
///
/// struct Order { id: u64, cash: bool }
///
/// let policy = ByClass::new()
///     .repeat(|order: &Order| if order.cash { Idempotency::IfNotSent } else { Idempotency::Always })
///     .except(Class::Backend)
///     .unready(Unready::After(Duration::from_millis(20)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ByClass<R = Idempotency, C = ByError> {
    repeat: R,
    classifier: C,
    /// Bit `1 << class` is set if errors of this class reroute.
    classes: u8,
    unready: Unready,
    patience: Option<Duration>,
}

const fn bit(class: Class) -> u8 {
    1 << class as u8
}

impl ByClass {
    /// How long a request waits by default for a primary that is not ready: longer than short back-pressure,
    /// and too short for a user to notice.
    pub const PATIENCE: Duration = Duration::from_millis(100);

    /// How long a request waits by default for a secondary that is not ready: longer than for the primary, because a
    /// request has nowhere else to go, unless there is a third path.
    pub const SECONDARY_PATIENCE: Duration = Duration::from_secs(1);

    /// The default policy.
    pub const fn new() -> Self {
        let classes = bit(Class::NotSent) | bit(Class::TooLarge) | bit(Class::Backend) | bit(Class::Unknown);
        Self {
            repeat: Idempotency::Always,
            classifier: ByError,
            classes,
            unready: Unready::After(Self::PATIENCE),
            patience: Some(Self::SECONDARY_PATIENCE),
        }
    }
}

impl Default for ByClass {
    fn default() -> Self {
        Self::new()
    }
}

impl<R, C> ByClass<R, C> {
    /// Sets how far requests may be repeated: an [`Idempotency`] for all, a closure over the request, or
    /// [`AtMostOnce`].
    pub fn repeat<R2>(self, repeat: R2) -> ByClass<R2, C> {
        let Self { classifier, classes, unready, patience, .. } = self;
        ByClass { repeat, classifier, classes, unready, patience }
    }

    /// Sets what counts as a failure: a [`Classifier`], or a closure over the result. For errors of another crate, and
    /// for failures that are responses.
    pub fn classify_by<C2>(self, classifier: C2) -> ByClass<R, C2> {
        let Self { repeat, classes, unready, patience, .. } = self;
        ByClass { repeat, classifier, classes, unready, patience }
    }

    /// Does not reroute after errors of this class.
    pub fn except(mut self, class: Class) -> Self {
        self.classes &= !bit(class);
        self
    }

    /// Sets what happens to requests while the primary is not ready.
    pub fn unready(mut self, unready: Unready) -> Self {
        self.unready = unready;
        self
    }

    /// Sets how long a request waits for a secondary that is not ready; `None`: without a limit.
    pub fn patience(mut self, patience: Option<Duration>) -> Self {
        self.patience = patience;
        self
    }
}

impl<Req, Res, Err, R, C> Policy<Req, Res, Err> for ByClass<R, C>
where
    R: IdempotencyRule<Req>,
    C: Classifier<Res, Err>,
{
    fn keep(&self, req: &mut Req) -> Option<Req> {
        match self.repeat.repeat(req) {
            Idempotency::Never => None,
            Idempotency::IfNotSent | Idempotency::Always => self.repeat.copy(req),
        }
    }

    fn reroute(&self, req: &Req, result: &Result<Res, Err>) -> bool {
        let Some(Failure { class, .. }) = self.classifier.failure(result) else { return false };
        self.classes & bit(class) != 0
            && match self.repeat.repeat(req) {
                Idempotency::Never => false,
                Idempotency::IfNotSent => class.was_not_carried(),
                Idempotency::Always => true,
            }
    }

    fn may_overlap(&self, req: &Req) -> bool {
        self.repeat.repeat(req) == Idempotency::Always
    }

    fn unready(&self) -> Unready {
        self.unready
    }

    fn patience(&self) -> Option<Duration> {
        self.patience
    }
}
