use crate::{Class, Classify};
use std::time::Duration;

/// How far a request may be repeated on another path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Repeat {
    /// Never once it was given to a service. No copy of it is made.
    Never,
    /// Only after an error that says that the request was not carried anywhere ([`Class::was_not_carried`]).
    IfNotSent,
    /// Always: it is idempotent.
    Always,
}

/// What becomes of a request while the primary is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unready {
    /// It waits, without a limit.
    Wait,
    /// It goes around the primary at once.
    Reroute,
    /// It waits this long, then goes around the primary. Needs a tokio runtime with its timer enabled.
    After(Duration),
}

/// Decides which requests go to the secondary.
///
/// A closure is a policy too: it sees the kept request and the result, reroutes where it says `true`, and repeats
/// whatever can be cloned.
///
/// ```
/// use rosey_layers::Fallback;
/// use std::convert::Infallible;
/// use tower::{ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// // An empty answer of the cache is a reason to ask the origin.
/// let cache = service_fn(async |_: u32| Ok::<_, Infallible>(None));
/// let origin = service_fn(async |key: u32| Ok::<_, Infallible>(Some(key * 2)));
/// let on_miss = |_: &u32, result: &Result<Option<u32>, Infallible>| matches!(result, Ok(None));
///
/// let answer = Fallback::new(cache, origin, on_miss).oneshot(21).await;
/// assert_eq!(answer.unwrap(), Some(42));
/// # }
/// ```
pub trait Policy<Req, Res, Err> {
    /// A copy of the request, for the secondary. `None` when this request must not be repeated: whatever the primary
    /// says is then final.
    fn keep(&self, req: &Req) -> Option<Req>;

    /// Whether the secondary shall serve the request after this result of the primary. Asked only when a copy was kept;
    /// `req` is that copy.
    fn reroute(&self, req: &Req, result: &Result<Res, Err>) -> bool;

    /// Called when a request goes to the secondary because of this result: of the call, or (an error, then) of the
    /// primary's readiness.
    fn rerouted(&self, req: &Req, result: &Result<Res, Err>) {
        let _ = (req, result);
    }

    /// Called when a request goes to the secondary because the primary was not ready in time.
    fn went_around(&self, req: &Req) {
        let _ = req;
    }

    /// What becomes of requests while the primary is not ready. They were not given to it yet, so going around it
    /// repeats nothing and is allowed to all of them. By default they wait [`PATIENCE`](ByClass::PATIENCE).
    fn unready(&self) -> Unready {
        Unready::After(ByClass::PATIENCE)
    }
}

impl<Req: Clone, Res, Err, F> Policy<Req, Res, Err> for F
where
    F: Fn(&Req, &Result<Res, Err>) -> bool,
{
    fn keep(&self, req: &Req) -> Option<Req> {
        Some(req.clone())
    }

    fn reroute(&self, req: &Req, result: &Result<Res, Err>) -> bool {
        self(req, result)
    }
}

/// How far one request may be repeated. Implemented by [`Repeat`] (the same for all) and by closures over the request.
pub trait RepeatRule<Req> {
    /// How far this request may be repeated.
    fn repeat(&self, req: &Req) -> Repeat;
}

impl<Req> RepeatRule<Req> for Repeat {
    fn repeat(&self, _: &Req) -> Repeat {
        *self
    }
}

impl<Req, F: Fn(&Req) -> Repeat> RepeatRule<Req> for F {
    fn repeat(&self, req: &Req) -> Repeat {
        self(req)
    }
}

/// The default policy: repeats every request, after errors of every [`Class`] except [`Class::Rejected`].
///
/// ```
/// use rosey_layers::{Class, fallback::{ByClass, Repeat, Unready}};
/// use std::time::Duration;
///
/// struct Order { id: u64, cash: bool }
///
/// let policy = ByClass::new()
///     .repeat(|order: &Order| if order.cash { Repeat::IfNotSent } else { Repeat::Always })
///     .except(Class::Backend)
///     .unready(Unready::After(Duration::from_millis(20)));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ByClass<R = Repeat> {
    repeat: R,
    /// Bit `1 << class` is set where errors of this class reroute.
    classes: u8,
    unready: Unready,
}

const fn bit(class: Class) -> u8 {
    1 << class as u8
}

impl ByClass {
    /// How long a request waits for a primary that is not ready, by default: longer than a moment of back-pressure,
    /// shorter than anybody notices.
    pub const PATIENCE: Duration = Duration::from_millis(100);

    /// The default policy.
    pub const fn new() -> Self {
        let classes = bit(Class::NotSent) | bit(Class::TooLarge) | bit(Class::Backend) | bit(Class::Unknown);
        Self { repeat: Repeat::Always, classes, unready: Unready::After(Self::PATIENCE) }
    }
}

impl Default for ByClass {
    fn default() -> Self {
        Self::new()
    }
}

impl<R> ByClass<R> {
    /// How far requests may be repeated: a [`Repeat`] for all, or a closure over the request.
    pub fn repeat<R2>(self, repeat: R2) -> ByClass<R2> {
        ByClass { repeat, classes: self.classes, unready: self.unready }
    }

    /// Errors of this class do not reroute.
    pub fn except(mut self, class: Class) -> Self {
        self.classes &= !bit(class);
        self
    }

    /// What becomes of requests while the primary is not ready.
    pub fn unready(mut self, unready: Unready) -> Self {
        self.unready = unready;
        self
    }
}

impl<Req, Res, Err, R> Policy<Req, Res, Err> for ByClass<R>
where
    Req: Clone,
    Err: Classify,
    R: RepeatRule<Req>,
{
    fn keep(&self, req: &Req) -> Option<Req> {
        match self.repeat.repeat(req) {
            Repeat::Never => None,
            Repeat::IfNotSent | Repeat::Always => Some(req.clone()),
        }
    }

    fn reroute(&self, req: &Req, result: &Result<Res, Err>) -> bool {
        let Err(error) = result else { return false };
        let class = error.class();
        self.classes & bit(class) != 0
            && match self.repeat.repeat(req) {
                Repeat::Never => false,
                Repeat::IfNotSent => class.was_not_carried(),
                Repeat::Always => true,
            }
    }

    fn unready(&self) -> Unready {
        self.unready
    }
}
