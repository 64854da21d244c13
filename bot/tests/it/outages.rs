//! The server and the service killed, frozen and restarted under load: every call is served, everything sent is there,
//! and there once.

mod pairs;
mod read_only;
mod waiting;

use std::time::Duration;

use crate::support::*;
use eitherway::Via;
use rosey::op::GetChannelStats;

/// How long an operation may take while something hangs: the time-out of the path over NATS, one call of the database,
/// and as much again for a machine that is busy with other things.
const BOUND: Duration = Duration::from_secs(4);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_and_restarted_under_load_loses_nothing_and_doubles_nothing() {
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let nats = recognised(&server).await;
    let mut load = Load::start(&stack(&nats, &file).await, 32);
    for _ in 0..3 {
        load.served_by_nats(300).await;
        server.kill();
        load.served_by_db(300).await;
        server.restart().await;
    }
    load.served_by_nats(300).await;
    let sent = load.all_served().await;
    assert!(load.tally.slowest() < BOUND, "{:?}", load.tally.slowest());
    let served = service.stop().await;
    assert_eq!((served.lost, served.refused), (0, 0), "{served:?}");
    assert_exactly_once(&file, sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_costs_a_bounded_wait_and_what_it_held_back_has_no_second_effect() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let nats = recognised(&server).await;
    let mut load = Load::start(&stack(&nats, &file).await, 64);
    load.served_by_nats(300).await;
    server.freeze();
    load.served_by_db(300).await;
    server.thaw();
    load.served_by_nats(300).await;
    let sent = load.all_served().await;
    assert!(load.tally.slowest() < BOUND, "{:?}", load.tally.slowest());
    // What was on its way when the server froze came before what was sent after the thaw, and is done by now.
    let served = service.stop().await;
    let ghosts = served.done - load.tally.by_nats();
    assert!(ghosts > 0, "some had fallen back and arrived all the same: {served:?}");
    assert_exactly_once(&file, sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_down_for_longer_than_a_time_out_is_used_again_when_it_returns() {
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let nats = recognised(&server).await;
    let db = stack(&nats, &file).await;
    server.kill();
    // What falls back now must not be kept somewhere and be sent again later.
    for n in 0..200 {
        assert_eq!(
            db.call(rosey::op::UserJoined { username: format!("user{n}") }).await.unwrap().via,
            Via::DB
        );
    }
    server.restart().await;
    wait_until("over NATS again", || async { db.call(GetChannelStats {}).await.unwrap().via == Via::NATS })
        .await;
    let served = service.stop().await;
    assert_eq!(file.applied().await, 200);
    assert!(served.done < 200, "what was served by the database was not buffered for NATS: {served:?}");
}

// The service as a process.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_killed_under_load_loses_nothing_and_doubles_nothing() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let mut process = ServeProcess::start(&server, &file).await;
    let nats = recognised(&server).await;
    let mut load = Load::start(&stack(&nats, &file).await, 32);
    for _ in 0..2 {
        load.served_by_nats(300).await;
        process.kill();
        load.served_by_db(300).await;
        process = ServeProcess::start(&server, &file).await;
    }
    load.served_by_nats(300).await;
    let sent = load.all_served().await;
    assert!(load.tally.slowest() < BOUND, "{:?}", load.tally.slowest());
    process.terminate().await;
    assert_exactly_once(&file, sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_service_costs_a_bounded_wait_and_what_it_does_later_has_no_second_effect() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let process = ServeProcess::start(&server, &file).await;
    let nats = recognised(&server).await;
    let db = stack(&nats, &file).await;
    // While it has nothing to do: stopped in the middle of a transaction, it would hold the lock of the file, and
    // no process could write.
    process.freeze();
    let mut load = Load::start(&db, 32);
    load.served_by_db(300).await;
    process.thaw();
    load.served_by_nats(300).await;
    let sent = load.all_served().await;
    assert!(load.tally.slowest() < BOUND, "{:?}", load.tally.slowest());
    process.terminate().await;
    assert_exactly_once(&file, sent).await;
}
