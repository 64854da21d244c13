//! A database that is gone for a while, and what waits for it meanwhile.
#![allow(clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::*;
use eitherway::nats::NatsOptions;
#[cfg(feature = "postgres")]
use eitherway::postgres::PostgresOptions;
use eitherway::service::{Served, ServiceOptions, serve};
use eitherway::sql::SqlService;
use futures_util::future::join_all;
use rosey::op::{Op, Request};
use serde_json::json;
#[cfg(feature = "postgres")]
use sqlx::Connection as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::util::MapRequestLayer;

/// How many events wait for the database.
const WAITING: u64 = 600;
/// For how long it is gone, beyond the first failure.
const GONE: Duration = Duration::from_secs(8);
/// So many attempts fit into that, one after the other with growing pauses: 0.1 s, 0.2 s, 0.4 s and so on, less the jitter.
const TRIES: u64 = 30;

/// A service whose attempts on its database are counted.
struct Counted {
    _server: NatsServer,
    peer: Peer,
    attempts: Arc<AtomicU64>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Served>,
    _stored: tempfile::TempDir,
}

impl Counted {
    async fn serve(store: SqlService<Op>, options: ServiceOptions) -> Self {
        let stored = tempfile::tempdir().unwrap();
        let server = NatsServer::with_jetstream(stored.path()).await;
        let (attempts, (ready, is_ready), (stop, stopped)) =
            (Arc::<AtomicU64>::default(), oneshot::channel(), oneshot::channel());
        let count = Arc::clone(&attempts);
        let counting = MapRequestLayer::new(move |request: Request| {
            count.fetch_add(1, Ordering::Relaxed);
            request
        });
        let (nats, options) = (NatsOptions::new(server.url()), options.layer(counting));
        let task = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve::<Op, _, _>(nats, store, options, move || ready.send(()).unwrap(), stopped).await.unwrap()
        });
        tokio::time::timeout(LIMIT, is_ready).await.expect("it starts").unwrap();
        let peer = Peer::connect(&server).await;
        Self { _server: server, peer, attempts, stop, task, _stored: stored }
    }

    async fn publish(&self, count: u64) {
        let lines = (0..count).map(|n| {
            let line = json!({"username": "alice", "message": format!("line {n}")}).to_string();
            self.peer.publish("rosey.db.message.log", line)
        });
        join_all(lines).await;
        self.peer.flush().await;
    }

    /// Publishes while the database is gone, and looks how often it is tried while pings are answered. `queries`: whether the
    /// database still answers them; otherwise they are refused.
    async fn while_it_is_gone(&self, queries: bool) {
        self.publish(WAITING).await;
        noticed(&self.peer, "the database fails").await;
        let (since, before, mut asked) = (Instant::now(), self.attempts.load(Ordering::Relaxed), 0);
        while since.elapsed() < GONE {
            let asking = Instant::now();
            assert!(ping(&self.peer).await["notices"].to_string().contains("the database fails"));
            let answer = self.peer.request("rosey.db.query.channel_stats", "{}").await;
            asked += 1;
            assert_eq!(answer.refusal().is_some(), !queries);
            assert!(asking.elapsed() < Duration::from_secs(1), "{:?}", asking.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let tried = self.attempts.load(Ordering::Relaxed) - before - asked;
        println!(
            "{tried} attempts in {GONE:?}, while {WAITING} events waited and {asked} queries were answered"
        );
        assert!(tried <= TRIES, "{tried} attempts");
    }

    async fn stop(self) -> Served {
        self.stop.send(()).unwrap();
        tokio::time::timeout(LIMIT, self.task).await.expect("it stops").unwrap()
    }
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgresql_is_down_one_try_at_a_time_is_made_and_all_is_applied_as_soon_as_it_is_back() {
    for options in [on(), off()] {
        let mut postgres = Postgres::start(&[]);
        let url = postgres.database().await;
        let store = PostgresOptions::new(&url).unwrap().retention(None);
        let store = SqlService::<Op>::open_postgres(&store).await.unwrap();
        let service = Counted::serve(store.clone(), options).await;
        service.publish(1).await;
        postgres.stop("-INT");
        service.while_it_is_gone(false).await;
        postgres.run();
        let since = Instant::now();
        let mut raw = sqlx::PgConnection::connect(&url).await.unwrap();
        let waits = format!("SELECT count(*) <= {WAITING} FROM rosey.recent_chat");
        while sqlx::query_scalar(sqlx::AssertSqlSafe(waits.clone())).fetch_one(&mut raw).await.unwrap() {
            assert!(
                since.elapsed() < Duration::from_secs(4),
                "not applied {:?} after it was back",
                since.elapsed()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        println!("applied {:?} after it was back", since.elapsed());
        all_clear(&service.peer).await;
        let served = service.stop().await;
        assert_eq!((served.done > WAITING, served.lost, served.returned), (true, 0, 0), "{served:?}");
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_file_is_locked_one_try_at_a_time_is_made_and_all_is_applied_as_soon_as_it_is_free() {
    for options in [on(), off()] {
        let file = DbFile::new();
        let store = file.options().busy_timeout(Duration::from_millis(50)).retention(None);
        let store = SqlService::<Op>::open(&store).await.unwrap();
        let service = Counted::serve(store.clone(), options).await;
        service.publish(1).await;
        wait_until("the first is applied", || async { file.applied().await == 1 }).await;
        let held = file.hold().await;
        service.while_it_is_gone(true).await;
        held.release().await;
        let since = Instant::now();
        wait_until("all are applied", || async { file.applied().await == WAITING + 1 }).await;
        println!("applied {:?} after it was free", since.elapsed());
        // At most the longest pause that was begun.
        assert!(since.elapsed() < Duration::from_secs(7), "{:?}", since.elapsed());
        all_clear(&service.peer).await;
        let served = service.stop().await;
        assert_eq!((served.done > WAITING, served.lost, served.returned), (true, 0, 0), "{served:?}");
        store.close().await;
    }
}
