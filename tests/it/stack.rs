//! The standard stack over leaves that answer what they are told: who is asked, and who is not.

mod chaos;
mod cost;

use std::future::{Future, Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use eitherway::operation::{Done, Operation};
use eitherway::stack::{Built, Hedging, NO_PATH, Path, Queries, StackBuilder, boxed};
use eitherway::{Ack, Cause, Class, Classify, Code, Db, Head, Received, Reply, Via};
use eitherway_layers::ChaosLayer;
use rosey::op::{Answer, Error, Op, OpenSessions, OutboundEnqueue, Request, UserJoined};
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt};

/// A path that answers the same thing always, and counts how often it is asked.
#[derive(Clone)]
struct Leaf {
    via: Via,
    fails: Option<Code>,
    asked: Arc<AtomicUsize>,
}

impl Leaf {
    fn new(via: Via, fails: Option<Code>) -> Self {
        Self { via, fails, asked: Arc::default() }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Service<Request> for Leaf {
    type Response = Reply<Answer>;
    type Error = Error;
    type Future = Ready<Result<Reply<Answer>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        self.asked.fetch_add(1, Ordering::Relaxed);
        ready(match self.fails {
            Some(code) => Err(Error::new(Cause::new(code, "told so"), request)),
            None => Ok(Reply {
                via: self.via,
                ack: Ack::Committed,
                answer: Answer::UserJoined(Done {}),
                omitted: 0,
            }),
        })
    }
}

fn joins() -> Request {
    Request::new(UserJoined { username: "alice".into() })
}

fn sessions() -> Request {
    Request::new(OpenSessions {})
}

#[tokio::test]
async fn the_class_of_an_error_alone_decides_whether_the_database_is_asked() {
    for (code, asked) in [
        (Code::UNAVAILABLE, 1),
        (Code::STOPPING, 1),
        (Code::UNKNOWN_OPERATION, 1),
        (Code::TOO_LARGE, 1),
        (Code::UNANSWERED, 1),
        (Code::OVERLOADED, 1),
        (Code::BUSY, 1),
        (Code::INVALID, 0),
        (Code::ID_REUSED, 0),
        (Code::CLOCK, 0),
    ] {
        let (nats, db) = (Leaf::new(Via::NATS, Some(code)), Leaf::new(Via::DB, None));
        let client = Db::new(StackBuilder::new().over(Some(nats), db.clone(), NO_PATH).stack);
        let result = client.send(joins()).await;
        assert_eq!((db.asked(), result.is_ok()), (asked, asked == 1), "{}", code.name);
        if let Ok(reply) = result {
            assert_eq!(reply.via, Via::DB);
        }
    }
}

/// Takes all kinds in turn, through one instance and through clones, and never waits.
async fn takes_turns<S: eitherway::Stack<rosey::op::Op>>(mut stack: S, what: &str) {
    for round in 0..3 {
        for request in
            [joins(), Request::new(OutboundEnqueue { username: None, content: "hi".into() }), sessions()]
        {
            let name = request.op.spec().name;
            for mut one in [None, Some(stack.clone())] {
                let one = one.as_mut().unwrap_or(&mut stack);
                let ready = tokio::time::timeout(Duration::from_secs(60), one.ready()).await;
                let ready = ready.unwrap_or_else(|_| panic!("{what}: never ready for {name}, round {round}"));
                let Ok(ready) = ready else { panic!("{what}: {name}") };
                let done = tokio::time::timeout(Duration::from_secs(60), ready.call(request.clone())).await;
                assert!(done.is_ok_and(|done| done.is_ok()), "{what}: {name}, round {round}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_with_room_for_one_is_asked_for_one_place() {
    for queries in [Queries::Nats, Queries::Db] {
        for fails in [None, Some(Code::UNAVAILABLE)] {
            let one = |via, fails| ConcurrencyLimit::new(Leaf::new(via, fails), 1);
            let (nats, db) = (|| one(Via::NATS, fails), || one(Via::DB, None));
            let outbox = || one(Via::OUTBOX, None);
            let builder = StackBuilder::new().queries(queries);
            takes_turns(builder.over(NO_PATH, db(), NO_PATH).stack, "direct").await;
            takes_turns(builder.over(Some(nats()), db(), NO_PATH).stack, "both").await;
            takes_turns(builder.over(Some(nats()), db(), Some(outbox())).stack, "with an outbox").await;
            takes_turns(builder.over(NO_PATH, db(), Some(outbox())).stack, "direct, with an outbox").await;
        }
    }
}

/// Faults of this code, none of them yet.
fn faults(seed: u64, code: Code) -> ChaosLayer<impl Fn() -> Error + Clone> {
    ChaosLayer::new(seed, move || Cause::new(code, "told so").into())
}

/// A path that serves until its faults begin: then it is busy.
fn busy_later() -> (impl Path<Op>, ChaosLayer<impl Fn() -> Error + Clone>) {
    let busy = faults(1, Code::BUSY).fail(1.0);
    busy.set_active(false);
    (busy.layer(Leaf::new(Via::DB, None)), busy)
}

#[tokio::test(start_paused = true)]
async fn a_query_that_no_path_answers_gets_an_old_answer_within_its_age_and_only_where_that_was_asked_for() {
    let client = |builder: StackBuilder| {
        let (db, busy) = busy_later();
        (Db::new(builder.over(NO_PATH, db, NO_PATH).stack), busy)
    };
    let age = Duration::from_secs(30);
    let keeps = || client(StackBuilder::new().stale(age));
    let (queried, busy) = keeps();
    assert_eq!(queried.send(sessions()).await.unwrap().ack, Ack::Committed);
    busy.set_active(true);
    tokio::time::advance(age).await;
    let old = queried.send(sessions()).await.unwrap();
    assert_eq!((old.via, old.ack), (Via::STALE, Ack::Stale { age }));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(queried.send(sessions()).await.unwrap_err().cause().code(), Code::BUSY);

    for ((client, busy), request) in [(keeps(), joins()), (client(StackBuilder::new()), sessions())] {
        client.send(request.clone()).await.unwrap();
        busy.set_active(true);
        assert!(client.send(request.clone()).await.is_err(), "{}", request.op.spec().name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_query_of_another_time_or_received_from_elsewhere_gets_no_old_answer_and_is_none() {
    let now = sessions().head.occurred_at;
    let at = |occurred_at: i64| Request::with_head(Head::at(occurred_at), OpenSessions {});
    for (other, is_kept) in [
        (sessions(), true),
        (at(now - 1000), true),
        (at(now - 60_000), false),
        (at(now + 60_000), false),
        (sessions().with_received(Received::now()), false),
    ] {
        for [first, second] in [[sessions(), other.clone()], [other, sessions()]] {
            let (db, busy) = busy_later();
            let stack = StackBuilder::new().stale(Duration::from_secs(30)).over(NO_PATH, db, NO_PATH).stack;
            let client = Db::new(stack);
            client.send(first).await.unwrap();
            busy.set_active(true);
            let old = client.send(second.clone()).await.ok().map(|reply| reply.via);
            assert_eq!(old, is_kept.then_some(Via::STALE), "{:?}, {:?}", second.head, second.received());
        }
    }
}

/// A path that is never ready.
#[derive(Clone)]
struct Full;

impl Service<Request> for Full {
    type Response = Reply<Answer>;
    type Error = Error;
    type Future = Ready<Result<Reply<Answer>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Pending
    }

    fn call(&mut self, _: Request) -> Self::Future {
        panic!("called unready")
    }
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_never_ready_keeps_no_event_from_nats_wherever_queries_are_read() {
    for queries in [Queries::Nats, Queries::Db] {
        let (nats, outbox) = (Leaf::new(Via::NATS, None), Leaf::new(Via::OUTBOX, None));
        let client = Db::new(StackBuilder::new().queries(queries).over(Some(nats), Full, Some(outbox)).stack);
        let begun = tokio::time::Instant::now();
        assert_eq!(client.send(joins()).await.unwrap().via, Via::NATS, "{queries:?}");
        assert_eq!(begun.elapsed(), Duration::ZERO, "{queries:?}: no call waited");
    }
}

#[tokio::test]
async fn queries_are_read_from_the_database_first_where_that_is_wanted_and_nothing_else_is() {
    let call = || Request::new(OutboundEnqueue { username: None, content: "hi".into() });
    for (queries, query, rest) in [(Queries::Nats, Via::NATS, Via::NATS), (Queries::Db, Via::DB, Via::NATS)] {
        let (nats, db) = (Leaf::new(Via::NATS, None), Leaf::new(Via::DB, None));
        let outbox = Leaf::new(Via::OUTBOX, None);
        let builder = StackBuilder::new().queries(queries);
        let (plain, kept) = (
            boxed(builder.over(Some(nats.clone()), db.clone(), NO_PATH).stack),
            boxed(builder.over(Some(nats), db, Some(outbox)).stack),
        );
        for stack in [plain, kept] {
            let client = Db::new(stack);
            for (request, via) in [(sessions(), query), (call(), rest), (joins(), rest)] {
                let name = request.op.spec().name;
                assert_eq!(client.send(request).await.unwrap().via, via, "{queries:?} {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_query_that_the_database_fails_is_read_over_nats_unless_it_was_refused() {
    for (code, asked) in [
        (Code::UNAVAILABLE, 1),
        (Code::BUSY, 1),
        (Code::STORAGE, 1),
        (Code::UNANSWERED, 1),
        (Code::OVERLOADED, 1),
        (Code::INVALID, 0),
    ] {
        let (nats, db) = (Leaf::new(Via::NATS, None), Leaf::new(Via::DB, Some(code)));
        let client = Db::new(
            StackBuilder::new().queries(Queries::Db).over(Some(nats.clone()), db.clone(), NO_PATH).stack,
        );
        let result = client.send(sessions()).await;
        assert_eq!((db.asked(), nats.asked()), (1, asked), "{}", code.name);
        assert_eq!(result.map(|reply| reply.via).ok(), (asked == 1).then_some(Via::NATS), "{}", code.name);
    }
    let leaf = |via, code| Leaf::new(via, Some(code));
    let (nats, db) = (leaf(Via::NATS, Code::UNANSWERED), leaf(Via::DB, Code::BUSY));
    let client = Db::new(StackBuilder::new().queries(Queries::Db).over(Some(nats), db, NO_PATH).stack);
    let error = client.send(sessions()).await.unwrap_err();
    assert_eq!((error.primary().unwrap().code(), error.class()), (Code::BUSY, Class::Unknown));
    assert_eq!(error.fallback().unwrap().code(), Code::UNANSWERED);
}

#[tokio::test]
async fn what_neither_path_takes_goes_to_the_outbox_unless_it_was_refused_or_is_no_event() {
    for (first, second, asked) in [
        (Code::UNAVAILABLE, Code::UNAVAILABLE, 1),
        (Code::TOO_LARGE, Code::UNAVAILABLE, 1),
        (Code::UNAVAILABLE, Code::BUSY, 1),
        (Code::UNANSWERED, Code::STORAGE, 1),
        (Code::UNAVAILABLE, Code::UNANSWERED, 1),
        (Code::UNANSWERED, Code::ID_REUSED, 0),
        (Code::INVALID, Code::BUSY, 0),
    ] {
        let (nats, db) = (Leaf::new(Via::NATS, Some(first)), Leaf::new(Via::DB, Some(second)));
        let outbox = Leaf::new(Via::OUTBOX, None);
        let Built { stack, replay, .. } = StackBuilder::new().over(Some(nats), db, Some(outbox.clone()));
        let result = Db::new(stack.clone()).send(joins()).await;
        let about = (first.name, second.name);
        assert_eq!((outbox.asked(), result.is_ok()), (asked, asked == 1), "{about:?}");
        assert!(Db::new(stack).call(OpenSessions {}).await.is_err());
        assert!(Db::new(replay).send(joins()).await.is_err());
        assert_eq!(outbox.asked(), asked, "neither a query nor the replay: {about:?}");
    }
}

#[tokio::test]
async fn when_the_outbox_fails_too_the_caller_hears_of_all_three() {
    let leaf = |via, code| Leaf::new(via, Some(code));
    let (nats, db) = (leaf(Via::NATS, Code::UNAVAILABLE), leaf(Via::DB, Code::UNANSWERED));
    let outbox = leaf(Via::OUTBOX, Code::STORAGE);
    let stack = StackBuilder::new().over(Some(nats), db, Some(outbox)).stack;
    let error = Db::new(stack).send(joins()).await.unwrap_err();
    assert_eq!(error.class(), Class::Unknown);
    assert_eq!(error.fallback().unwrap().code(), Code::STORAGE);
    let Some(Cause::Both { primary, fallback }) = error.primary() else { panic!("{error}") };
    assert_eq!((primary.code(), fallback.code()), (Code::UNAVAILABLE, Code::UNANSWERED));
    assert!(error.request().is_some());
}

#[tokio::test]
async fn the_answer_of_another_operation_is_no_answer() {
    let client = Db::new(StackBuilder::new().over(NO_PATH, Leaf::new(Via::DB, None), NO_PATH).stack);
    let error = client.call(OpenSessions {}).await.unwrap_err();
    assert_eq!(error.class(), Class::Unknown);
    assert!(error.request().is_some());
}

#[tokio::test]
async fn silence_opens_the_circuit_and_refusals_and_failures_of_the_database_do_not() {
    for (code, opens) in [
        (Code::UNANSWERED, true),
        (Code::UNREADABLE, false),
        (Code::UNAVAILABLE, false),
        (Code::BUSY, false),
        (Code::INVALID, false),
    ] {
        let (nats, db) = (Leaf::new(Via::NATS, Some(code)), Leaf::new(Via::DB, None));
        let client = Db::new(StackBuilder::new().over(Some(nats.clone()), db, NO_PATH).stack);
        for _ in 0..100 {
            let _ = client.send(joins()).await;
        }
        assert_eq!(nats.asked() < 100, opens, "{}: asked {} times", code.name, nats.asked());
    }
}
