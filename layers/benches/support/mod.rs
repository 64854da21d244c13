//! What every bench of a layer needs: a request, a service that answers at once, and a loop around one call.
#![allow(dead_code)] // each bench uses a part of it

use criterion::{BenchmarkGroup, measurement::WallTime};
use eitherway_layers::{
    BreakerLayer, Class, Classify, Elapsed, FallbackExt, Label, LogLayer, MetricsLayer, ServedBy,
    SwitchLayer, TimeoutLayer, breaker,
};
use std::{
    fmt,
    future::{Future, Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use tower::{Service, ServiceBuilder, service_fn};

pub(crate) const LIMIT: Duration = Duration::from_secs(2);

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
pub(crate) struct Res(pub(crate) usize);

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

pub(crate) type Answer = Result<Res, Error>;

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

/// Sends one request over a fresh clone. A service that yields is polled until it answers.
pub(crate) fn once<S: Service<Req> + Clone>(service: &S, req: Req) -> Result<S::Response, S::Error> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut service = service.clone();
    loop {
        match service.poll_ready(&mut cx) {
            Poll::Ready(Ok(())) => break,
            Poll::Ready(Err(error)) => return Err(error),
            Poll::Pending => {}
        }
    }
    let mut call = pin!(service.call(req));
    loop {
        if let Poll::Ready(result) = call.as_mut().poll(&mut cx) {
            return result;
        }
    }
}

pub(crate) fn measure<S: Service<Req> + Clone>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    service: S,
) {
    group.bench_function(name, |bencher| {
        let mut id = 0;
        bencher.iter(|| {
            id += 1;
            black_box(once(&service, black_box(Req(id))).is_ok())
        });
    });
}

/// The standard stack without metrics, over two services.
pub(crate) fn standard<A, B>(first: A, second: B) -> impl Service<Req, Response = Res> + Clone
where
    A: Service<Req, Response = Res, Error = Error> + Clone,
    B: Service<Req, Response = Res, Error = Error> + Clone,
{
    let timeout = TimeoutLayer::new(LIMIT);
    let second = ServiceBuilder::new()
        .layer(LogLayer::new("[DB]"))
        .layer(MetricsLayer::disabled())
        .layer(timeout)
        .service(second);
    let first = ServiceBuilder::new()
        .layer(LogLayer::new("[NATS]"))
        .layer(MetricsLayer::disabled())
        .layer(BreakerLayer::default())
        .layer(timeout)
        .service(first);
    ServiceBuilder::new()
        .layer(SwitchLayer::new())
        .layer(LogLayer::new("[TOTAL]").last())
        .layer(MetricsLayer::disabled())
        .service(first.fallback_to(second))
}
