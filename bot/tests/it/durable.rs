//! Real processes killed and starved under load, with a stream and without: what was acknowledged is applied, and nothing
//! twice.
//!
//! `ROSEY_ROUNDS=1000` kills as often, `ROSEY_SEED=7` at other moments, `ROSEY_FULL_DISK_SECONDS=60` leaves the disk full
//! for as long; with `--nocapture` they tell what they did.

mod consumer;
mod dead_letters;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::program::rosey;
use crate::support::*;
use async_nats::HeaderMap;
use eitherway::service::ServiceOptions;

/// How often something is killed.
fn rounds() -> u32 {
    knob("ROSEY_ROUNDS", 20)
}

/// Its moments, told.
fn dice(usual: u64) -> Dice {
    let seed = knob("ROSEY_SEED", usual);
    eprintln!("ROSEY_SEED={seed} ROSEY_ROUNDS={}", rounds());
    Dice::new(seed)
}

/// A peer that sends no ids, and waits for the stream's acknowledgement of each line.
struct PlainPeer {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<u64>,
}

impl PlainPeer {
    async fn start(server: &NatsServer) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, peer) = (Arc::clone(&stop), Peer::connect(server).await);
        let task = tokio::spawn(async move {
            let mut acknowledged = 0;
            while !stopped.load(Ordering::Acquire) {
                let line = format!(r#"{{"username":"python","message":"line {acknowledged}"}}"#);
                let answer = peer.request("rosey.db.message.log", line).await;
                assert_eq!(answer.json()["stream"], "ROSEY", "{answer:?}");
                acknowledged += 1;
            }
            acknowledged
        });
        Self { stop, task }
    }

    async fn finish(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.task.await.unwrap()
    }
}

async fn kill_services(options: &[&str], stream: bool, callers: u64) {
    let w = Durable::new().await;
    let mut process = ServeProcess::start_with(&w.server, &w.file, options).await;
    let nats = recognised(&w.server).await;
    let plain = if stream { Some(PlainPeer::start(&w.server).await) } else { None };
    let mut load = Load::start(&stack(&nats, &w.file).await, callers);
    let mut dice = dice(1);
    for _ in 0..rounds() {
        load.served_by_nats(dice.one_of(1..=150)).await;
        process.kill();
        process = ServeProcess::start_with(&w.server, &w.file, options).await;
    }
    load.served_by_nats(50).await;
    let sent = load.finish().await;
    let plain = match plain {
        Some(plain) => plain.finish().await,
        None => 0,
    };
    load.assert_all_served(sent);
    if stream {
        w.emptied().await;
    }
    assert_eq!(process.terminate().await, Some(0));
    eprintln!("{sent} of ours ({} over NATS), {plain} of a plain peer", load.tally.by_nats());
    w.file.assert_verified().await;
    let lines = w.file.number("SELECT count(*) FROM recent_chat WHERE username = 'python'").await;
    assert_eq!(u64::try_from(lines).unwrap(), plain, "acknowledged = applied, without ids too");
    // The lines of the peer have no names of their own: counted above.
    let own = "DELETE FROM recent_chat WHERE username = 'python'";
    let mut connection = w.file.connect().await;
    for sql in [own, "DELETE FROM user_stats WHERE username = 'python'"] {
        sqlx::query(sql).execute(&mut connection).await.unwrap();
    }
    assert_eq!(w.file.applied().await, sent + plain);
    let joins = w.file.number("SELECT count(DISTINCT username) FROM presence").await;
    let said = w.file.number("SELECT count(DISTINCT username || message) FROM recent_chat").await;
    assert_eq!(u64::try_from(joins + said).unwrap(), sent, "each user once");
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, joins, "no join twice");
    assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, said, "no line twice");
    assert_eq!(w.file.dead_letters().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_on_a_stream_killed_at_any_moment_lose_nothing_and_double_nothing() {
    kill_services(&["--jetstream", "on", "--stream-ack-wait-ms", "2000"], true, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_without_a_stream_killed_at_any_moment_lose_nothing_and_double_nothing() {
    kill_services(&["--jetstream", "off"], false, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_on_a_stream_killed_among_bundles_lose_nothing_and_double_nothing() {
    kill_services(&["--jetstream", "on", "--stream-ack-wait-ms", "2000", "--bundles"], true, 64).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_without_a_stream_killed_among_bundles_lose_nothing_and_double_nothing() {
    kill_services(&["--jetstream", "off", "--bundles"], false, 64).await;
}

async fn kill_servers(options: ServiceOptions, stream: bool) {
    let mut w = Durable::new().await;
    let service = w.try_serve(options).await.unwrap();
    let nats = recognised(&w.server).await;
    let mut load = Load::start(&stack(&nats, &w.file).await, 8);
    let mut dice = dice(2);
    for _ in 0..rounds() {
        load.served_by_nats(dice.one_of(1..=150)).await;
        w.server.kill();
        load.served_by_db(dice.one_of(1..=50)).await;
        w.server.restart().await;
    }
    load.served_by_nats(50).await;
    let sent = load.all_served().await;
    if stream {
        w.emptied().await;
    }
    let served = service.stop().await;
    eprintln!("{sent} sent, {} served over NATS; {served:?}", load.tally.by_nats());
    assert_eq!((served.lost, served.refused), (0, 0), "{served:?}");
    assert_exactly_once(&w.file, sent).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_with_a_stream_killed_at_any_moment_loses_nothing_and_doubles_nothing() {
    // What was on its way when the server died is not waited for: that would take half an hour.
    kill_servers(on().ack_wait(Duration::from_secs(1800)), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_a_stream_killed_at_any_moment_loses_nothing_and_doubles_nothing() {
    kill_servers(off(), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_is_full_nothing_is_given_up_and_nothing_is_taken_for_poison() {
    let w = Durable::new().await;
    let process = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", "on"]).await;
    let nats = recognised(&w.server).await;
    let db = nats_only(&nats);
    db.user_joined("before").await.unwrap();
    nats.applied(LIMIT).await.unwrap();
    process.limit_files(Some(4096));
    let mut load = Load::start(&db, 4);
    load.served_by_nats(1500).await;
    let sent = load.all_served().await;
    // Long enough for everything to have been tried, and to have been tried again.
    wait_until("the database is said to fail", || async {
        db.call(rosey::op::OutboundEnqueue { username: None, content: "x".into() }).await.is_err()
    })
    .await;
    let full = Duration::from_secs(knob("ROSEY_FULL_DISK_SECONDS", 3));
    eprintln!("ROSEY_FULL_DISK_SECONDS={}", full.as_secs());
    tokio::time::sleep(full).await;
    assert_eq!((w.file.applied().await, w.file.dead_letters().await), (1, 0));
    assert_eq!(w.stored().await, Some(sent));
    process.limit_files(None);
    w.emptied().await;
    assert_eq!((w.file.applied().await, w.file.dead_letters().await), (sent + 1, 0));
    assert_eq!(process.terminate().await, Some(0));
    assert_exactly_once(&w.file, sent + 1).await;
}

#[tokio::test]
async fn a_service_is_found_by_tools_that_look_for_services_and_tells_what_it_has_done() {
    let w = Durable::new().await;
    let (first, second) = (w.serve().await, w.serve().await);
    let nats = w.client().await;
    let db = nats_only(&nats);
    for n in 0..20 {
        db.user_joined(format!("user{n}")).await.unwrap();
    }
    db.channel_stats().await.unwrap();
    nats.applied(LIMIT).await.unwrap();
    let peer = Peer::connect(&w.server).await;
    let ask = |subject: String| {
        let client = peer.client.clone();
        async move {
            let inbox = client.new_inbox();
            let mut answers = client.subscribe(inbox.clone()).await.unwrap();
            client.publish_with_reply(subject, inbox, "".into()).await.unwrap();
            let mut all = Vec::<serde_json::Value>::new();
            while !silent_for(&mut answers, &mut all).await {}
            all
        }
    };
    for verb in ["PING", "INFO", "STATS"] {
        let all = ask(format!("$SRV.{verb}")).await;
        assert_eq!(all.len(), 2, "every instance: {all:?}");
        assert_eq!(all[0]["type"], format!("io.nats.micro.v1.{}_response", verb.to_lowercase()));
        let fixed = serde_json::json!({"database_id": first.sqlx.database(), "mode": "jetstream"});
        assert_eq!(all[0]["metadata"], fixed, "numbers that change are none of a service's description");
        let name = all[0]["name"].as_str().unwrap();
        assert_eq!((name, ask(format!("$SRV.{verb}.{name}")).await.len()), ("rosey-db", 2));
        let id = all[0]["id"].as_str().unwrap();
        let one = ask(format!("$SRV.{verb}.{name}.{id}")).await;
        assert_eq!((one.len(), one[0]["id"].as_str()), (1, Some(id)));
        assert_eq!(ask(format!("$SRV.{verb}.other")).await.len(), 0);
    }
    let mut requests = BTreeMap::<String, u64>::new();
    for instance in ask("$SRV.STATS".to_owned()).await {
        assert_eq!(instance["data"]["overruns"], 0);
        assert!(instance["data"]["tasks"].as_u64().unwrap() > 0, "{instance}");
        for endpoint in instance["endpoints"].as_array().unwrap() {
            let name = endpoint["name"].as_str().unwrap().to_owned();
            *requests.entry(name).or_default() += endpoint["num_requests"].as_u64().unwrap();
        }
    }
    assert_eq!(requests["user_joined"], 20, "what has no reply subject counts too");
    assert!(requests["channel_stats"] >= 1);
    first.stop().await;
    second.stop().await;
}

/// Takes one more answer; true when none came for a while.
async fn silent_for(answers: &mut async_nats::Subscriber, all: &mut Vec<serde_json::Value>) -> bool {
    use futures_util::StreamExt;
    match tokio::time::timeout(Duration::from_millis(300), answers.next()).await {
        Ok(Some(answer)) if answer.status.is_none() => {
            all.push(serde_json::from_slice(&answer.payload).unwrap());
            false
        }
        Ok(Some(_)) => true,
        _ => true,
    }
}
