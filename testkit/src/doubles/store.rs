//! A store in memory.

use std::collections::HashMap;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use eitherway::store::{DeadLetter, Instances, Store};
use eitherway::{Ack, Cause, Code, Error, Head, OpId, Operation, Received, Reply, Request, Via};
use serde_json::Value;
use tower::Service;

/// The path of its replies.
pub const MEMORY: Via = Via::new("memory", "[MEMORY]");

/// Remembers what was applied, and answers from it. Exactly once, until the process ends; an answer is as long as it is.
pub struct Memory<O>(Arc<Shared<O>>);

struct Shared<O> {
    id: String,
    answer: fn(&[Request<O>], &O) -> Value,
    state: Mutex<State<O>>,
    duplicates: Vec<AtomicU64>,
}

struct State<O> {
    /// By id: operation, payload, answer.
    ledger: HashMap<OpId, (usize, Vec<u8>, String)>,
    applied: Vec<Request<O>>,
    letters: Vec<DeadLetter>,
    closed: bool,
}

impl<O: Operation> Memory<O> {
    /// An empty one. `answer` answers an operation, from what is applied so far, this one included.
    pub fn new(id: &str, answer: fn(&[Request<O>], &O) -> Value) -> Self {
        let (ledger, applied, letters) = (HashMap::new(), Vec::new(), Vec::new());
        let state = Mutex::new(State { ledger, applied, letters, closed: false });
        let duplicates = O::SPECS.iter().map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Shared { id: id.to_owned(), answer, state, duplicates }))
    }

    /// What has taken effect, in this order.
    pub fn applied(&self) -> Vec<Request<O>> {
        self.0.state.lock().unwrap().applied.clone()
    }

    /// What was put aside.
    pub fn letters(&self) -> Vec<DeadLetter> {
        self.0.state.lock().unwrap().letters.clone()
    }

    fn apply(&self, request: &Request<O>) -> Result<O::Answer, Cause> {
        let received = request.received().unwrap_or_else(Received::now);
        request.head.check_of(received.at(), Head::AHEAD, Head::BEHIND)?;
        let (index, payload) = (request.op.index(), request.op.encode()?);
        let state = &mut *self.0.state.lock().unwrap();
        if state.closed {
            return Err(Cause::new(Code::DATABASE, "closed"));
        }
        if !request.op.spec().writes() {
            let json = (self.0.answer)(&state.applied, &request.op).to_string();
            return Ok(O::decode_answer(index, json.as_bytes())?);
        }
        let json = match state.ledger.get(&request.head.id) {
            Some((known, same, _)) if (*known, same) != (index, &payload) => {
                return Err(Cause::new(Code::ID_REUSED, "the same id, and another operation"));
            }
            Some((_, _, json)) => {
                self.0.duplicates[index].fetch_add(1, Ordering::Relaxed);
                json.clone()
            }
            None => {
                state.applied.push(request.clone());
                let json = (self.0.answer)(&state.applied, &request.op).to_string();
                state.ledger.insert(request.head.id.clone(), (index, payload, json.clone()));
                json
            }
        };
        Ok(O::decode_answer(index, json.as_bytes())?)
    }
}

impl<O> fmt::Debug for Memory<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("id", &self.0.id).finish_non_exhaustive()
    }
}

impl<O> Clone for Memory<O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<O: Operation> Service<Request<O>> for Memory<O> {
    type Response = Reply<O::Answer>;
    type Error = Error<O>;
    type Future = Ready<Result<Self::Response, Error<O>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error<O>>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<O>) -> Self::Future {
        ready(match self.apply(&request) {
            Ok(answer) => Ok(Reply { via: MEMORY, ack: Ack::Committed, answer, omitted: 0 }),
            Err(cause) => Err(Error::new(cause, request)),
        })
    }
}

/// There is no copy of it.
impl<O> Instances for Memory<O> {}

impl<O: Operation> Store<O> for Memory<O> {
    fn id(&self) -> &str {
        &self.0.id
    }

    async fn ping(&self) -> Result<(), Cause> {
        Ok(())
    }

    async fn dead_letter(&self, letter: DeadLetter, again: bool) -> Result<bool, Cause> {
        let letters = &mut self.0.state.lock().unwrap().letters;
        let same =
            |known: &DeadLetter| (&known.subject, &known.payload) == (&letter.subject, &letter.payload);
        let new = !(again && letters.iter().any(same));
        letters.extend(new.then_some(letter));
        Ok(new)
    }

    fn duplicates(&self, index: usize) -> u64 {
        self.0.duplicates[index].load(Ordering::Relaxed)
    }

    async fn close(&self) {
        self.0.state.lock().unwrap().closed = true;
    }
}
