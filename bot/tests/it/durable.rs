//! Real processes killed and starved under load, with a stream and without: what was acknowledged is applied, and nothing
//! twice.
//!
//! `ROSEY_ROUNDS=1000` kills as often, `ROSEY_SEED=7` at other moments, `ROSEY_FULL_DISK_SECONDS=60` leaves the disk full
//! for as long; with `--nocapture` they tell what they did.

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

async fn kill_services(options: &[&str], stream: bool) {
    let w = Durable::new().await;
    let mut process = ServeProcess::start_with(&w.server, &w.file, options).await;
    let nats = recognised(&w.server).await;
    let plain = if stream { Some(PlainPeer::start(&w.server).await) } else { None };
    let mut load = Load::start(&stack(&nats, &w.file).await, 8);
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
    assert_eq!(u64::try_from(joins + said).unwrap(), sent, "everybody once");
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, joins, "no join twice");
    assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, said, "no line twice");
    assert_eq!(w.file.buried().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_on_a_stream_killed_at_any_moment_lose_nothing_and_double_nothing() {
    kill_services(&["--jetstream", "on", "--stream-ack-wait-ms", "2000"], true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_without_a_stream_killed_at_any_moment_lose_nothing_and_double_nothing() {
    kill_services(&["--jetstream", "off"], false).await;
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

// What cannot be applied.

/// Every message that fails because of what it is.
fn poison() -> Vec<(&'static str, HeaderMap, Vec<u8>)> {
    let plain = |payload: &str| (HeaderMap::new(), payload.as_bytes().to_vec());
    let with = |name: &str, value: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(name, value);
        (headers, br#"{"username":"poison","message":"x"}"#.to_vec())
    };
    let long = format!(r#"{{"username":"{}","message":"x"}}"#, "x".repeat(100_000));
    let large = format!(r#"{{"username":"a","message":"{}"}}"#, "x".repeat(300_000));
    [
        ("invalid", plain("")),
        ("invalid", plain("not JSON")),
        ("invalid", plain("[1]")),
        ("invalid", plain("null")),
        ("invalid", plain(r#"{"username":7,"message":"x"}"#)),
        ("invalid", plain(r#"{"username":"","message":"x"}"#)),
        ("invalid", plain(r#"{"username":"a"}"#)),
        ("invalid", plain("{\"username\":\"a\\u0000b\",\"message\":\"x\"}")),
        ("invalid", plain(&long)),
        ("invalid", plain(&large)),
        ("invalid", (HeaderMap::new(), b"{\"username\":\"\xff\",\"message\":\"x\"}".to_vec())),
        ("invalid", with("Nats-Msg-Id", &"x".repeat(200))),
        ("clock", with("Eitherway-Occurred-At", "99999999999999")),
        ("id_reused", with("Nats-Msg-Id", "taken")),
    ]
    .into_iter()
    .map(|(code, (headers, payload))| (code, headers, payload))
    .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn poison_in_the_stream_is_kept_for_a_person_and_everything_around_it_is_applied() {
    let w = Durable::new().await;
    w.serve().await.stop().await;
    let own = db_only(&w.file).await;
    let taken = eitherway::Head { id: eitherway::OpId::parse("taken").unwrap(), ..eitherway::Head::now() };
    own.with(taken).user_joined("first").await.unwrap();
    let peer = Peer::connect(&w.server).await;
    let poison = poison();
    let mut good = 0;
    for n in 0..1000 {
        peer.publish("rosey.db.message.log", format!(r#"{{"username":"good","message":"{n}"}}"#)).await;
        good += 1;
        if n % 70 == 0
            && let Some((_, headers, payload)) = poison.get(n / 70)
        {
            let subject = "rosey.db.message.log".to_owned();
            let sent = if headers.is_empty() {
                peer.client.publish(subject, payload.clone().into()).await
            } else {
                peer.client.publish_with_headers(subject, headers.clone(), payload.clone().into()).await
            };
            sent.unwrap();
        }
    }
    peer.settle().await;
    let mut notices = peer.listen("rosey.dlq.>").await;
    let service = w.serve().await;
    w.emptied().await;
    assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, good);
    let mut expected: Vec<_> = poison.iter().map(|(code, ..)| (*code).to_owned()).collect();
    let mut codes = w.file.texts("SELECT code FROM dead_letters").await;
    expected.sort();
    codes.sort();
    assert_eq!(codes, expected);
    for _ in &poison {
        assert_eq!(next(&mut notices).await.subject.as_str(), "rosey.dlq.message_log");
    }
    let served = service.stop().await;
    let all = u64::try_from(poison.len()).unwrap();
    assert_eq!((served.refused, served.buried, served.done), (all, all, 1000), "{served:?}");
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
    assert_eq!((w.file.applied().await, w.file.buried().await), (1, 0));
    assert_eq!(w.stored().await, Some(sent));
    process.limit_files(None);
    w.emptied().await;
    assert_eq!((w.file.applied().await, w.file.buried().await), (sent + 1, 0));
    assert_eq!(process.terminate().await, Some(0));
    assert_exactly_once(&w.file, sent + 1).await;
}

// For a person.

fn dead(file: &DbFile, arguments: &[&str]) -> (Option<i32>, String) {
    let dead = Ran::of(rosey(file.dir()).args(["dead", "--database-url", &file.url()]).args(arguments));
    (dead.code, dead.out)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_shown_offered_again_without_doubling_and_dropped() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let peer = Peer::connect(&w.server).await;
    let mut headers = HeaderMap::new();
    headers.insert("Nats-Msg-Id", "ahead");
    headers.insert("Eitherway-Occurred-At", (eitherway::clock::now() + 90_000_000).to_string());
    // Its sender waits no longer: it was stored, and is done whenever it is offered again.
    headers.insert("Eitherway-Deadline", eitherway::clock::now().to_string());
    let early = r#"{"username":"alice","message":"from tomorrow"}"#;
    peer.request_with("rosey.db.message.log", headers, early).await;
    peer.request("rosey.db.user.joined", "garbage").await;
    w.emptied().await;
    let json = |arguments: &[&str]| -> serde_json::Value {
        let (code, text) = dead(&w.file, arguments);
        assert_eq!(code, Some(0), "{text}");
        serde_json::from_str(&text).unwrap()
    };
    let list = json(&["list", "--json"]);
    let reasons: BTreeMap<_, _> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| (letter["code"].as_str().unwrap(), letter["id"].as_i64().unwrap().to_string()))
        .collect();
    let (ahead, garbage) = (&reasons["clock"], &reasons["invalid"]);
    assert!(dead(&w.file, &["list"]).1.contains("message_log"));
    let shown = json(&["show", ahead, "--json"]);
    assert_eq!(
        (shown["payload"].as_str(), shown["headers"]["Nats-Msg-Id"].as_str()),
        (Some(early), Some("ahead"))
    );
    // It is still ahead, and the other one still garbage.
    assert_eq!(dead(&w.file, &["retry", "--all"]).0, Some(3));
    assert_eq!(w.file.buried().await, 2);
    // Time passes.
    let mut connection = w.file.connect().await;
    let earlier = "UPDATE dead_letters SET headers = json_remove(headers, '$.\"Eitherway-Occurred-At\"')";
    sqlx::query(earlier).execute(&mut connection).await.unwrap();
    let again = "INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
        SELECT at, code, reason, subject, headers, payload FROM dead_letters WHERE code = 'clock'";
    sqlx::query(again).execute(&mut connection).await.unwrap();
    let week = "UPDATE dead_letters SET at = at - 8 * 86400000 WHERE code = 'invalid'";
    sqlx::query(week).execute(&mut connection).await.unwrap();
    let (code, text) = dead(&w.file, &["retry", "--all"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("older than 7 days"), "{text}");
    assert_eq!(
        w.file.texts("SELECT message FROM recent_chat").await,
        ["from tomorrow"],
        "twice here, once there"
    );
    assert_eq!(w.file.buried().await, 1);
    assert_eq!(dead(&w.file, &["drop", garbage]).0, Some(0));
    assert_eq!(
        (dead(&w.file, &["drop", garbage]).0, dead(&w.file, &["show", garbage]).0),
        (Some(1), Some(1))
    );
    assert_eq!(dead(&w.file, &["list"]).1, "no dead letters\n");
    service.stop().await;
}

#[tokio::test]
async fn the_service_is_found_by_whoever_looks_for_services_and_tells_what_it_has_done() {
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

// The consumer.

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_delivers_nothing_any_more_is_replaced() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    // As after a crash that cost the stream more than its consumer: it never hands out what is there.
    let mut config = w.consumer().await.cached_info().config.clone();
    config.filter_subject = "rosey.db.user.left".to_owned();
    let body = serde_json::json!({"stream_name": "ROSEY", "config": config});
    let context = w.context().await;
    let subject = "CONSUMER.DURABLE.CREATE.ROSEY.writer".to_owned();
    let changed: serde_json::Value = context.request(subject, &body).await.unwrap();
    assert!(changed.get("error").is_none(), "{changed}");
    let db = nats_only(&nats);
    for n in 0..50 {
        db.user_joined(format!("user{n}")).await.unwrap();
    }
    w.emptied().await;
    assert_exactly_once(&w.file, 50).await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_acknowledged_is_delivered_again_and_has_no_second_effect() {
    let store = tempfile::tempdir().unwrap();
    let config = format!(
        r#"jetstream {{ store_dir: {:?} }}
        authorization {{ users: [
            {{ user: service, password: x, permissions: {{ publish: {{ deny: "$JS.ACK.>" }} }} }}
            {{ user: peer, password: x }}
        ] }}
        no_auth_user: peer"#,
        store.path().display()
    );
    let (server, file) = (NatsServer::with_config(&config).await, DbFile::new());
    let service = eitherway::nats::NatsOptions::new(server.url().replace("//", "//service:x@"));
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let options = on().ack_wait(Duration::from_millis(200));
    tokio::spawn(eitherway::service::serve(
        service,
        file.open().await,
        options,
        || ready.send(()).unwrap(),
        std::future::pending(),
    ));
    tokio::time::timeout(LIMIT, is_ready).await.expect("the service starts").unwrap();
    let peer = Peer::connect(&server).await;
    for n in 0..50 {
        // One in two brings no id.
        let line = format!(r#"{{"username":"python","message":"{n}"}}"#);
        if n % 2 == 0 {
            peer.request("rosey.db.message.log", line).await;
        } else {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", format!("id-{n}"));
            peer.request_with("rosey.db.message.log", headers, line).await;
        }
    }
    peer.request("rosey.db.message.log", "garbage").await;
    let consumer = || async {
        let context = async_nats::jetstream::new(peer.client.clone());
        let consumer: async_nats::jetstream::consumer::PullConsumer =
            context.get_consumer_from_stream("writer", "ROSEY").await.unwrap();
        consumer.cached_info().clone()
    };
    // Six times each, and so alone in the end.
    wait_until("everything was delivered again and again", || async {
        consumer().await.delivered.consumer_sequence >= 6 * 51
    })
    .await;
    assert_eq!(file.number("SELECT count(*) FROM recent_chat").await, 50);
    assert_eq!((file.applied().await, file.buried().await), (50, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_delivered_for_the_fifth_time_is_tried_with_nothing_beside_it() {
    let w = Durable::new().await;
    // Only a word brings it back, never the stream's patience.
    let options = || on().ack_wait(Duration::from_secs(1800));
    w.try_serve(options()).await.unwrap().stop().await;
    let peer = Peer::connect(&w.server).await;
    let line = async |id: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        let payload = format!(r#"{{"username":"alice","message":"{id}"}}"#);
        peer.request_with("rosey.db.message.log", headers, payload).await;
    };
    line("suspect").await;
    let consumer = w.consumer().await;
    let fetch = async || {
        let mut fetched = consumer.fetch().max_messages(1).expires(LIMIT).messages().await.unwrap();
        futures_util::StreamExt::next(&mut fetched).await.expect("it comes again").unwrap()
    };
    let mut suspect = fetch().await;
    for _ in 0..3 {
        give_back(suspect).await;
        suspect = fetch().await;
    }
    let service = w.try_serve(options()).await.unwrap();
    let taken =
        || async { peer.request("$SRV.STATS", "").await.json()["endpoints"][2]["num_requests"].clone() };
    let delivered = || async { w.consumer().await.cached_info().delivered.consumer_sequence };
    // While no process can write, three hundred are begun, the suspect comes, and then the rest.
    let held = w.file.hold().await;
    for n in 0..300 {
        line(&format!("before {n}")).await;
    }
    wait_until("three hundred are begun", || async { taken().await == 300 }).await;
    let before = delivered().await;
    give_back(suspect).await;
    wait_until("the suspect is delivered", || async { delivered().await > before }).await;
    for n in 0..700 {
        line(&format!("after {n}")).await;
    }
    assert_eq!(taken().await, 300, "nothing else is begun while it waits for its turn");
    held.release().await;
    w.emptied().await;
    let row = "SELECT count(*) FROM ledger WHERE batch";
    let of =
        |what: &str| format!("{row} {what} (SELECT batch FROM ledger WHERE id = 'suspect')").leak() as &str;
    let order = (w.file.number(of("<")).await, w.file.number(of("=")).await, w.file.number(of(">")).await);
    assert_eq!(order, (300, 1, 700), "before, beside and after it");
    service.stop().await;
    assert_exactly_once(&w.file, 1001).await;
}

async fn give_back(message: async_nats::jetstream::Message) {
    message.ack_with(async_nats::jetstream::AckKind::Nak(None)).await.unwrap();
}
