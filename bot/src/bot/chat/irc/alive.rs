//! Whether the server is there: when it was heard last, and asked since.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::super::link::Ended;
use super::super::link::sender::State;

/// How long the server may be silent before it is asked, and then until it counts as gone.
const SILENT: Duration = Duration::from_secs(60);
const ANSWERS: Duration = Duration::from_secs(30);
/// The same where other bots may be in the channel, until it counts as unheard: one of them may hear it, and take over.
const SILENT_SHARED: Duration = Duration::from_secs(3);
const ANSWERS_SHARED: Duration = Duration::from_secs(3);

/// What is known of it. The sender is told while it is unheard.
pub(super) struct Alive {
    heard: Instant,
    asked: Option<Instant>,
    /// How long it may be silent before it is asked.
    silent: Duration,
    state: Arc<State>,
}

impl Alive {
    pub(super) fn new(state: Arc<State>, now: Instant) -> Self {
        let silent = if state.is_shared() { SILENT_SHARED } else { SILENT };
        Self { heard: now, asked: None, silent, state }
    }

    /// It is heard, or cannot be.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.heard, self.asked) = (now, None);
        self.state.silent.store(false, Ordering::Release);
    }

    /// When something is due.
    pub(super) fn next(&self) -> Instant {
        match self.asked {
            None => self.heard + self.silent,
            Some(asked) if self.state.is_shared() && !self.is_unheard() => asked + ANSWERS_SHARED,
            Some(asked) => asked + self.patience(),
        }
    }

    /// Whether it is to be asked now.
    ///
    /// # Errors
    /// It was silent for too long.
    pub(super) fn asks(&mut self, now: Instant) -> Result<bool, Ended> {
        let Some(asked) = self.asked else {
            let is_due = self.heard + self.silent <= now;
            self.asked = is_due.then_some(now);
            return Ok(is_due);
        };
        if asked + self.patience() <= now {
            return Err(Ended::Lost(format!("the server was silent for {:?}", SILENT + ANSWERS)));
        }
        if self.state.is_shared() && asked + ANSWERS_SHARED <= now {
            self.state.silent.store(true, Ordering::Release);
        }
        Ok(false)
    }

    /// How long after it was asked it counts as gone.
    fn patience(&self) -> Duration {
        SILENT + ANSWERS - self.silent
    }

    fn is_unheard(&self) -> bool {
        self.state.silent.load(Ordering::Acquire)
    }
}

impl Drop for Alive {
    /// The connection has ended, which is told in another way.
    fn drop(&mut self) {
        self.state.silent.store(false, Ordering::Release);
    }
}
