//! A service that checks the contract between a service and its caller.

use super::{Error, Req, Via};
use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tower::Service;

/// What happened to a [`Strict`] and all its clones.
#[derive(Debug, Default)]
pub struct Ledger {
    calls: AtomicUsize,
    unready_calls: AtomicUsize,
    clones: AtomicUsize,
    polls: AtomicUsize,
}

impl Ledger {
    pub fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }
    /// Calls to an instance that had not returned ready.
    pub fn violations(&self) -> usize {
        self.unready_calls.load(SeqCst)
    }
    pub fn clones(&self) -> usize {
        self.clones.load(SeqCst)
    }
    pub fn polls(&self) -> usize {
        self.polls.load(SeqCst)
    }
}

/// Each instance is ready for one call only after two polls of `poll_ready`; a clone starts anew.
#[derive(Debug)]
pub struct Strict {
    ledger: Arc<Ledger>,
    asked: u8,
    panics: bool,
    answer: Result<Via, Error>,
}

impl Strict {
    /// Counts violations.
    pub fn counting(answer: Result<Via, Error>) -> (Self, Arc<Ledger>) {
        let ledger = Arc::new(Ledger::default());
        (Self { ledger: Arc::clone(&ledger), asked: 0, panics: false, answer }, ledger)
    }

    /// Panics on the first violation.
    pub fn panicking(answer: Result<Via, Error>) -> Self {
        Self { panics: true, ..Self::counting(answer).0 }
    }
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        self.ledger.clones.fetch_add(1, SeqCst);
        Self { ledger: Arc::clone(&self.ledger), asked: 0, panics: self.panics, answer: self.answer.clone() }
    }
}

impl Service<Req> for Strict {
    type Response = Via;
    type Error = Error;
    type Future = Ready<Result<Via, Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.ledger.polls.fetch_add(1, SeqCst);
        self.asked = (self.asked + 1).min(2);
        if self.asked < 2 {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Req) -> Self::Future {
        self.ledger.calls.fetch_add(1, SeqCst);
        if self.asked < 2 {
            self.ledger.unready_calls.fetch_add(1, SeqCst);
            assert!(!self.panics, "called without being ready");
        }
        self.asked = 0;
        ready(self.answer.clone())
    }
}
