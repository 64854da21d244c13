//! The runtime over real servers and files: what it serves, keeps, says and closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use eitherway::runtime::{BuildError, Builder, Drained, Health, Runtime};
use eitherway::sql::{SqlService, SqliteOptions};
use eitherway::stack::{GuardedStore, Hedging, StackBuilder};
use eitherway::{Ack, Class, Classify, Db, Stack, Via};
use rosey::op::{Op, OpenSessions, Request, UserJoined};
use tower::ServiceExt as _;
use tower::util::MapRequestLayer;

/// For a shutdown that has time.
const GRACE: Duration = LIMIT;

fn joined(user: &str) -> UserJoined {
    UserJoined { username: user.into() }
}

async fn via<S: Stack<Op>>(db: &Db<S>, user: &str) -> Via {
    db.call(joined(user)).await.unwrap().via
}

/// A store that says soon that it is locked.
fn impatient(file: &DbFile) -> SqliteOptions {
    file.options().busy_timeout(Duration::from_millis(50))
}

/// A store that waits for a lock for as long as a test may last.
fn patient(file: &DbFile) -> Builder<Op> {
    let options = file.options().busy_timeout(LIMIT);
    // What waits for the database waits for nothing else.
    let stack = StackBuilder::new().db_timeout(LIMIT).hedging(Hedging::off());
    Runtime::builder().store(options).stack(stack)
}

async fn until<S>(runtime: &Runtime<Op, S>, what: &str, is: impl FnMut(&Health) -> bool) -> Health {
    let mut health = runtime.watch_health();
    let seen = tokio::time::timeout(LIMIT, health.wait_for(is)).await;
    seen.unwrap_or_else(|_| panic!("not {what}: {}", runtime.health())).unwrap().clone()
}

/// Whether this process has a connection to the file. One descriptor without a connection stays open until the process ends:
/// to close it would give up SQLite's locks.
fn is_open(file: &DbFile) -> bool {
    let path = file.path().canonicalize().unwrap();
    let opened = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    opened.filter_map(|fd| fd.path().read_link().ok()).filter(|opened| *opened == path).count() > 1
}

/// A layer that counts what passes.
fn counting(
    count: &Arc<AtomicUsize>,
) -> MapRequestLayer<impl Fn(Request) -> Request + Clone + Send + Sync + 'static> {
    let count = Arc::clone(count);
    MapRequestLayer::new(move |request: Request| {
        count.fetch_add(1, Ordering::Release);
        request
    })
}

async fn begun(count: &AtomicUsize) {
    wait_until("it is in flight", || async { count.load(Ordering::Acquire) == 1 }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whichever_path_is_left_serves_and_each_event_takes_effect_once() {
    let (mut server, file, kept) = (NatsServer::start().await, DbFile::new(), OutboxFile::new());
    let service = DbService::start(&server, &file).await;
    let runtime = Runtime::builder()
        .nats(server.url())
        .store(impatient(&file))
        .outbox(kept.options())
        .build()
        .await
        .unwrap();
    let db = runtime.client();
    until(&runtime, "over NATS", |health| health.events.via == Some(Via::NATS)).await;
    assert_eq!(via(&db, "a").await, Via::NATS);
    server.kill();
    assert_eq!(via(&db, "b").await, Via::DB);
    let held = file.hold().await;
    assert_eq!(via(&db, "c").await, Via::OUTBOX);
    assert_eq!(runtime.health().outbox.unwrap().waiting, 1);
    held.release().await;
    until(&runtime, "replayed", |health| health.outbox.unwrap().is_empty()).await;
    server.restart().await;
    until(&runtime, "over NATS again", |health| health.calls.via == Some(Via::NATS)).await;
    assert_eq!(via(&db, "d").await, Via::NATS);
    let drained = runtime.shutdown(GRACE).await;
    assert_eq!((drained.in_flight, drained.replayed.replayed), (0, 1));
    assert!(drained.left.is_empty());
    service.stop().await;
    assert_eq!(file.applied().await, 4);
    file.assert_verified().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_path_a_query_gets_the_answer_from_before_where_that_was_asked_for() {
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let over = |stack| Runtime::<Op>::builder().nats(server.url()).stack(stack).build();
    let keeps = over(StackBuilder::new().stale(LIMIT)).await.unwrap();
    let plain = over(StackBuilder::new()).await.unwrap();
    for runtime in [keeps.client(), plain.client()] {
        wait_until("over NATS", || async { runtime.call(OpenSessions {}).await.is_ok() }).await;
    }
    server.kill();
    let old = keeps.client().call(OpenSessions {}).await.unwrap();
    assert_eq!(old.via, Via::STALE);
    assert!(matches!(old.ack, Ack::Stale { age } if age < LIMIT), "{:?}", old.ack);
    assert!(keeps.client().call(joined("a")).await.is_err(), "an event");
    assert!(plain.client().call(OpenSessions {}).await.is_err());
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_answers_what_is_in_flight_refuses_what_comes_later_and_closes_the_files() {
    let (file, kept) = (DbFile::new(), OutboxFile::new());
    let count = Arc::default();
    let builder = patient(&file).outbox(kept.options()).layer_store(counting(&count));
    let runtime = builder.build().await.unwrap();
    let db = runtime.client();
    let held = file.hold().await;
    let asking = db.clone();
    let asked = tokio::spawn(async move { via(&asking, "alice").await });
    begun(&count).await;
    let shutdown = tokio::spawn(runtime.shutdown(GRACE));
    wait_until("later ones are refused", || async { db.call(OpenSessions {}).await.is_err() }).await;
    let refused = db.call(joined("bob")).await.unwrap_err();
    assert_eq!(refused.class(), Class::NotSent);
    assert!(refused.to_string().contains("shutting down"), "{refused}");
    assert!(!shutdown.is_finished() && !asked.is_finished());
    held.release().await;
    assert_eq!(asked.await.unwrap(), Via::DB);
    assert_eq!(shutdown.await.unwrap(), Drained::default());
    assert!(!is_open(&file), "though a client is left");
    kept.open().await.close().await;
    assert_eq!(file.applied().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_is_over_soon_after_its_grace_whatever_hangs() {
    let file = DbFile::new();
    let count = Arc::default();
    let runtime = patient(&file).layer_store(counting(&count)).build().await.unwrap();
    let db = runtime.client();
    let held = file.hold().await;
    let asked = tokio::spawn(async move { db.call(joined("alice")).await });
    begun(&count).await;
    assert!(runtime.health().is_ready());
    let begin = Instant::now();
    let drained = runtime.shutdown(Duration::from_millis(200)).await;
    let took = begin.elapsed();
    assert_eq!(drained.in_flight, 1);
    assert!(took >= Duration::from_millis(200) && took < LIMIT / 2, "{took:?}");
    held.release().await;
    assert_eq!(asked.await.unwrap().unwrap().via, Via::DB, "it goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shutdown_replays_what_a_path_takes_by_then() {
    let (file, kept) = (DbFile::new(), OutboxFile::new());
    let direct = GuardedStore::closed();
    let builder = Runtime::<Op>::builder().store(direct.clone()).outbox(kept.path());
    let runtime = builder.build().await.unwrap();
    assert_eq!(runtime.health().events.via, Some(Via::OUTBOX));
    assert_eq!(runtime.health().calls.via, None);
    for user in ["a", "b", "c"] {
        assert_eq!(via(&runtime.client(), user).await, Via::OUTBOX);
    }
    direct.provide(file.open().await);
    let drained = runtime.shutdown(GRACE).await;
    assert_eq!((drained.replayed.replayed, drained.left.waiting), (3, 0));
    assert_eq!(file.applied().await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_runtime_that_is_dropped_ends_its_tasks_and_its_clients() {
    let (server, file, kept) = (NatsServer::down(), DbFile::new(), OutboxFile::new());
    let builder = Runtime::<Op>::builder().nats(server.url()).store(file.options());
    let runtime = builder.outbox(kept.options()).build().await.unwrap().boxed();
    let (db, nats) = (runtime.client(), runtime.nats().unwrap().status());
    assert_eq!(via(&db, "alice").await, Via::DB);
    drop(runtime);
    assert_eq!(db.call(joined("bob")).await.unwrap_err().class(), Class::NotSent);
    assert!(nats.has_changed().is_ok(), "the client holds the connection");
    drop(db);
    wait_until("the connection is given up", || async { nats.has_changed().is_err() }).await;
    wait_until("the outbox is given back", || async {
        eitherway::outbox::OutboxService::<Op>::open(&kept.options()).await.is_ok()
    })
    .await;
    wait_until("the store is closed", || async { !is_open(&file) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_says_which_path_serves_since_when_and_why_not_another() {
    let (mut server, file) = (NatsServer::down(), DbFile::new());
    let builder = Runtime::<Op>::builder().nats(server.url()).store(file.options());
    let runtime = builder.build().await.unwrap();
    let before = eitherway::clock::now();
    let health = until(&runtime, "why not NATS", |health| {
        health.events.reasons.iter().any(|reason| reason.why.contains("not connected to NATS"))
    })
    .await;
    assert_eq!((health.events.via, health.queries.via), (Some(Via::DB), Some(Via::DB)));
    assert_eq!(health.events.reasons[0].via, Via::NATS);
    assert!(health.to_string().contains("events: [DB] ([NATS]: not connected to NATS"), "{health}");
    server.restart().await;
    let service = DbService::start(&server, &file).await;
    let health = until(&runtime, "all over NATS", |health| {
        [&health.events, &health.calls, &health.queries].iter().all(|one| one.via == Some(Via::NATS))
    })
    .await;
    assert!(health.events.reasons.is_empty() && health.events.since >= before);
    let json = serde_json::to_value(&health).unwrap();
    assert_eq!((&json["calls"]["via"], &json["events_circuit"]), (&"nats".into(), &"closed".into()));
    let later = health.events.since + 5;
    wait_until("the clock has moved", || async { eitherway::clock::now() > later }).await;
    assert_eq!(runtime.health(), health, "since the path serves, not since it was asked");
    runtime.circuits().unwrap().requests.force_open();
    let opened = until(&runtime, "around the circuit", |health| health.calls.via == Some(Via::DB)).await;
    assert_eq!(opened.events, health.events, "it has a circuit of its own");
    assert!(opened.calls.reasons[0].why.contains("circuit was opened by hand"), "{opened}");
    assert!(opened.calls.since >= health.calls.since);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_store_is_left_alone_while_the_service_writes_to_another_database() {
    let (mut server, file, other) = (NatsServer::start().await, DbFile::new(), DbFile::new());
    let service = DbService::start(&server, &file).await;
    let builder = Runtime::<Op>::builder().nats(server.url()).store(other.options());
    let runtime = builder.build().await.unwrap();
    wait_until("the other database is noticed", || async { runtime.direct().why_not().is_some() }).await;
    until(&runtime, "over NATS", |health| health.calls.via == Some(Via::NATS)).await;
    assert_eq!(via(&runtime.client(), "alice").await, Via::NATS);
    server.kill();
    let health = until(&runtime, "no path", |health| health.events.via.is_none()).await;
    assert!(health.events.reasons[1].why.contains("is not the one"), "{health}");
    assert!(runtime.client().call(joined("bob")).await.is_err());
    runtime.shutdown(GRACE).await;
    service.stop().await;
    assert_eq!((file.applied().await, other.applied().await), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_is_refused_from_its_first_request_however_late_the_store_is_opened() {
    let (server, file, copy) = (NatsServer::start().await, DbFile::new(), DbFile::new());
    SqlService::<Op>::open(&file.options()).await.unwrap().close().await;
    std::fs::copy(file.path(), copy.path()).unwrap();
    let service = DbService::start(&server, &file).await;
    let (needed, named) = (copy.options(), copy.options());
    let needed = GuardedStore::when_needed(move || {
        let options = needed.clone();
        Box::pin(async move { Ok(SqlService::open(&options).await.unwrap()) })
    });
    let named = GuardedStore::when_named(move |_| {
        let options = named.clone();
        Box::pin(async move { SqlService::open(&options).await.ok() })
    });
    for (direct, opens_itself) in [(needed, false), (named, true)] {
        let runtime = Runtime::<Op>::builder().nats(server.url()).store(direct).build().await.unwrap();
        until(&runtime, "over NATS", |health| health.calls.via == Some(Via::NATS)).await;
        if opens_itself {
            wait_until("it is found", || async { runtime.direct().database().is_some() }).await;
        }
        let error = runtime.direct().clone().oneshot(Request::new(joined("alice"))).await.unwrap_err();
        assert_eq!(error.class(), Class::NotSent, "{error}");
        let why = runtime.direct().why_not().unwrap();
        assert!(why.contains("is not the file that the service on NATS has open"), "{why}");
        runtime.shutdown(GRACE).await;
    }
    service.stop().await;
    assert_eq!((file.applied().await, copy.applied().await), (0, 0));
}

#[tokio::test]
async fn a_runtime_that_cannot_be_built_says_why_and_leaves_nothing_open() {
    let (file, kept) = (DbFile::new(), OutboxFile::new());
    let none = Runtime::<Op>::builder().outbox(kept.path()).build().await.map(drop).unwrap_err();
    assert!(matches!(none, BuildError::NoPath), "{none}");
    let builder = Runtime::<Op>::builder;
    let address = builder().store("postgres://host/db").build().await.map(drop).unwrap_err();
    assert!(matches!(address, BuildError::Store(_)), "{address}");
    let holder = kept.open().await;
    let held = builder().store(file.options()).outbox(kept.options()).build().await.map(drop).unwrap_err();
    assert!(matches!(held, BuildError::Outbox(_)), "{held}");
    assert!(!is_open(&file));
    holder.close().await;
    let nats = eitherway::nats::NatsOptions::new("nats://127.0.0.1:1").inbox_prefix(Some("a.*".to_owned()));
    let prefix = builder().nats(nats).outbox(kept.options()).build().await.map(drop).unwrap_err();
    assert!(matches!(prefix, BuildError::Nats(_)), "{prefix}");
    wait_until("the outbox is given back", || async {
        eitherway::outbox::OutboxService::<Op>::open(&kept.options()).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn layers_stand_around_the_path_they_were_given_for_and_around_everything() {
    let (file, kept) = (DbFile::new(), OutboxFile::new());
    let counts: [Arc<AtomicUsize>; 4] = Default::default();
    let runtime = Runtime::<Op>::builder()
        .nats("nats://127.0.0.1:1")
        .store(impatient(&file))
        .outbox(kept.options())
        .layer_nats(counting(&counts[0]))
        .layer_store(counting(&counts[1]))
        .layer_outbox(counting(&counts[2]))
        .build()
        .await
        .unwrap()
        .layer(counting(&counts[3]));
    let held = file.hold().await;
    assert_eq!(via(&runtime.client(), "alice").await, Via::OUTBOX);
    let [nats, store, outbox, all] = [0, 1, 2, 3].map(|of| counts[of].load(Ordering::Relaxed));
    assert_eq!((nats >= 1, store >= 1, outbox, all), (true, true, 1, 1), "the replay asks the paths, too");
    held.release().await;
    runtime.shutdown(GRACE).await;
    assert_eq!(counts[2].load(Ordering::Relaxed) + counts[3].load(Ordering::Relaxed), 2);
    assert_eq!(file.applied().await, 1);
}
