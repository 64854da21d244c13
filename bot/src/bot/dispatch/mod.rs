//! The dispatcher: the handlers of each kind of event, and the rules by which they run.
//!
//! The handlers of one event run one after another, in the order of registration, synchronous and
//! asynchronous ones alike. A handler can stop those after it. An error or a panic in a handler is logged,
//! counted and raises [`Kind::Error`]; the remaining handlers still run, and the bot goes on. A failure while
//! an error is being handled is only logged.

mod handler;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use tracing::warn;

use super::context::Context;
use super::event::{Body, Event, Kind};
use super::failure_logs::FailureKind;
use handler::Registered;
pub use handler::{BoxError, Call, Handler, IntoOutcome, Outcome, Propagation, form};

/// The handlers of every kind of event.
///
/// ```
/// use std::sync::Arc;
/// use rosey::bot::{Body, Context, Dispatcher, Event, Propagation, Kind};
///
/// /// Asynchronous, and may fail.
/// async fn greet<S>(bot: Context<S>, event: Arc<Event>) -> Result<(), rosey::bot::Unsent> {
///     let Body::UserJoin { user, .. } = &event.body else { return Ok(()) };
///     bot.sender().say(&format!("Hello {user}")).await
/// }
///
/// /// Synchronous, and hides the bot's own lines from all later handlers.
/// fn quiet<S>(_: Context<S>, event: Arc<Event>) -> Propagation {
///     match &event.body {
///         Body::Message { user, .. } if user == "Rosey" => Propagation::Stop,
///         _ => Propagation::Continue,
///     }
/// }
///
/// let mut dispatcher = Dispatcher::<()>::new();
/// dispatcher.on(Kind::Message, quiet::<()>).on(Kind::UserJoin, greet::<()>);
/// ```
pub struct Dispatcher<S> {
    handlers: [Vec<Registered<S>>; Kind::COUNT],
}

impl<S: 'static> Default for Dispatcher<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: 'static> Dispatcher<S> {
    /// A dispatcher without handlers.
    pub fn new() -> Self {
        Self { handlers: std::array::from_fn(|_| Vec::new()) }
    }

    /// Adds a handler after the existing ones.
    pub fn on<M>(&mut self, kind: Kind, handler: impl Handler<S, M>) -> &mut Self {
        self.handlers[kind.index()].push(Registered::new(handler));
        self
    }

    /// Runs the handlers of an event. Synchronous handlers that are registered before the first asynchronous
    /// one run in the first poll.
    ///
    /// Dropping the future abandons the handler that is waiting, and the remaining handlers do not run.
    pub async fn dispatch(&self, bot: &Context<S>, event: Arc<Event>) {
        for handler in &self.handlers[event.kind().index()] {
            match run(handler, bot, &event).await {
                Ok(Propagation::Continue) => {}
                Ok(Propagation::Stop) => break,
                Err(failure) => self.raise(bot, &event, handler.name, failure).await,
            }
        }
    }

    /// Raises a failure to the handlers of [`Kind::Error`]. Failures of those handlers are only logged.
    async fn raise(&self, bot: &Context<S>, event: &Event, handler: &'static str, message: String) {
        if event.kind() == Kind::Error {
            return;
        }
        let error = Arc::new(Event::now(Body::Error { during: event.kind(), handler, message }));
        for handler in &self.handlers[Kind::Error.index()] {
            if let Ok(Propagation::Stop) = run(handler, bot, &error).await {
                break;
            }
        }
    }
}

impl<S> std::fmt::Debug for Dispatcher<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = |kind: &Kind| self.handlers[kind.index()].iter().map(|h| h.name).collect::<Vec<_>>();
        f.debug_map().entries(Kind::ALL.iter().map(|kind| (kind.as_str(), names(kind)))).finish()
    }
}

/// Runs one handler. A failure is logged and counted here, and returned as a sentence.
async fn run<S>(
    handler: &Registered<S>,
    bot: &Context<S>,
    event: &Arc<Event>,
) -> Result<Propagation, String> {
    // Unwind safety: a call that panicked is dropped and never resumed. State that it shares is behind locks,
    // and the locks of this crate ignore poisoning.
    let called =
        std::panic::catch_unwind(AssertUnwindSafe(|| (handler.call)(bot.clone(), Arc::clone(event))));
    let ended = match called {
        Ok(Call::Done(outcome)) => Ok(outcome),
        Ok(Call::Pending(future)) => AssertUnwindSafe(future).catch_unwind().await,
        Err(panic) => Err(panic),
    };
    match ended {
        Ok(Ok(flow)) => Ok(flow),
        Ok(Err(error)) => {
            let message = error.to_string();
            bot.progress().handler_error();
            if let Some(more) = bot.failures().record(FailureKind::Handler) {
                warn!(event = %event.kind(), handler = handler.name, "a handler failed: {message}{more}");
            }
            Err(message)
        }
        Err(panic) => {
            let message = panic_message(&*panic);
            bot.progress().handler_panic();
            if let Some(more) = bot.failures().record(FailureKind::Handler) {
                warn!(event = %event.kind(), handler = handler.name, "a handler panicked: {message}{more}");
            }
            Err(message)
        }
    }
}

/// The message of a panic.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text =
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without words").to_owned()
}
