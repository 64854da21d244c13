//! Another store and another bus: the service, the guard and the runtime serve over them as over ours, and nothing outside the
//! folder of the doubles was changed for them.

use crate::support::doubles::{LINE, Line, MEMORY, Memory};
use crate::support::{
    DbFile, LIMIT, NatsServer, OutboxFile, Peer, Url, nats, nats_only, off, on, recognised, wait_until,
};
use eitherway::health::Health;
use eitherway::nats::NatsOptions;
use eitherway::runtime::Runtime;
use eitherway::service::{ServeError, ServiceOptions, serve};
use eitherway::stack::{Bus, GuardedStore, Hedging, StackBuilder};
use eitherway::store::Store;
use eitherway::{Ack, Cause, Code, Db, Head, Request, Via};
use eitherway_layers::ChaosLayer;
use rosey::op::{MessageLog, Op, OutboundEnqueue, RecentChat};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::Layer;

fn line(n: usize) -> Request<Op> {
    Request::new(MessageLog { username: "alice".into(), message: format!("line {n}") })
}

/// What the store in memory answers: the lines that were said, the number of a message.
fn answer(applied: &[Request<Op>], op: &Op) -> Value {
    let said = |request: &Request<Op>| match &*request.op {
        Op::MessageLog(MessageLog { username, message }) => Some(
            json!({"timestamp": request.head.occurred_at / 1000, "username": username, "message": message}),
        ),
        _ => None,
    };
    match op {
        Op::RecentChat(_) => applied.iter().filter_map(said).collect(),
        Op::OutboundEnqueue(_) => json!({"id": applied.len()}),
        Op::GetUserStats(_) => json!({"not": "what", "the": "operation", "promises": 1.5}),
        _ => json!({}),
    }
}

fn memory() -> Memory<Op> {
    Memory::new("in memory", answer)
}

/// A service over a store, until it is told to stop.
struct Serving {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<eitherway::service::Served, ServeError>>,
}

impl Serving {
    async fn start<D, L>(server: &NatsServer, store: D, options: ServiceOptions<L>) -> Self
    where
        D: Store<Op>,
        L: Layer<D, Service: eitherway::Stack<Op>> + Send + 'static,
    {
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let nats = NatsOptions::new(server.url());
        let shutdown = async { drop(stopped.await) };
        let task = tokio::spawn(serve(nats, store, options, move || ready.send(()).unwrap(), shutdown));
        tokio::time::timeout(LIMIT, is_ready).await.expect("the service starts").unwrap();
        Self { stop, task }
    }

    async fn stop(self) -> eitherway::service::Served {
        self.stop.send(()).unwrap();
        self.task.await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn the_service_serves_from_a_store_in_memory_exactly_once() {
    for (options, ack) in [(off(), Ack::Committed), (on(), Ack::Stored)] {
        let dir = tempfile::tempdir().unwrap();
        let server = NatsServer::with_jetstream(dir.path()).await;
        let store = memory();
        let service = Serving::start(&server, store.clone(), options).await;
        let nats = recognised(&server).await;
        assert_eq!(nats.health().borrow().database.as_ref().unwrap().id, "in memory");
        let db = nats_only(&nats);
        let lines: Vec<_> = (0..20).map(line).collect();
        for request in lines.iter().chain(&lines) {
            let reply = db.send(request.clone()).await.unwrap();
            assert_eq!((reply.via, reply.ack), (Via::NATS, ack));
        }
        wait_until("all are applied", || async { store.applied().len() == lines.len() }).await;
        assert!(store.applied().iter().map(|request| &request.head.id).eq(lines.iter().map(|r| &r.head.id)));
        // A call is answered the same when it is asked again, and its id belongs to it.
        let head = Head::now();
        let call = || OutboundEnqueue { username: None, content: "hello".into() };
        let first = db.with(head.clone()).call(call()).await.unwrap().answer;
        assert_eq!(db.with(head.clone()).call(call()).await.unwrap().answer, first);
        let other = OutboundEnqueue { username: None, content: "another".into() };
        assert_eq!(db.with(head).call(other).await.unwrap_err().cause().code(), Code::ID_REUSED);
        let said = db.call(RecentChat { limit: 50 }).await.unwrap().answer;
        assert_eq!((said.len(), said[19].message.as_str()), (20, "line 19"));
        // What cannot be understood is kept by the store. So is the id that was used again.
        let peer = Peer::connect(&server).await;
        peer.publish("rosey.db.message.log", "{").await;
        peer.flush().await;
        wait_until("it is kept", || async { store.letters().len() == 2 }).await;
        let served = service.stop().await;
        assert!(served.repeated >= 1, "{served:?}");
        assert_eq!(store.applied().len(), lines.len() + 1);
    }
}

#[tokio::test]
async fn every_operation_of_a_service_passes_the_layers_of_its_embedder_and_none_is_lost_by_their_errors() {
    const FAILED: u64 = 4;
    for options in [off(), on()] {
        let dir = tempfile::tempdir().unwrap();
        let server = NatsServer::with_jetstream(dir.path()).await;
        // Every call fails, one half of them after it has had its effect.
        let faults = ChaosLayer::new(1, || eitherway::Error::<Op>::from(Cause::new(Code::BUSY, "not yet")));
        let faults = faults.fail(0.5).lose(0.5);
        let store = memory();
        let service = Serving::start(&server, store.clone(), options.layer(faults.clone())).await;
        // No client sends these again.
        let peer = Peer::connect(&server).await;
        for n in 0..5 {
            let line = json!({"username": "alice", "message": format!("line {n}")}).to_string();
            peer.publish("rosey.db.message.log", line).await;
        }
        wait_until("some have failed", || async { faults.calls() >= FAILED }).await;
        faults.set_active(false);
        wait_until("all are applied", || async { store.applied().len() == 5 }).await;
        let db = nats_only(&nats(&server).await);
        wait_until("a query is served", || async { db.call(RecentChat { limit: 5 }).await.is_ok() }).await;
        // What the store has written passes as it is: no layer reads it.
        let said = peer.request("rosey.db.query.user_stats", r#"{"username":"alice"}"#).await;
        assert_eq!(said.body, r#"{"not":"what","promises":1.5,"the":"operation"}"#);
        assert_eq!(service.stop().await.done, 7);
        assert!(faults.calls() >= FAILED + 7, "each passes until it succeeds: {}", faults.calls());
        assert_eq!(store.applied().len(), 5);
    }
}

async fn until<S, B: Bus<Op>, D: Store<Op>>(
    runtime: &Runtime<Op, S, B, D>,
    what: &str,
    is: impl FnMut(&Health) -> bool,
) -> Health {
    let mut health = runtime.watch_health();
    let seen = tokio::time::timeout(LIMIT, health.wait_for(is)).await;
    seen.unwrap_or_else(|_| panic!("not {what}: {}", runtime.health())).unwrap().clone()
}

#[tokio::test]
async fn a_runtime_over_a_bus_of_its_embedder_falls_back_to_the_database_when_that_is_gone() {
    let file = DbFile::new();
    let (bus, served) = Line::to(file.open().await);
    // A bus that is late under load is no reason here.
    let stack = StackBuilder::new().hedging(Hedging::off());
    let builder = Runtime::<Op>::builder().bus(bus).store(file.options()).stack(stack);
    let runtime = builder.build().await.unwrap();
    let db = runtime.client();
    let lines: Vec<_> = (0..20).map(line).collect();
    assert_eq!(db.send(lines[0].clone()).await.unwrap().via, LINE);
    let health = until(&runtime, "over the bus", |health| health.calls.via == Some(LINE)).await;
    assert_eq!(health.database.unwrap().id, runtime.direct().database().unwrap().id());
    // In flight, and again afterwards: whatever the bus has done, once.
    let sent = lines.iter().map(|request| {
        let (db, request) = (db.clone(), request.clone());
        async move { db.send(request).await }
    });
    let sent = futures_util::future::join_all(sent);
    let (replies, ()) = tokio::join!(sent, async { drop(served) });
    assert!(replies.iter().all(Result::is_ok), "{replies:?}");
    for request in &lines {
        assert_eq!(db.send(request.clone()).await.unwrap().via, Via::DB);
    }
    let health = until(&runtime, "on the database", |health| health.calls.via == Some(Via::DB)).await;
    assert_eq!(
        (health.calls.reasons[0].via, health.why_not(eitherway::operation::Kind::Call)),
        (LINE, Some("the other end is gone"))
    );
    assert_eq!(db.call(RecentChat { limit: 50 }).await.unwrap().answer.len(), lines.len());
    runtime.shutdown(LIMIT).await;
    file.assert_clean().await;
}

#[tokio::test]
async fn a_store_refuses_while_a_bus_of_its_embedder_leads_to_another_database() {
    let (file, kept) = (DbFile::new(), OutboxFile::new());
    let (bus, served) = Line::to(memory());
    let builder = Runtime::<Op>::builder().bus(bus).store(file.options()).outbox(kept.options());
    let runtime = builder.build().await.unwrap();
    assert_eq!(runtime.client().send(line(0)).await.unwrap().via, LINE);
    wait_until("the other database is noticed", || async { runtime.direct().why_not().is_some() }).await;
    drop(served);
    let health = until(&runtime, "in the outbox", |health| health.events.via == Some(Via::OUTBOX)).await;
    assert!(health.events.reasons[1].why.contains("is not the one"), "{health}");
    assert_eq!(runtime.client().send(line(1)).await.unwrap().via, Via::OUTBOX);
    assert_eq!(runtime.health().calls.via, None);
}

#[tokio::test]
async fn what_a_store_has_answered_is_forgotten_when_it_turns_out_to_be_another_one_than_the_service_s() {
    for (named, is_kept) in [("the store", true), ("the service's", false)] {
        let (store, closed) = (Memory::<Op>::new("the store", answer), memory());
        closed.close().await;
        let (bus, served) = Line::to(closed);
        served.leads_to(None);
        let stack = StackBuilder::new().stale(10 * LIMIT);
        let builder = Runtime::<Op>::builder().bus(bus).store(GuardedStore::open(store.clone())).stack(stack);
        let runtime = builder.build().await.unwrap();
        let ask = || async { runtime.client().call(RecentChat { limit: 5 }).await };
        assert_eq!(ask().await.unwrap().via, MEMORY);
        served.leads_to(Some(named));
        let is_known = |health: &Health| health.database.as_ref().is_some_and(|known| known.id == named);
        until(&runtime, "compared", is_known).await;
        wait_until("it is compared", || async { runtime.direct().why_not().is_some() != is_kept }).await;
        store.close().await;
        assert_eq!(ask().await.ok().map(|old| old.via), is_kept.then_some(Via::STALE), "{named}");
    }
}

#[tokio::test]
async fn what_a_bus_has_answered_is_forgotten_when_it_leads_to_another_database() {
    let store = memory();
    let (bus, served) = Line::to(store.clone());
    let stack = StackBuilder::new().stale(10 * LIMIT);
    let runtime = Runtime::<Op>::builder().bus(bus).stack(stack).build().await.unwrap();
    let ask = || async { runtime.client().call(RecentChat { limit: 5 }).await };
    assert_eq!(ask().await.unwrap().via, LINE);
    store.close().await;
    served.leads_to(None);
    assert_eq!(ask().await.unwrap().via, Via::STALE, "it may come back to the same");
    served.leads_to(Some("another"));
    wait_until("it is forgotten", || async { ask().await.is_err() }).await;
}

#[tokio::test]
async fn a_runtime_serves_from_any_store_and_replays_its_outbox_there() {
    let (store, kept) = (memory(), OutboxFile::new());
    let outbox = kept.open().await;
    Db::new(outbox.clone()).send(line(0)).await.unwrap();
    let builder = Runtime::<Op>::builder().store(GuardedStore::open(store.clone())).outbox(outbox);
    let runtime = builder.build().await.unwrap();
    assert_eq!(runtime.client().send(line(1)).await.unwrap().via, MEMORY);
    wait_until("it is replayed", || async { store.applied().len() == 2 }).await;
    assert_eq!(runtime.health().database.unwrap().id, "in memory");
    runtime.shutdown(LIMIT).await;
    assert_eq!(
        Db::new(store).send(line(2)).await.unwrap_err().cause().code(),
        Code::DATABASE,
        "it is closed"
    );
}
