//! Test doubles of the bot's tests: a stack that records requests, a sender that records what is said, a chat
//! that plays a list of events.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context as Task, Poll};

use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::Value;
use tokio::sync::Semaphore;
use tower::Service;

use super::chat::{Chat, ChatSender, Received, Unsent};
use super::commands::{self, Commands};
use super::context::{Context, Identity};
use super::dispatch::Dispatcher;
use super::event::{Body, Event, Stamp, UserData};
use super::handlers;
use super::lead::Lease;
use crate::op::{Answer, Op, Request};
use eitherway::error::{Cause, Code, Error};
use eitherway::operation::Operation;
use eitherway::{Ack, Db, Reply, Via};

/// A stack that records every request and answers `{}` or `[]` by default.
#[derive(Clone, Default)]
pub(super) struct MockStack {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    seen: Vec<Request>,
    answers: HashMap<&'static str, VecDeque<Value>>,
    usual: HashMap<&'static str, Value>,
    failing: HashMap<&'static str, Code>,
    all_failing: Option<Code>,
    gates: HashMap<&'static str, Arc<Semaphore>>,
    panics: HashSet<&'static str>,
    in_flight: usize,
    most_in_flight: usize,
}

/// One request as the stack received it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) name: &'static str,
    pub(super) payload: Value,
    pub(super) at: i64,
    pub(super) id: String,
}

impl MockStack {
    /// A stack on which every operation fails.
    pub(super) fn failing(code: Code) -> Self {
        let stack = Self::default();
        stack.lock().all_failing = Some(code);
        stack
    }

    /// Ends all failures.
    pub(super) fn recover(&self) {
        let mut shared = self.lock();
        shared.all_failing = None;
        shared.failing.clear();
    }

    /// Makes this operation fail from now on.
    pub(super) fn fail(&self, name: &'static str, code: Code) {
        self.lock().failing.insert(name, code);
    }

    /// Sets the next answer to this operation; several answers queue up.
    pub(super) fn answer(&self, name: &'static str, answer: Value) {
        self.lock().answers.entry(name).or_default().push_back(answer);
    }

    /// Answers this operation so from now on, where no answer is queued.
    pub(super) fn always(&self, name: &'static str, answer: Value) {
        self.lock().usual.insert(name, answer);
    }

    /// Makes the next operation of this name panic.
    pub(super) fn panic(&self, name: &'static str) {
        self.lock().panics.insert(name);
    }

    /// Holds answers to this operation back until permits are added to the semaphore.
    pub(super) fn hold(&self, name: &'static str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.lock().gates.insert(name, Arc::clone(&gate));
        gate
    }

    /// All requests so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let seen = |request: &Request| Seen {
            name: request.op.spec().name,
            payload: serde_json::from_slice(&request.op.encode().expect("payload")).expect("JSON"),
            at: request.head.occurred_at,
            id: request.head.id.to_string(),
        };
        self.lock().seen.iter().map(seen).collect()
    }

    /// The names of all requests so far.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.lock().seen.iter().map(|request| request.op.spec().name).collect()
    }

    /// All requests of this name so far.
    pub(super) fn of(&self, name: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.name == name).collect()
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.lock().most_in_flight
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no test panics in here")
    }

    async fn perform(self, request: Request) -> Result<Reply<Answer>, Error<Op>> {
        let spec = request.op.spec();
        let gate = {
            let mut shared = self.lock();
            shared.seen.push(request.clone());
            if shared.panics.remove(spec.name) {
                drop(shared);
                panic!("{} broke", spec.name);
            }
            shared.in_flight += 1;
            shared.most_in_flight = shared.most_in_flight.max(shared.in_flight);
            shared.gates.get(spec.name).cloned()
        };
        if let Some(gate) = gate {
            gate.acquire().await.expect("gate").forget();
        }
        let mut shared = self.lock();
        shared.in_flight -= 1;
        if let Some(code) = shared.failing.get(spec.name).copied().or(shared.all_failing) {
            return Err(Error::new(Cause::new(code, "made to fail"), request));
        }
        let answer = shared.answers.get_mut(spec.name).and_then(VecDeque::pop_front);
        let answer = answer.or_else(|| shared.usual.get(spec.name).cloned());
        let json = answer
            .map_or_else(|| spec.empty_answer.as_bytes().to_vec(), |answer| answer.to_string().into_bytes());
        let answer = Op::decode_answer(request.op.index(), &json).expect("answer");
        Ok(Reply { via: Via::NATS, ack: Ack::Committed, answer, omitted: 0 })
    }
}

impl Service<Request> for MockStack {
    type Response = Reply<Answer>;
    type Error = Error<Op>;
    type Future = BoxFuture<'static, Result<Reply<Answer>, Error<Op>>>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.clone().perform(request).boxed()
    }
}

/// A sender that records what was said: `say TEXT`, `pm USER TEXT`.
#[derive(Clone, Default)]
pub(super) struct RecordingSender {
    said: Arc<Mutex<Vec<String>>>,
    fault: Arc<Mutex<Option<Fault>>>,
    allowance: Arc<Mutex<Option<u32>>>,
}

/// The fault of a sender that does not speak.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    Refuse(Unsent),
    Panic,
}

impl RecordingSender {
    pub(super) fn said(&self) -> Vec<String> {
        self.said.lock().expect("said").clone()
    }

    pub(super) fn fault(&self, fault: Option<Fault>) {
        *self.fault.lock().expect("fault") = fault;
    }

    /// Allows so many messages from now on.
    pub(super) fn allow(&self, messages: u32) {
        *self.allowance.lock().expect("allowance") = Some(messages);
    }

    fn hear(&self, text: String) -> Result<(), Unsent> {
        if let Some(left) = &mut *self.allowance.lock().expect("allowance") {
            *left = left.checked_sub(1).expect("nothing is said beyond the rate");
        }
        let fault = self.fault.lock().expect("fault").clone();
        match fault {
            Some(Fault::Refuse(unsent)) => return Err(unsent),
            Some(Fault::Panic) => panic!("the sender broke"),
            None => self.said.lock().expect("said").push(text),
        }
        Ok(())
    }
}

impl ChatSender for RecordingSender {
    fn allowance(&self) -> Option<u32> {
        *self.allowance.lock().expect("allowance")
    }

    fn say<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        async move { self.hear(format!("say {text}")) }.boxed()
    }

    fn pm<'a>(&'a self, user: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        async move { self.hear(format!("pm {user} {text}")) }.boxed()
    }
}

/// A chat that plays these events at once, and then ends or stays open.
pub(super) struct Script {
    pub(super) events: Vec<Event>,
    pub(super) ends: bool,
    pub(super) sender: RecordingSender,
}

impl Chat for Script {
    fn sender(&self) -> Arc<dyn ChatSender> {
        Arc::new(self.sender.clone())
    }

    fn listen(self: Box<Self>) -> BoxStream<'static, Received> {
        let events =
            stream::iter(self.events.into_iter().map(|event| Received { position: 0, item: Ok(event) }));
        if self.ends { events.boxed() } else { events.chain(stream::pending()).boxed() }
    }
}

/// A bot that handles events one by one.
pub(super) struct TestBot {
    pub(super) stack: MockStack,
    pub(super) sender: RecordingSender,
    pub(super) bot: Context<MockStack>,
    dispatcher: Dispatcher<MockStack>,
}

impl TestBot {
    pub(super) fn new(stack: MockStack) -> Self {
        Self::with(stack, None)
    }

    /// A bot that takes commands.
    pub(super) fn asked(stack: MockStack, commands: Commands) -> Self {
        Self::with(stack, Some(commands))
    }

    fn with(stack: MockStack, commands: Option<Commands>) -> Self {
        let sender = RecordingSender::default();
        let identity = Identity { channel: Some("lounge".into()), started_at: 1_000, ..Identity::default() };
        let mut dispatcher = Dispatcher::new();
        handlers::register(&mut dispatcher);
        if commands.is_some() {
            commands::register(&mut dispatcher);
        }
        let (db, output) = (Db::new(stack.clone()), Arc::new(sender.clone()));
        let bot = Context::new(db, output, identity, commands, Arc::default(), Arc::new(Lease::none()));
        Self { stack, sender, bot, dispatcher }
    }

    /// Handles an event to its end.
    pub(super) async fn handle(&self, at: i64, body: Body) {
        self.handle_event(Event::new(body, Stamp::at(at))).await;
    }

    pub(super) async fn handle_event(&self, event: Event) {
        self.bot.room().observe(&event);
        self.dispatcher.dispatch(&self.bot, Arc::new(event)).await;
    }
}

pub(super) fn join(user: &str) -> Body {
    Body::UserJoin { user: user.into(), user_data: UserData::named(user) }
}

pub(super) fn leave(user: &str) -> Body {
    Body::UserLeave { user: user.into() }
}

pub(super) fn line(user: &str, content: &str) -> Body {
    Body::Message { user: user.into(), content: content.into() }
}

pub(super) fn list(users: &[&str]) -> Body {
    Body::UserList { users: users.iter().map(|user| UserData::named(*user)).collect() }
}

/// A waiting message as the database hands it out.
pub(super) fn waiting(id: i64, username: Option<&str>, content: &str) -> Value {
    serde_json::json!({
        "id": id, "username": username, "content": content, "message": content,
        "timestamp": 1, "retry_count": 0, "error_message": null,
    })
}

/// Lets the other tasks run until the condition holds.
pub(super) async fn until(holds: impl Fn() -> bool) {
    for _ in 0..100_000 {
        if holds() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to hold");
}
