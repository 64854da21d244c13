//! Test doubles.
#![allow(dead_code, unreachable_pub)]

pub mod events;
pub mod strict;

use eitherway_layers::{
    ChaosLayer, Class, Classify, Elapsed, Label, ServedBy, breaker::Rejected, bulkhead::Full,
};
use std::{fmt, future::ready};
use tower::{Layer, Service, service_fn};

/// A request with an id and a choice of two operations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Req {
    pub id: u64,
    pub write: bool,
}

pub const fn read(id: u64) -> Req {
    Req { id, write: false }
}

pub const fn write(id: u64) -> Req {
    Req { id, write: true }
}

impl Label for Req {
    const LABELS: &'static [&'static str] = &["read", "write"];
    type Id = u64;
    fn label(&self) -> usize {
        usize::from(self.write)
    }
    fn id(&self) -> u64 {
        self.id
    }
}

/// The path that served, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via(pub usize);

impl ServedBy for Via {
    fn served_by(&self) -> &'static str {
        ["[NATS]", "[DB]", "[OUTBOX]"][self.0]
    }
}

/// One error type for a whole stack, as in an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    Of(Class),
    Elapsed(Elapsed),
    Open(Rejected),
    Full(Full),
}

impl From<Full> for Error {
    fn from(full: Full) -> Self {
        Self::Full(full)
    }
}

impl From<Elapsed> for Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::Elapsed(elapsed)
    }
}

impl From<Rejected> for Error {
    fn from(rejected: Rejected) -> Self {
        Self::Open(rejected)
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Self::Of(class) => *class,
            Self::Elapsed(elapsed) => elapsed.class(),
            Self::Open(rejected) => rejected.class(),
            Self::Full(full) => full.class(),
        }
    }
    fn is_timeout(&self) -> bool {
        matches!(self, Self::Elapsed(_))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(class) => class.fmt(f),
            Self::Elapsed(elapsed) => elapsed.fmt(f),
            Self::Open(rejected) => rejected.fmt(f),
            Self::Full(full) => full.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

/// No faults until they are set; a call that fails leaves it unknown what happened.
pub fn chaos() -> ChaosLayer<fn() -> Error> {
    ChaosLayer::new(1, (|| Error::Of(Class::Unknown)) as fn() -> Error)
}

/// Answers no call.
pub fn silent() -> impl Service<Req, Response = Via, Error = Error, Future: Send> + Clone + Send + Sync {
    chaos().hang(1.0).layer(service_fn(|_: Req| ready(Ok(Via(0)))))
}

/// The error of tower's mock when it is told to fail.
impl From<tower::BoxError> for Error {
    fn from(error: tower::BoxError) -> Self {
        error.downcast().map_or(Self::Of(Class::Unknown), |error| *error)
    }
}
