//! Services replaced, servers that say goodbye, services that hang: what stops takes nothing with it, and what comes back late
//! doubles nothing.

use crate::support::*;
use eitherway::service::ServiceOptions;
use eitherway::stack::{Hedging, NO_PATH, StackBuilder, boxed};
use eitherway::{Ack, Db, Via};
use eitherway_layers::breaker::State;
use futures_util::future::join_all;
use rosey::op::{GetChannelStats, UserJoined};

// Services.

/// What a service says at its end: how much it took, and that it lost nothing.
pub(crate) fn share(log: &str) -> u64 {
    let stopped = log.lines().find(|line| line.starts_with("stopped: ")).expect("it says what it has done");
    eprintln!("{stopped}");
    assert!(!stopped.contains(" failed") && stopped.contains(" served, 0 lost"), "{stopped}");
    stopped.split(' ').nth(1).unwrap().parse().unwrap()
}

async fn replace_all(options: &[&str], stream: bool) {
    let w = Durable::new().await;
    let mut processes = Vec::new();
    for _ in 0..3 {
        processes.push(ServeProcess::start_with(&w.server, &w.file, options).await);
    }
    let nats = recognised(&w.server).await;
    let mut load = Load::mixed(&nats_only(&nats), 16);
    load.served_by_nats(500).await;
    let mut shares = Vec::new();
    for _ in 0..knob("ROSEY_ROUNDS", 6) {
        let old = processes.remove(0);
        processes.push(ServeProcess::start_with(&w.server, &w.file, options).await);
        load.served_by_nats(200).await;
        shares.push(share(&old.terminate_and_log().await));
        load.served_by_nats(200).await;
    }
    load.all_served().await;
    let [events, calls, queries] = load.tally.kinds();
    if stream {
        w.emptied().await;
    }
    for process in processes {
        shares.push(share(&process.terminate_and_log().await));
    }
    eprintln!("{events} events, {calls} calls, {queries} queries; taken by each instance: {shares:?}");
    assert!(shares.iter().all(|taken| *taken > 50), "each has its share: {shares:?}");
    assert_exactly_once_with(&w.file, events, calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_services_on_a_stream_may_be_replaced_under_load_and_callers_without_another_path_see_no_error() {
    // A message that waits for the stream's patience waits for half an hour.
    replace_all(&["--jetstream", "on", "--stream-ack-wait-ms", "1800000"], true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_services_without_a_stream_may_be_replaced_under_load_and_callers_without_another_path_see_no_error()
 {
    replace_all(&["--jetstream", "off"], false).await;
}

// Servers.

/// A server that gives its clients eight seconds before it closes their connections.
async fn polite(store: &std::path::Path) -> NatsServer {
    let config = format!(
        "jetstream {{ store_dir: {:?} }}\nlame_duck_duration: \"30s\"\nlame_duck_grace_period: \"8s\"",
        store.display()
    );
    NatsServer::with_config(&config).await
}

async fn server_says_goodbye(options: ServiceOptions, stream: bool) {
    let store = tempfile::tempdir().unwrap();
    let (mut server, file) = (polite(store.path()).await, DbFile::new());
    let service = DbService::try_start(&server, &file, options).await.unwrap();
    let nats = recognised(&server).await;
    // No hedges: what the service has taken is what NATS has answered.
    let mut builder = StackBuilder::new().hedging(Hedging::off());
    if !stream {
        // No time-out: an answer that does not come is one that was lost.
        builder = builder.nats_timeout(LIMIT);
    }
    let stack = builder.over(Some(nats.clone()), direct(&file, &nats).await, NO_PATH).stack;
    let mut load = Load::mixed(&Db::new(boxed(stack)), 32);
    load.served_by_nats(400).await;
    server.begin_lame_duck();
    load.served_by_db(100).await;
    // A stream goes at once with what it has not acknowledged yet; a service has time to answer.
    assert!(stream || nats.status().borrow().connected, "the connection is closed at once");
    server.lame_duck_ended().await;
    server.restart().await;
    load.served_by_nats(400).await;
    load.all_served().await;
    let [events, calls, _] = load.tally.kinds();
    nats.all_applied(LIMIT).await.unwrap();
    let served = service.stop().await;
    assert_eq!((served.lost, served.refused, served.failed), (0, 0, 0), "{served:?}");
    if !stream {
        assert_eq!(served.taken, load.tally.by_nats(), "what was taken was answered, and the answer arrived");
    }
    assert_exactly_once_with(&file, events, calls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_stream_that_says_goodbye_takes_nothing_with_it() {
    server_says_goodbye(on(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_stream_that_says_goodbye_takes_nothing_with_it() {
    server_says_goodbye(off(), false).await;
}

// Frozen services.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_service_behind_a_living_stream_costs_questions_their_circuit_and_events_nothing() {
    let w = Durable::new().await;
    let process = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", "on"]).await;
    let nats = recognised(&w.server).await;
    let direct = direct(&w.file, &nats).await;
    // No hedges: the probes open the circuit.
    let built = StackBuilder::new().hedging(Hedging::off()).over(Some(nats.clone()), direct, NO_PATH);
    let (stack, circuits) = (built.stack, built.circuits.unwrap());
    let db = Db::new(boxed(stack));
    db.user_joined("first").await.unwrap();
    nats.applied(LIMIT).await.unwrap();
    // While it has nothing to do: stopped in the middle of a transaction, it would hold the lock of the file.
    process.freeze();
    let questions = (0..50).map(|_| db.call(GetChannelStats {}));
    for answer in join_all(questions).await {
        assert_eq!(answer.unwrap().via, Via::DB);
    }
    assert_eq!(circuits.requests.state(), State::Open);
    assert_eq!(circuits.events.state(), State::Closed);
    for n in 0..100 {
        let reply = db.call(UserJoined { username: format!("user{n}") }).await.unwrap();
        assert_eq!((reply.via, reply.ack), (Via::NATS, Ack::Stored), "{n}");
        assert_eq!(db.call(GetChannelStats {}).await.unwrap().via, Via::DB);
    }
    process.thaw();
    w.emptied().await;
    assert_exactly_once(&w.file, 101).await;
    assert_eq!(process.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_frozen_for_longer_than_the_streams_patience_doubles_nothing_when_it_goes_on() {
    let w = Durable::new().await;
    let options = ["--jetstream", "on", "--stream-ack-wait-ms", "1000"];
    let first = ServeProcess::start_with(&w.server, &w.file, &options).await;
    let nats = recognised(&w.server).await;
    let peer = Peer::connect(&w.server).await;
    let db = nats_only(&nats);
    // It takes two hundred and can apply none: what it would do with them, it does when it goes on.
    let held = w.file.hold().await;
    let joins = (0..100).map(|n| db.user_joined(format!("user{n}")));
    join_all(joins).await.into_iter().for_each(|sent| sent.unwrap());
    for n in 0..100 {
        // No id: it is derived, by each of them for itself.
        let line = format!(r#"{{"username":"python","message":"line {n}"}}"#);
        peer.request("rosey.db.message.log", line).await;
    }
    wait_until("all are taken", || async { w.consumer().await.cached_info().num_ack_pending == 200 }).await;
    first.freeze();
    held.release().await;
    let second = ServeProcess::start_with(&w.server, &w.file, &options).await;
    w.emptied().await;
    assert_exactly_once(&w.file, 200).await;
    first.thaw();
    // It is at it again, and says what it has to say of the two hundred, while new ones come.
    let mut load = Load::start(&db, 8);
    load.served_by_nats(500).await;
    let sent = load.all_served().await;
    w.emptied().await;
    let taken = [share(&first.terminate_and_log().await), share(&second.terminate_and_log().await)];
    eprintln!("taken by each instance: {taken:?}");
    assert!(taken[0] >= 200 && taken[1] >= 200, "both took the two hundred: {taken:?}");
    assert_exactly_once(&w.file, 200 + sent).await;
    assert_eq!(w.file.dead_letters().await, 0);
}
