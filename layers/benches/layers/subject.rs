//! The service that every row of the benches is about: it is ready and answers at once.

use std::fmt;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::Pin;
use std::task::{Context, Poll};

use eitherway_layers::{Class, Classify, Elapsed, Label, ServedBy, breaker};
use tower::{Service, service_fn};

#[derive(Clone, Debug)]
pub(crate) struct Req(pub(crate) u64);

impl Label for Req {
    const LABELS: &'static [&'static str] = &["read"];
    type Id = u64;
    fn label(&self) -> usize {
        0
    }
    fn id(&self) -> u64 {
        self.0
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Res(usize);

impl ServedBy for Res {
    fn served_by(&self) -> &'static str {
        ["[NATS]", "[DB]"][self.0]
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Error {
    Down,
    Open(breaker::Rejected),
    Elapsed(Elapsed),
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::Down => Class::Backend,
            Self::Open(rejected) => rejected.class(),
            Self::Elapsed(elapsed) => elapsed.class(),
        }
    }
}

impl From<Elapsed> for Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::Elapsed(elapsed)
    }
}

impl From<breaker::Rejected> for Error {
    fn from(rejected: breaker::Rejected) -> Self {
        Self::Open(rejected)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Error {}

type Answer = Result<Res, Error>;

pub(crate) fn leaf(
    answer: Answer,
) -> impl Service<Req, Response = Res, Error = Error, Future = Ready<Answer>> + Clone + Send + Sync {
    service_fn(move |req: Req| {
        black_box(req);
        ready(answer)
    })
}

pub(crate) fn works()
-> impl Service<Req, Response = Res, Error = Error, Future = Ready<Answer>> + Clone + Send + Sync {
    leaf(Ok(Res(0)))
}

pub(crate) fn fails()
-> impl Service<Req, Response = Res, Error = Error, Future = Ready<Answer>> + Clone + Send + Sync {
    leaf(Err(Error::Down))
}

/// Answers in its second poll: the cheapest service that is pending.
pub(crate) fn yields() -> impl Service<Req, Response = Res, Error = Error, Future: Send> + Clone + Send + Sync
{
    service_fn(async |req: Req| {
        black_box(req);
        Yield(false).await;
        Ok::<_, Error>(Res(0))
    })
}

struct Yield(bool);

impl Future for Yield {
    type Output = ();
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
