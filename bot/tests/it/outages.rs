//! The server and the service killed, frozen and restarted under load: every call is served, everything sent is there,
//! and there once.

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
