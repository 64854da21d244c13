//! The forms of functions that can be registered as a handler, synchronous and asynchronous, and what they return.

use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::bot::context::Context;
use crate::bot::event::Event;

/// Any error of a handler.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Whether the handlers after this one see the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// The handlers after this one run.
    #[default]
    Continue,
    /// The handlers after this one do not run.
    Stop,
}

/// The result of a handler.
pub type Outcome = Result<Propagation, BoxError>;

/// What a handler may return: `()`, [`Propagation`], or a `Result` of either.
pub trait IntoOutcome {
    /// Converts the return value into an outcome.
    ///
    /// # Errors
    /// The handler's own error.
    fn into_outcome(self) -> Outcome;
}

/// A function that handles events: `fn(Context<S>, Arc<Event>) -> R`, or the same `async`, where `R` is `()`,
/// a [`Propagation`] or a `Result` of either.
///
/// `M` only distinguishes the two forms; the compiler infers it. A synchronous handler must not block: it
/// runs in the task that reads the channel.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a handler",
    note = "a handler is `fn(Context<S>, Arc<Event>) -> R` or `async fn` of the same, and `R` is `()`, `Propagation` or a \
            `Result` of either"
)]
pub trait Handler<S, M>: Send + Sync + 'static {
    /// Handles one event: immediately, or in the returned future.
    fn call(&self, bot: Context<S>, event: Arc<Event>) -> Call;
}

/// The result of calling a handler.
pub enum Call {
    /// The handler has finished.
    Done(Outcome),
    /// The handler finishes when this future completes. Dropping the future abandons the handler where it
    /// waits.
    Pending(BoxFuture<'static, Outcome>),
}

/// Markers of the forms of handlers, for [`Handler`].
pub mod form {
    /// A function that returns its outcome.
    #[derive(Debug)]
    pub struct Synchronous;
    /// A function that returns a future of its outcome.
    #[derive(Debug)]
    pub struct Asynchronous;
}

impl<S, F, R> Handler<S, form::Synchronous> for F
where
    F: Fn(Context<S>, Arc<Event>) -> R + Send + Sync + 'static,
    R: IntoOutcome,
{
    fn call(&self, bot: Context<S>, event: Arc<Event>) -> Call {
        Call::Done(self(bot, event).into_outcome())
    }
}

impl<S, F, R> Handler<S, form::Asynchronous> for F
where
    F: Fn(Context<S>, Arc<Event>) -> R + Send + Sync + 'static,
    R: Future<Output: IntoOutcome> + Send + 'static,
{
    fn call(&self, bot: Context<S>, event: Arc<Event>) -> Call {
        Call::Pending(self(bot, event).map(IntoOutcome::into_outcome).boxed())
    }
}

/// A handler of either form, with its name.
pub(super) struct Registered<S> {
    pub(super) name: &'static str,
    pub(super) call: Box<dyn Fn(Context<S>, Arc<Event>) -> Call + Send + Sync>,
}

impl<S: 'static> Registered<S> {
    pub(super) fn new<M, H: Handler<S, M>>(handler: H) -> Self {
        Self { name: std::any::type_name::<H>(), call: Box::new(move |bot, event| handler.call(bot, event)) }
    }
}

impl IntoOutcome for () {
    fn into_outcome(self) -> Outcome {
        Ok(Propagation::Continue)
    }
}

impl IntoOutcome for Propagation {
    fn into_outcome(self) -> Outcome {
        Ok(self)
    }
}

impl<T, E> IntoOutcome for Result<T, E>
where
    T: IntoOutcome,
    E: Into<BoxError>,
{
    fn into_outcome(self) -> Outcome {
        self.map_err(Into::into)?.into_outcome()
    }
}
