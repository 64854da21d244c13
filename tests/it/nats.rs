//! The path over NATS, between a real server, a real database service and real files.

mod answers;
mod bundles;
mod peers;

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::*;
use async_nats::{HeaderMap, jetstream};
use eitherway::nats::NatsOptions;
use eitherway::service::{JetStream, ServeError, ServiceOptions};
use eitherway::stack::{NO_PATH, StackBuilder, boxed};
use eitherway::{Ack, Code, Db, Head, Request, Via};
use eitherway_layers::{Class, Classify};
use futures_util::future::join_all;
use rosey::op::{GetChannelStats, MessageLog, Op, OutboundEnqueue, OutboundGet, RecentChat, UserJoined};
use tower::ServiceExt;

fn joined(username: &str) -> UserJoined {
    UserJoined { username: username.to_owned() }
}

/// A server, a service on a file, a connection that has recognised it.
struct World {
    server: NatsServer,
    file: DbFile,
    service: DbService,
    nats: eitherway::nats::NatsService<Op>,
}

impl World {
    async fn new() -> Self {
        Self::on(NatsServer::start().await).await
    }

    async fn on(server: NatsServer) -> Self {
        Self::with(server, ServiceOptions::default().bundles(true)).await
    }

    async fn without_stream(server: NatsServer) -> Self {
        Self::with(server, ServiceOptions::default().jetstream(JetStream::Off).bundles(true)).await
    }

    async fn with(server: NatsServer, options: ServiceOptions) -> Self {
        let file = DbFile::new();
        let service = DbService::try_start(&server, &file, options).await.unwrap();
        let nats = recognised(&server).await;
        Self { server, file, service, nats }
    }
}

// What goes over NATS.

#[tokio::test]
async fn the_same_request_over_both_paths_takes_effect_once_and_is_answered_the_same() {
    let w = World::new().await;
    let (over_nats, over_db) = (nats_only(&w.nats), db_only(&w.file).await);
    let request = Request::<Op>::new(OutboundEnqueue { username: None, content: "hi".into() });
    let sends = (0..20)
        .map(|n| if n % 2 == 0 { over_nats.send(request.clone()) } else { over_db.send(request.clone()) });
    let replies: Vec<_> = join_all(sends).await.into_iter().map(Result::unwrap).collect();
    for (n, reply) in replies.iter().enumerate() {
        assert_eq!(reply.via, if n % 2 == 0 { Via::NATS } else { Via::DB });
        assert_eq!(format!("{:?}", reply.answer), format!("{:?}", replies[0].answer));
    }
    assert_eq!(w.file.number("SELECT count(*) FROM outbound_messages").await, 1);
}

#[tokio::test]
async fn nothing_is_left_behind_by_calls_that_are_dropped() {
    let w = World::new().await;
    let peer = Peer::connect(&w.server).await;
    w.service.stop().await;
    let _pretender = peer.pretend::<Op>("0").await;
    // A subscriber takes the requests and never answers.
    let _silent = peer.listen("rosey.db.>").await;
    let db = nats_only(&w.nats);
    tokio::time::timeout(LIMIT, w.nats.recognised()).await.expect("recognised");
    for n in 0..50 {
        let name = format!("user{n}");
        let _ = tokio::time::timeout(Duration::from_millis(1), db.user_joined(name)).await;
    }
    // The health's own ping is one of them now and then.
    wait_until("no request waits", || async { w.nats.inbox().waiting == 0 }).await;
}

/// What became of many requests that were sent at once.
#[derive(Debug, Default)]
struct Sent {
    timed_out: u64,
    /// Released when the health noticed that no service answers.
    released: u64,
    /// Never handed over, because there is no room in the queue.
    no_room: u64,
    /// Never handed over, because no service answers.
    unserved: u64,
}

impl Sent {
    /// Sends them, and gives each 50 ms. No service answers.
    async fn at_once(nats: &eitherway::nats::NatsService<Op>, many: usize, line: &str) -> Self {
        let requests = (0..many).map(|_| {
            let message = line.to_owned();
            let request = Request::<Op>::new(MessageLog { username: "alice".to_owned(), message });
            tokio::time::timeout(Duration::from_millis(50), nats.clone().oneshot(request))
        });
        let all = tokio::time::timeout(LIMIT, join_all(requests)).await.expect("nothing blocks");
        let mut sent = Self::default();
        for result in all {
            match result {
                Err(_) => sent.timed_out += 1,
                Ok(Err(error)) if error.class() == Class::Unknown => sent.released += 1,
                Ok(Err(error)) if error.to_string().contains("queue is full") => sent.no_room += 1,
                Ok(Err(error)) => {
                    assert_eq!(error.class(), Class::NotSent);
                    sent.unserved += 1;
                }
                Ok(Ok(reply)) => panic!("no service can have answered: {reply:?}"),
            }
        }
        sent
    }

    /// Those that were handed over.
    const fn handed_over(&self) -> u64 {
        self.timed_out + self.released
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_requests_that_time_out_on_a_frozen_server_leave_no_waiter_and_a_bounded_queue() {
    const QUEUE: u64 = 256;
    let server = NatsServer::start().await;
    let peer = Peer::connect(&server).await;
    let _pretender = peer.pretend::<Op>("0").await;
    let _silent = peer.listen("rosey.db.message.log").await;
    let options = NatsOptions::new(server.url()).queue(QUEUE as usize);
    let nats = eitherway::nats::NatsService::<Op>::connect(options).await.unwrap();
    tokio::time::timeout(LIMIT, nats.recognised()).await.expect("recognised");
    let gone = || nats.client().statistics().out_messages.load(Ordering::Relaxed);
    // A caller that gave up leaves at once: only the health's own questions may wait.
    let nobody_waits = || assert!(nats.inbox().waiting <= 3, "{:?}", nats.inbox());

    // Large ones fill what lies between us and the server, and then the queue. A machine that is too busy to send them before
    // the server is called silent does it again.
    let (mut handed_over, mut timed_out, begun) = (0, 0, gone());
    let filling = async {
        loop {
            nats.recognised().await;
            server.freeze();
            let filled = Sent::at_once(&nats, 4000, &"x".repeat(4000)).await;
            handed_over += filled.handed_over();
            timed_out += filled.timed_out;
            let waiting = handed_over.saturating_sub(gone() - begun);
            assert!(waiting <= QUEUE, "{waiting} in the queue: {filled:?}");
            nobody_waits();
            server.thaw();
            if filled.no_room > 0 {
                break;
            }
        }
    };
    tokio::time::timeout(LIMIT, filling).await.expect("the queue is full");
    while timed_out < 10_000 {
        tokio::time::timeout(LIMIT, nats.recognised()).await.expect("recognised");
        server.freeze();
        loop {
            let sent = Sent::at_once(&nats, 200, "hi").await;
            nobody_waits();
            handed_over += sent.handed_over();
            timed_out += sent.timed_out;
            if sent.unserved > 0 || timed_out >= 10_000 {
                break;
            }
        }
        server.thaw();
    }

    // What was given up is not kept back, and later callers are served.
    wait_until("the queue is empty", || async { gone() - begun >= handed_over }).await;
    tokio::time::timeout(LIMIT, nats.recognised()).await.expect("recognised");
    tokio::time::timeout(LIMIT, nats.client().flush()).await.expect("nothing blocks").unwrap();
    nobody_waits();
}

// Where no service answers.

/// The promise is "at once, not after the time-out of 2 s"; a noisy machine gets half of that.
const AT_ONCE: Duration = Duration::from_secs(1);

async fn served_at_once_by_the_database(db: &Over) {
    let begun = Instant::now();
    let read = db.call(GetChannelStats {}).await.unwrap();
    let write = db.call(OutboundGet { username: None, limit: 5, max_retries: 3 }).await.unwrap();
    let took = begun.elapsed();
    assert_eq!((read.via, write.via), (Via::DB, Via::DB));
    assert!(took < AT_ONCE, "{took:?}");
}

#[tokio::test]
async fn a_query_without_responders_falls_back_at_once() {
    let server = NatsServer::start().await;
    let (file, peer, nats) = (DbFile::new(), Peer::connect(&server).await, nats(&server).await);
    let database = file.open().await;
    // A service is recognised, but nothing listens on the subjects of the operations.
    let _ping = peer.pretend::<Op>(database.database()).await;
    let db = stack(&nats, &file).await;
    tokio::time::timeout(LIMIT, nats.recognised()).await.expect("recognised");
    served_at_once_by_the_database(&db).await;
}

#[tokio::test]
async fn beside_a_monitor_that_hears_everything_a_query_without_responders_falls_back_at_once() {
    let w = World::new().await;
    let peer = Peer::connect(&w.server).await;
    let _monitor = peer.listen(">").await;
    let db = stack(&w.nats, &w.file).await;
    assert_eq!(db.call(GetChannelStats {}).await.unwrap().via, Via::NATS);
    w.service.stop().await;
    // The server says nothing of missing responders now: the silent monitor is one.
    let begun = Instant::now();
    let read = db.call(GetChannelStats {}).await.unwrap();
    assert_eq!(read.via, Via::DB);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "no caller waits for the time-out: {:?}",
        begun.elapsed()
    );
    wait_until("its absence is noticed", || async { !w.nats.status().borrow().usable() }).await;
    served_at_once_by_the_database(&db).await;
}

#[tokio::test]
async fn without_a_service_the_database_serves_at_once_and_a_service_that_comes_later_is_used() {
    let server = NatsServer::start().await;
    let file = DbFile::new();
    let nats = nats(&server).await;
    let db = stack(&nats, &file).await;
    served_at_once_by_the_database(&db).await;
    let _service = DbService::start(&server, &file).await;
    wait_until("over NATS", || async { db.call(GetChannelStats {}).await.unwrap().via == Via::NATS }).await;
}

#[tokio::test]
async fn without_a_server_nothing_blocks_and_a_server_that_comes_later_is_used() {
    let mut server = NatsServer::down();
    let file = DbFile::new();
    let begun = Instant::now();
    let nats = nats(&server).await;
    let db = stack(&nats, &file).await;
    served_at_once_by_the_database(&db).await;
    assert!(begun.elapsed() < AT_ONCE * 2, "connecting took {:?}", begun.elapsed());
    let error = nats_only(&nats).user_joined("bob").await.unwrap_err();
    assert_eq!(error.class(), Class::NotSent);
    server.restart().await;
    let _service = DbService::start(&server, &file).await;
    wait_until("over NATS", || async { db.call(GetChannelStats {}).await.unwrap().via == Via::NATS }).await;
}

#[tokio::test]
async fn beside_a_service_of_another_make_the_database_serves_and_it_gets_nothing_to_write() {
    let server = NatsServer::start().await;
    let (file, peer, nats) = (DbFile::new(), Peer::connect(&server).await, nats(&server).await);
    let mut writes = peer.listen("rosey.db.user.joined").await;
    let _python = peer.answer("rosey.db.stats.recent_chat.get", HeaderMap::new(), "[]").await;
    let db = stack(&nats, &file).await;
    wait_until("connected", || async { nats.status().borrow().connected }).await;
    for n in 0..10 {
        assert_eq!(db.call(joined(&format!("user{n}"))).await.unwrap().via, Via::DB);
    }
    assert!(silent(&mut writes, Duration::from_millis(200)).await, "it would write what we wrote already");
}

#[tokio::test]
async fn what_is_larger_than_the_server_takes_goes_to_the_database() {
    let w = World::on(NatsServer::with_config("max_payload: 2048").await).await;
    let line = || MessageLog { username: "alice".into(), message: "x".repeat(4000) };
    let error = nats_only(&w.nats).call(line()).await.unwrap_err();
    assert_eq!((error.class(), error.cause().code()), (Class::TooLarge, Code::TOO_LARGE));
    assert!(error.request().is_some() && error.fallback().is_some());
    let db = stack(&w.nats, &w.file).await;
    assert_eq!(db.call(line()).await.unwrap().via, Via::DB);
    assert_eq!(db.call(joined("alice")).await.unwrap().via, Via::NATS, "the path itself is well");
    assert_eq!(w.file.number("SELECT length(message) FROM recent_chat").await, 4000);
}

// The end of a service.

#[tokio::test]
async fn a_service_that_stops_under_load_has_done_and_answered_what_it_took() {
    let w = World::new().await;
    let db = nats_only(&w.nats);
    let calls = join_all((0..3000).map(|n| {
        let (db, request) = (db.clone(), Request::<Op>::new(joined(&format!("user{n}"))));
        tokio::spawn(async move { (request.head.id.to_string(), db.send(request).await.is_ok()) })
    }));
    let stop = async {
        wait_until("some are in", || async { w.file.applied().await >= 300 }).await;
        w.service.stop().await
    };
    let (calls, served) = tokio::join!(calls, stop);
    let answered: Vec<_> =
        calls.into_iter().map(Result::unwrap).filter(|(_, ok)| *ok).map(|(id, _)| id).collect();
    let applied: std::collections::HashSet<_> =
        w.file.texts("SELECT id FROM ledger").await.into_iter().collect();
    assert!(answered.iter().all(|id| applied.contains(id)), "everything answered is there");
    assert_eq!((served.failed, served.lost, served.refused), (0, 0, 0), "{served:?}");
    assert_eq!(served.taken, served.done, "everything taken was done");
    assert_eq!(u64::try_from(applied.len()).unwrap(), served.done, "everything done is there, once");
    assert!(answered.len() >= 300);
}

#[tokio::test]
async fn plain_publishes_that_were_taken_are_applied_before_the_service_ends() {
    let w = World::new().await;
    let peer = Peer::connect(&w.server).await;
    for n in 0..500 {
        peer.publish("rosey.db.user.joined", format!(r#"{{"username":"user{n}"}}"#)).await;
    }
    peer.flush().await;
    let served = w.service.stop().await;
    assert_eq!((served.taken, served.done, served.lost), (500, 500, 0));
    assert_eq!(w.file.applied().await, 500);
}
