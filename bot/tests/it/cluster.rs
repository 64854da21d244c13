//! A NATS cluster and the whole system on several machines: three servers, three services, four bots, two callers, PostgreSQL. Real
//! processes; the network between the servers is made of proxies. Whatever fails: what was accepted has one effect.
//!
//! One world at a time: each is a dozen processes.

mod missing;
mod options;
mod random;
mod world;

use std::time::Duration;

use eitherway::operation::Kind;
use tokio::sync::{Mutex, MutexGuard};

use crate::support::*;
use world::{Outcome, SERVICES, STREAM, World};

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

async fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().await
}

/// How long a fault lasts, where nothing else ends it: longer than it takes a leader without a majority to notice that.
const FOR_A_WHILE: Duration = Duration::from_secs(12);

/// How all servers end.
#[derive(Clone, Copy, Debug)]
enum Stop {
    InOrder,
    Killed,
}

/// A world under load, in which something happens.
async fn under_load(own: bool, happens: impl AsyncFnOnce(&mut World)) -> Outcome {
    let _alone = alone().await;
    let mut world = World::new(own, false).await;
    world.load(&mut Dice::new(1)).await;
    happens(&mut world).await;
    world.finish().await
}

/// Waits until another server than this one leads the stream.
async fn another_leads(world: &World, than: usize) {
    wait_until("another server leads the stream", || async {
        world.cluster.leader(STREAM).await.is_some_and(|leader| leader != than)
    })
    .await;
}

/// Waits until the callers do, or do not, send events over NATS.
async fn events_over_nats(world: &World, wanted: bool) {
    wait_until("the callers know whether the stream takes events", || async {
        world.callers.iter().all(|caller| caller.nats.health().borrow().takes(Kind::Event) == wanted)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the machine for itself: `cargo xtask test --only cluster`"]
async fn the_server_that_leads_the_stream_is_killed_and_every_caller_is_served() {
    let outcome = under_load(false, async |world| {
        let leader = world.cluster.led(STREAM).await;
        world.cluster.server(leader).kill();
        another_leads(world, leader).await;
        events_over_nats(world, true).await;
        world.cluster.server(leader).restart().await;
    })
    .await;
    outcome.assert_all_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the machine for itself: `cargo xtask test --only cluster`"]
async fn without_a_majority_the_database_serves_and_with_one_the_stream_does_again() {
    let outcome = under_load(false, async |world| {
        for server in [0, 1] {
            world.cluster.server(server).kill();
        }
        events_over_nats(world, false).await;
        tokio::time::sleep(FOR_A_WHILE).await;
        for server in [0, 1] {
            world.cluster.server(server).restart().await;
        }
        world.cluster.led(STREAM).await;
        events_over_nats(world, true).await;
    })
    .await;
    outcome.assert_all_served();
    let said = outcome.said.join("\n");
    assert!(said.contains("JetStream does not answer"), "why it waits:\n{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the machine for itself: `cargo xtask test --only cluster`"]
async fn the_leader_is_cut_off_from_the_others_and_nothing_is_lost() {
    let outcome = under_load(false, async |world| {
        let leader = world.cluster.led(STREAM).await;
        world.cluster.isolate(leader, Split::Cut).await;
        another_leads(world, leader).await;
        tokio::time::sleep(FOR_A_WHILE).await;
        world.cluster.heal().await;
    })
    .await;
    outcome.assert_all_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the machine for itself: `cargo xtask test --only cluster`"]
async fn stream_and_consumer_move_from_server_to_server_and_every_caller_is_served() {
    const TIMES: usize = 4;
    let outcome = under_load(false, async |world| {
        for _ in 0..TIMES {
            let leader = world.cluster.led(STREAM).await;
            assert!(world.cluster.step_down(STREAM).await);
            another_leads(world, leader).await;
            events_over_nats(world, true).await;
            wait_until("the consumer moves", || world.cluster.step_down_consumer(STREAM, "writer")).await;
            world.recovered().await;
            events_over_nats(world, true).await;
        }
    })
    .await;
    outcome.assert_all_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the machine for itself: `cargo xtask test --only cluster`"]
async fn servers_and_services_are_restarted_one_by_one_without_an_error_at_a_caller() {
    let outcome = under_load(false, async |world| {
        for server in 0..world.cluster.len() {
            world.cluster.server(server).stop().await;
            world.cluster.server(server).restart().await;
            // The next one may go when this one has what the others have.
            world.cluster.whole(STREAM).await;
            world.recovered().await;
        }
        for service in 0..SERVICES {
            world.said.push(world.services[service].log());
            assert_eq!(world.services[service].end().await, Some(0));
            world.services[service].restart().await;
        }
    })
    .await;
    outcome.assert_all_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the machine for itself: `cargo xtask test --only cluster`"]
async fn servers_say_goodbye_one_by_one_and_clients_and_services_move_without_an_error_at_a_caller() {
    let outcome = under_load(false, async |world| {
        for server in 0..world.cluster.len() {
            world.cluster.server(server).begin_lame_duck();
            world.cluster.server(server).lame_duck_ended().await;
            world.cluster.server(server).restart().await;
            world.cluster.whole(STREAM).await;
            world.recovered().await;
        }
    })
    .await;
    outcome.assert_all_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the machine for itself: `cargo xtask test --only cluster`"]
async fn all_servers_are_stopped_and_started_and_what_the_stream_held_is_applied() {
    let outcome = under_load(false, async |world| {
        for stop in [Stop::InOrder, Stop::Killed] {
            for service in &mut world.services {
                world.said.push(service.log());
                service.kill();
            }
            wait_until("the stream holds events", || async {
                world.cluster.stored(STREAM).await.is_some_and(|stored| stored >= 20)
            })
            .await;
            for server in 0..world.cluster.len() {
                match stop {
                    Stop::InOrder => world.cluster.server(server).stop().await,
                    Stop::Killed => world.cluster.server(server).kill(),
                }
            }
            events_over_nats(world, false).await;
            for server in 0..world.cluster.len() {
                world.cluster.server(server).restart().await;
            }
            world.cluster.whole(STREAM).await;
            assert!(world.cluster.stored(STREAM).await.is_some_and(|stored| stored >= 20), "{stop:?}");
            for service in &mut world.services {
                service.begin_again();
            }
            world.recovered().await;
            events_over_nats(world, true).await;
        }
    })
    .await;
    outcome.assert_all_served();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the machine for itself: `cargo xtask test --only cluster`"]
async fn the_database_server_is_killed_and_no_event_is_lost() {
    let outcome = under_load(true, async |world| {
        let postgres = world.postgres.as_mut().unwrap();
        postgres.stop("-KILL");
        tokio::time::sleep(Duration::from_secs(3)).await;
        postgres.run();
    })
    .await;
    outcome.assert_exactly_once();
}
