use super::{shared::Shared, state::State};
use crate::held::Held;
use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

/// A handle to watch and operate a circuit. Its clones, the layer and all its services share the circuit.
///
/// ```
/// use eitherway_layers::{BreakerLayer, breaker::State};
///
/// let handle = BreakerLayer::default().handle();
/// handle.set_healthy(false);
/// assert_eq!(handle.state(), State::OpenUntilHealthy);
/// handle.force_closed();
/// handle.set_healthy(false); // ignored: the operator's decision has precedence
/// assert_eq!(handle.state(), State::ForcedClosed);
/// handle.reset();
/// assert_eq!(handle.state(), State::Closed);
/// ```
#[derive(Clone, Debug)]
pub struct Handle {
    shared: Held<Shared>,
}

impl Handle {
    pub(super) const fn new(shared: Held<Shared>) -> Self {
        Self { shared }
    }

    /// The current state. An open circuit whose back-off has elapsed stays [`State::Open`] until the next
    /// call.
    pub fn state(&self) -> State {
        self.shared.state.load().state
    }

    /// Watches for changes of the state, from now on.
    pub fn watch(&self) -> Watch {
        Watch { seen: self.shared.state.load().generation, shared: self.shared.clone(), key: None }
    }

    /// Opens the circuit as failures do, with the configured back-off: for a caller that knows by other means
    /// that the service does not answer, as [`Pace`](crate::hedge::Pace) does. A half-open circuit opens
    /// again; one that is open or forced stays as it is.
    ///
    /// ```
    /// use eitherway_layers::{BreakerLayer, breaker::State};
    ///
    /// let handle = BreakerLayer::default().handle();
    /// handle.trip();
    /// assert_eq!(handle.state(), State::Open);
    /// ```
    pub fn trip(&self) {
        self.shared.change(self.shared.opened(), |now| matches!(now.state, State::Closed | State::HalfOpen));
    }

    /// Takes a trip back, because an answer has come after all.
    #[cfg(feature = "hedge")]
    pub(crate) fn answered(&self) {
        let tripped = self.shared.opened();
        self.shared.change(State::Closed, |now| now.state == tripped || now.state == State::HalfOpen);
    }

    /// Rejects every call until [`reset`](Self::reset) or [`force_closed`](Self::force_closed).
    pub fn force_open(&self) {
        self.shared.change(State::ForcedOpen, |now| now.state != State::ForcedOpen);
    }

    /// Lets every call pass, whatever its outcome, until [`reset`](Self::reset) or
    /// [`force_open`](Self::force_open).
    pub fn force_closed(&self) {
        self.shared.change(State::ForcedClosed, |now| now.state != State::ForcedClosed);
    }

    /// Closes the circuit and forgets all outcomes, whatever the state was.
    pub fn reset(&self) {
        self.shared.change(State::Closed, |_| true);
    }

    /// Reports the result of an external health check: `true` closes the circuit, `false` holds it open until
    /// the service is healthy. Repeating the same signal changes nothing; a forced circuit ignores it.
    pub fn set_healthy(&self, healthy: bool) {
        if healthy {
            self.shared.change(State::Closed, |now| {
                matches!(now.state, State::Open | State::HalfOpen | State::OpenUntilHealthy)
            });
        } else {
            self.shared.change(State::OpenUntilHealthy, |now| {
                matches!(now.state, State::Closed | State::Open | State::HalfOpen)
            });
        }
    }
}

/// Watches for changes of a circuit's state. No change is missed, but several at once are reported as the
/// last one.
///
/// ```
/// use eitherway_layers::{BreakerLayer, breaker::State};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let handle = BreakerLayer::default().handle();
/// let mut watch = handle.watch();
/// handle.force_open();
/// assert_eq!(watch.changed().await, State::ForcedOpen);
/// # }
/// ```
#[derive(Debug)]
pub struct Watch {
    shared: Held<Shared>,
    seen: u32,
    key: Option<usize>,
}

impl Watch {
    /// Waits until the state has changed since it was last reported. Cancel safe: a change that was not
    /// reported is reported next time.
    pub const fn changed(&mut self) -> Changed<'_> {
        Changed { watch: self }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.waiters.release(&mut self.key);
    }
}

/// Future of [`Watch::changed`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Changed<'a> {
    watch: &'a mut Watch,
}

impl Future for Changed<'_> {
    type Output = State;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<State> {
        let Watch { shared, seen, key } = &mut *self.watch;
        // CORRECTNESS: registered before the check, so a change after the check wakes this task.
        shared.waiters.register(key, cx.waker());
        let now = shared.state.load();
        if now.generation == *seen {
            return Poll::Pending;
        }
        *seen = now.generation;
        Poll::Ready(now.state)
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        self.watch.shared.waiters.release(&mut self.watch.key);
    }
}
