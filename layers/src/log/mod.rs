//! One event a call, and one line when another path takes over.

mod future;
mod gate;
mod layer;
mod record;
mod switch;
mod trouble;

pub use self::{
    future::LogFuture,
    layer::LogLayer,
    switch::{Parts, Switch, SwitchFuture, SwitchLayer, Whole},
    trouble::{More, Past, Trouble},
};

use self::record::Record;
use crate::{ByError, Classifier, Label};
use std::{
    fmt::Display,
    task::{Context, Poll},
};
use tower_service::Service;

/// The `tracing` target of all events of this crate, for filters: `RUST_LOG=rosey_layers=debug`.
pub const TARGET: &str = "rosey_layers";

/// Logs one event for every call, when it has ended.
///
/// | what happened | a path's log | the outermost log ([`LogLayer::last`]) |
/// |---|---|---|
/// | success | `DEBUG [NATS] user_joined ok` | nothing |
/// | error | `DEBUG [NATS] user_joined failed: …`: it may be rerouted yet | `ERROR` |
/// | time-out, and errors of the class `Backend` | `WARN [NATS] user_joined timed out: …` | `ERROR` |
/// | dropped before the end | `DEBUG [NATS] user_joined cancelled` | `DEBUG` |
///
/// Fields: `id`; `took`, the time the call took; for errors `class`. The text begins with the tag, the target is
/// [`TARGET`].
///
/// **Many of them.** Warnings and errors that repeat are counted, class by class (see [`Trouble`]): the first one is said,
/// then one in 10 s with the number of those before it, and when it is over what is left: `WARN [NATS] 2047 more
/// operations timed out, in 2.1 s`. The others are events of the level `DEBUG`. That it is over is seen by the next call that
/// ends in anything else, be it an error of an open circuit; a success that came without waiting does not look.
///
/// *Cost*: where none of its events is enabled, a call reads no clock and does not ask for the request's id. With only
/// warnings or errors enabled the id is kept, and the clock is read only by a call that has to wait: `took` is then
/// missing from errors that came at once. While there is trouble, and until it is over, each call that looks reads the clock
/// once more and tries a lock for each kind of trouble; it waits for none, and allocates nothing. *Errors* pass through. *Drop*: drops the inner future, and is logged.
#[derive(Clone, Debug)]
pub struct Log<S, C = ByError> {
    inner: S,
    layer: LogLayer<C>,
}

impl<S, C> Log<S, C> {
    /// The service whose calls are logged.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S, C, Req> Service<Req> for Log<S, C>
where
    S: Service<Req>,
    S::Error: Display,
    Req: Label,
    C: Classifier<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = LogFuture<S::Future, Req::Id, C>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline(always)]
    fn call(&mut self, req: Req) -> Self::Future {
        let record = Record::begin(&self.layer.account, &req);
        let classifier = self.layer.classifier.clone();
        LogFuture::new(self.inner.call(req), record, classifier)
    }
}
