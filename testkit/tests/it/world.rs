//! A world of an embedder's own operations: an outage in few lines, and a verdict that sees what is wrong.

use eitherway::operation::{Definition, Done, Migration, Spec};
use eitherway_testkit::{Load, Verdict, World};
use serde::{Deserialize, Serialize};

/// Puts an item into the cart.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Add {
    item: String,
}

impl Definition for Add {
    type Answer = Done;
    const SPEC: Spec = Spec::event("add", "shop.add");
    const STATEMENTS: &'static [&'static str] = &["INSERT INTO cart SELECT id, op ->> 'item' FROM new"];
}

const TABLES: &[Migration] =
    &[Migration::new(10, "cart", "CREATE TABLE cart (op_id TEXT NOT NULL, item TEXT NOT NULL)")];

eitherway::operations! {
    /// The operations of a shop.
    pub(crate) enum Op -> Answer in "shop" with TABLES { Add(Add) }
}

const EFFECTS: &str = "SELECT op_id FROM cart";

fn add(caller: u64, n: u64) -> Add {
    Add { item: format!("{caller}-{n}") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_in_the_middle_loses_nothing_and_doubles_nothing() {
    let mut world = World::<Op>::start().await;
    let sent = world.server_killed(add).await;
    sent.assert_all_served();
    assert!(sent.accepted.len() >= 300, "{sent:?}");
    let verdict = world.verdict(&sent, EFFECTS).await;
    verdict.assert_exactly_once();
    assert_eq!((verdict.sent, verdict.once), (sent.accepted.len(), sent.accepted.len()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_frozen_in_the_middle_loses_nothing_and_doubles_nothing_on_a_stream() {
    let mut world = World::<Op>::with_jetstream().await;
    let sent = world.server_frozen(add).await;
    sent.assert_all_served();
    world.verdict(&sent, EFFECTS).await.assert_exactly_once();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verdict_sees_in_the_file_what_is_lost_twice_and_never_sent() {
    let world = World::<Op>::start().await;
    let mut load = Load::start(&world.client.db, 2, add);
    load.served_by_nats(10).await;
    let sent = load.finish().await;
    // Another program, in the place of a fault of the framework.
    world.file.execute("INSERT INTO cart SELECT op_id, item FROM cart ORDER BY rowid LIMIT 1").await;
    world.file.execute("DELETE FROM cart WHERE rowid = 2").await;
    world.file.execute("INSERT INTO cart VALUES ('stranger', '')").await;
    let verdict = world.verdict(&sent, EFFECTS).await;
    let Verdict { twice, lost, strange, failed, .. } = verdict;
    assert_eq!((twice, lost, strange, failed), (1, 1, 1, 0), "{verdict}");
    assert_eq!(verdict.once + 2, sent.accepted.len());
}
