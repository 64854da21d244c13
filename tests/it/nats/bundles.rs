//! What waits in a client travels together, and each operation keeps its own fate.

use futures_util::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::*;

const BUNDLES: &str = "rosey.db.batch";

/// An operation as it is written in a bundle.
fn entry(name: &str, id: &str, payload: &str) -> String {
    let (at, size) = (eitherway::Head::now().occurred_at, payload.len());
    format!("{}\n{payload}\n", json!({"name": name, "id": id, "at": at, "size": size}))
}

fn line(id: &str) -> String {
    entry("message_log", id, r#"{"username":"alice","message":"hi"}"#)
}

/// A bundle of two lines that has so many bytes.
fn filled(bytes: usize) -> String {
    let long = |length: usize| {
        let message = "x".repeat(length);
        line("begin 1")
            + &entry("message_log", "begin 2", &json!({"username": "alice", "message": message}).to_string())
    };
    (1..).map(long).find(|bundle| bundle.len() >= bytes).filter(|bundle| bundle.len() == bytes).unwrap()
}

/// The fates in an answer, by place: "done", an answer, or the number of a refusal.
fn fates(body: &str) -> Vec<Value> {
    let mut lines = body.lines();
    let done: Value = serde_json::from_str(lines.next().unwrap()).unwrap();
    let mut all: Vec<(u64, Value)> =
        done["done"].as_array().unwrap().iter().map(|n| (n.as_u64().unwrap(), json!("done"))).collect();
    while let Some(head) = lines.next() {
        let head: Value = serde_json::from_str(head).unwrap();
        let fate = match head["code"].as_u64() {
            Some(code) => json!(code),
            None => serde_json::from_str(lines.next().unwrap()).unwrap(),
        };
        all.push((head["n"].as_u64().unwrap(), fate));
    }
    all.sort_by_key(|(n, _)| *n);
    all.into_iter().map(|(_, fate)| fate).collect()
}

/// How many operations each bundle had that was heard by now.
async fn heard(peer: &Peer, bundles: &mut async_nats::Subscriber) -> Vec<usize> {
    peer.flush().await;
    let mut sizes = Vec::new();
    while let Ok(Some(bundle)) = tokio::time::timeout(Duration::from_millis(50), bundles.next()).await {
        assert!(bundle.payload.len() <= 128 << 10);
        sizes.push(bundle.payload.iter().filter(|byte| **byte == b'\n').count() / 2);
    }
    sizes
}

async fn lines(db: &Db<impl eitherway::Stack<Op>>, many: usize) {
    let lines = (0..many).map(|n| db.message_log("alice", format!("line {n}")));
    join_all(lines).await.into_iter().for_each(|sent| sent.unwrap());
}

#[tokio::test]
async fn what_waits_travels_together_and_nothing_waits_to_fill() {
    let w = World::new().await;
    let peer = Peer::connect(&w.server).await;
    let mut bundles = peer.listen(BUNDLES).await;
    let db = nats_only(&w.nats);
    lines(&db, 300).await;
    let sizes = heard(&peer, &mut bundles).await;
    assert!(sizes.iter().all(|size| (2..=128).contains(size)), "{sizes:?}");
    assert!(
        (290..300).contains(&sizes.iter().sum::<usize>()),
        "the first few found nothing that waits: {sizes:?}"
    );
    // Far fewer than a bundle may hold: nothing else comes, and they are answered.
    lines(&db, 8).await;
    assert_eq!(heard(&peer, &mut bundles).await, [4]);
    assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, 308);
    assert_eq!(w.nats.inbox().waiting, 0);
}

#[tokio::test]
async fn one_operation_alone_travels_as_ever() {
    let w = World::new().await;
    let peer = Peer::connect(&w.server).await;
    let (mut bundles, mut alone) = (peer.listen(BUNDLES).await, peer.listen("rosey.db.user.joined").await);
    let db = nats_only(&w.nats);
    for n in 0..10 {
        db.at(1_700_000_000_000 + n).call(joined("alice")).await.unwrap();
    }
    assert_eq!(heard(&peer, &mut bundles).await, [0; 0]);
    let first = next(&mut alone).await;
    assert_eq!(first.payload.as_ref(), br#"{"username":"alice","timestamp":1700000000}"#);
    let mut headers: Vec<_> = first.headers.unwrap().iter().map(|(name, _)| name.to_string()).collect();
    headers.sort_unstable();
    assert_eq!(headers, ["Eitherway-Occurred-At", "Eitherway-Operation-Id", "Nats-Msg-Id"]);
}

#[tokio::test]
async fn calls_and_queries_travel_together_too_and_each_has_its_own_answer() {
    let w = World::new().await;
    let peer = Peer::connect(&w.server).await;
    let mut bundles = peer.listen(BUNDLES).await;
    let db = nats_only(&w.nats);
    let calls = (0..50).map(|n| db.call(OutboundEnqueue { username: None, content: format!("message {n}") }));
    let mut ids: Vec<_> = join_all(calls).await.into_iter().map(|reply| reply.unwrap().answer.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 50);
    let names = (0..50).map(|n| db.user_stats(format!("user{n}")));
    assert!(join_all(names).await.into_iter().all(|stats| stats.unwrap().is_none()));
    assert!(heard(&peer, &mut bundles).await.iter().sum::<usize>() > 80);
}

/// An answer tells which path is alive: that of events is another one than that of the others.
#[tokio::test]
async fn events_and_others_travel_in_bundles_of_their_own() {
    let w = World::new().await;
    let peer = Peer::connect(&w.server).await;
    let mut bundles = peer.listen(BUNDLES).await;
    let db = nats_only(&w.nats);
    let both = (0..100).map(|n| {
        let db = &db;
        async move {
            match n % 2 {
                0 => db.message_log("alice", format!("line {n}")).await.map(drop),
                _ => db.user_stats(format!("user{n}")).await.map(drop),
            }
        }
    });
    join_all(both).await.into_iter().for_each(|sent| sent.unwrap());
    peer.flush().await;
    let mut kinds = Vec::new();
    while let Ok(Some(bundle)) = tokio::time::timeout(Duration::from_millis(50), bundles.next()).await {
        let text = String::from_utf8(bundle.payload.to_vec()).unwrap();
        let [events, others] = ["message_log", "user_stats"].map(|name| text.contains(name));
        assert_ne!(events, others, "{text}");
        assert_eq!(bundle.reply.unwrap().ends_with("-e"), events);
        kinds.push(events);
    }
    assert!(kinds.contains(&true) && kinds.contains(&false), "{kinds:?}");
}

#[tokio::test]
async fn each_operation_of_a_bundle_has_its_own_fate() {
    let w = World::new().await;
    let peer = Peer::connect(&w.server).await;
    let late = |id: &str| {
        let head = json!({"name": "user_joined", "id": id, "at": Head::now().occurred_at, "deadline": 1, "size": 18});
        format!("{head}\n{}\n", r#"{"username":"bob"}"#)
    };
    let bundle = [
        line("a"),
        line("a"),
        entry("message_log", "a", r#"{"username":"alice","message":"another"}"#),
        entry("message_log", "b", r#"{"username":7}"#),
        entry("message_log", "c", &"[".repeat(10_000)),
        late("d"),
        entry("nothing", "e", "{}"),
        entry("batch", "f", "{}"),
        entry("message_log", "tab\t", "{}"),
        entry("user_stats", "g", r#"{"username":"nobody"}"#),
        line("irc.my-room/h"),
    ];
    let mut answers = Vec::new();
    let inbox = peer.client.new_inbox();
    let mut replies = peer.listen(&inbox).await;
    peer.client.publish_with_reply(BUNDLES, inbox, bundle.concat().into()).await.unwrap();
    while answers.len() < bundle.len() {
        let answer = next(&mut replies).await;
        assert_eq!(
            answer.headers.as_ref().and_then(|h| h.get("Eitherway-Reply")).map(|v| v.as_str()),
            Some("1")
        );
        let body = String::from_utf8(answer.payload.to_vec()).unwrap();
        let places: Vec<Value> = fates(&body);
        answers.extend(places.into_iter().map(|fate| (body.clone(), fate)));
    }
    let count = |wanted: Value| answers.iter().filter(|(_, fate)| *fate == wanted).count();
    assert_eq!(
        [json!("done"), json!(409), json!(400), json!(504), json!(501)].map(count),
        [3, 1, 3, 1, 2],
        "{answers:?}"
    );
    assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, 2);
    // As if it had come alone.
    let letters = w.file.texts("SELECT subject || ' ' || code FROM dead_letters ORDER BY 1").await;
    assert_eq!(
        letters,
        ["rosey.db.message.log id_reused"]
            .into_iter()
            .chain(["rosey.db.message.log invalid"; 3])
            .collect::<Vec<_>>()
    );
    lines(&nats_only(&w.nats), 20).await;
    let served = w.service.stop().await;
    assert_eq!((served.expired, served.refused, served.lost), (1, 4, 0), "{served:?}");
}

#[tokio::test]
async fn what_is_no_bundle_is_refused_as_a_whole_and_the_next_one_is_served() {
    let w = World::new().await;
    let peer = Peer::connect(&w.server).await;
    let many = line("x").repeat(513);
    let huge = "x".repeat(600 << 10);
    let nested = "[".repeat(200_000);
    // Of so large a message the service keeps the beginning alone, which is a bundle.
    let beginning = filled(4096);
    assert_eq!(fates(&peer.request(BUNDLES, beginning.clone()).await.body), [json!("done"), json!("done")]);
    let cut_short = beginning.replace("begin", "other") + &huge;
    let cut = line("y");
    for (bad, code) in [
        ("", 400),
        ("garbage", 400),
        ("{}\n{}\n", 400),
        ("{\"name\":\"message_log\",\"id\":\"a\",\"size\":99}\n{}\n", 400),
        (&nested, 400),
        (&many, 413),
        (&huge, 413),
        (&cut_short, 413),
        (&cut[..cut.len() - 1], 400),
    ] {
        let refused = peer.request(BUNDLES, bad.to_owned()).await;
        assert_eq!(refused.refusal(), Some(code), "{}", &bad[..bad.len().min(60)]);
    }
    assert_eq!(fates(&peer.request(BUNDLES, line("z")).await.body), [json!("done")]);
    // No peer hears of one without a reply subject: it is kept.
    peer.publish(BUNDLES, "garbage").await;
    wait_until("it is kept", || async { w.file.dead_letters().await == 1 }).await;
    // Nor is one done whose answer would go where its sender may not publish.
    peer.client.publish_with_reply(BUNDLES, "rosey.db.user.joined", line("w").into()).await.unwrap();
    wait_until("it is kept", || async { w.file.dead_letters().await == 2 }).await;
    assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, 3);
}

#[tokio::test]
async fn a_service_that_is_not_told_to_take_bundles_does_nothing_of_one() {
    for jetstream in [JetStream::Off, JetStream::On] {
        let (w, options) = (Durable::new().await, ServiceOptions::default().jetstream(jetstream));
        let _service = w.try_serve(options).await.unwrap();
        let peer = Peer::connect(&w.server).await;
        assert!(peer.request("rosey.db.ping", "").await.json()["bundles"].is_null());
        for subject in [BUNDLES, "rosey.db.batch.events"] {
            let inbox = peer.client.new_inbox();
            let mut replies = peer.listen(&inbox).await;
            peer.client.publish_with_reply(subject, inbox, line("x").into()).await.unwrap();
            let refused = next(&mut replies).await;
            let code = refused.headers.as_ref().and_then(|h| h.get("Nats-Service-Error-Code"));
            let none = refused.status == Some(async_nats::StatusCode::NO_RESPONDERS);
            assert!(none || code.is_some_and(|code| code.as_str() == "501"), "{subject}: {refused:?}");
        }
        assert_eq!(w.file.number("SELECT count(*) FROM ledger").await, 0, "{jetstream:?}");
    }
}

#[tokio::test]
async fn a_bundle_is_split_by_what_the_server_takes() {
    let w = World::on(NatsServer::with_config("max_payload: 4096").await).await;
    let peer = Peer::connect(&w.server).await;
    let mut bundles = peer.listen(BUNDLES).await;
    lines(&nats_only(&w.nats), 200).await;
    let sizes = heard(&peer, &mut bundles).await;
    assert!(sizes.len() > 5 && sizes.iter().all(|size| *size < 32), "{sizes:?}");
    assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, 200);
}

#[tokio::test]
async fn with_an_older_service_or_client_and_beside_an_older_instance_each_operation_travels_alone() {
    let server = NatsServer::start().await;
    let file = DbFile::new();
    let old = DbService::try_start(&server, &file, ServiceOptions::default()).await.unwrap();
    let peer = Peer::connect(&server).await;
    let mut bundles = peer.listen(BUNDLES).await;
    assert!(peer.request("rosey.db.ping", "").await.json()["bundles"].is_null());
    let nats = recognised(&server).await;
    let db = nats_only(&nats);
    lines(&db, 50).await;
    assert_eq!(heard(&peer, &mut bundles).await, [0; 0]);
    // Both in one queue group: what the older one is handed, it does not know.
    let new = DbService::try_start(&server, &file, ServiceOptions::default().bundles(true)).await.unwrap();
    for _ in 0..20 {
        lines(&db, 50).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let beside = recognised(&server).await;
    for _ in 0..20 {
        lines(&nats_only(&beside), 50).await;
    }
    old.stop().await;
    let new_client = recognised(&server).await;
    let sent = async {
        while heard(&peer, &mut bundles).await.is_empty() {
            lines(&nats_only(&new_client), 50).await;
        }
    };
    tokio::time::timeout(LIMIT, sent).await.expect("bundles are sent");
    let plain = eitherway::nats::NatsService::<Op>::connect(NatsOptions::new(server.url()).bundles(false))
        .await
        .unwrap();
    plain.recognised().await;
    lines(&nats_only(&plain), 50).await;
    assert_eq!(heard(&peer, &mut bundles).await, [0; 0]);
    assert_eq!(file.dead_letters().await, 0);
    new.stop().await;
    file.assert_clean().await;
}

#[tokio::test]
async fn a_caller_that_gives_up_takes_nobody_of_its_bundle_along() {
    let w = World::new().await;
    let held = w.file.hold().await;
    let db = nats_only(&w.nats);
    let mut calls: Vec<_> = (0..40).map(|n| Box::pin(db.message_log("alice", format!("line {n}")))).collect();
    // All are sent.
    for call in &mut calls {
        assert!(call.as_mut().now_or_never().is_none());
    }
    wait_until("all wait", || async { w.nats.inbox().waiting >= 40 }).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut kept = Vec::new();
    for (n, call) in calls.into_iter().enumerate() {
        if n % 2 == 0 {
            kept.push(call);
        }
    }
    held.release().await;
    join_all(kept).await.into_iter().for_each(|sent| sent.unwrap());
    wait_until("all are applied", || async { w.file.number("SELECT count(*) FROM recent_chat").await == 40 })
        .await;
    wait_until("no one waits", || async { w.nats.inbox().waiting == 0 }).await;
    // Those that travelled in bundles as well.
    wait_until("each late answer is counted", || async { w.nats.inbox().late == 20 }).await;
}

#[tokio::test]
async fn a_client_that_may_not_send_bundles_sends_each_operation_alone() {
    let config = r#"authorization { users = [
        { user: db, password: db }
        { user: bot, password: bot, permissions: { publish: { deny: ["rosey.db.batch", "rosey.db.batch.>"] } } } ] }"#;
    let server = NatsServer::with_config(config).await;
    let url = server.url();
    let of = |user: &str| url.replace("nats://", &format!("nats://{user}:{user}@"));
    let file = DbFile::new();
    let options = ServiceOptions::default().bundles(true);
    let _service = DbService::try_start_at(&of("db"), &file, options).await.unwrap();
    let nats = eitherway::nats::NatsService::<Op>::connect(NatsOptions::new(of("bot"))).await.unwrap();
    nats.recognised().await;
    for _ in 0..3 {
        lines(&nats_only(&nats), 50).await;
    }
    assert_eq!(file.number("SELECT count(*) FROM recent_chat").await, 150);
    let status = nats.status().borrow().clone();
    assert!(status.usable() && !status.denied, "{status:?}");
}
