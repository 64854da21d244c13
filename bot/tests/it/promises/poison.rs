//! Whatever bytes a server accepts on our subjects: they cost no other client anything.

mod flood;

use std::time::Duration;

use crate::support::program::rosey;
use crate::support::*;

const SUBJECT: &str = "rosey.db.user.joined";

/// Header blocks that a server takes and the client library of the service cannot read.
const UNREADABLE: [&[u8]; 9] = [
    b"NATS/1.0\r\nX-Name: caf\xe9\r\n\r\n",
    b"NATS/1.0\r\nTrace Id: 17\r\n\r\n",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/2.0\r\nA: b\r\n\r\n",
    b"HTTP/1.1\r\nA: b\r\n\r\n",
    b"NATS/1.0\r\nA: b\rc\r\n\r\n",
    b"NATS/1.0\r\n\xc3\x9c: b\r\n\r\n",
    b"NATS/1.0\r\nA\x00B: \x00\r\n\r\n",
    b"\xff\xfe\x00\r\n\r\n",
];

/// The same; a stream of a newer server takes the status off.
const UNREADABLE_STATUS: [&[u8]; 2] = [b"NATS/1.0 abc\r\nA: b\r\n\r\n", b"NATS/1.0 99 low\r\n\r\n"];

/// Those that are odd, and can be read.
const ODD: [&[u8]; 8] = [
    b"NATS/1.0 503\r\n\r\n",
    b"NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 9999\r\n\r\n",
    b"NATS/1.0 409 Consumer Deleted\r\n\r\n",
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
    b"NATS/1.0 404 No Messages\r\n\r\n",
    b"NATS/1.0\r\n: no name\r\n\r\n",
    b"NATS/1.0\r\nA: caf\xc3\xa9\x00\r\n folded\r\n\r\n",
    b"NATS/1.0\r\n\r\n",
];

fn joined(name: &str) -> Vec<u8> {
    format!(r#"{{"username":"{name}"}}"#).into_bytes()
}

fn dead(arguments: &[&str], file: &DbFile) -> (Option<i32>, String) {
    let dead = Ran::of(rosey(file.dir()).args(["dead", "--database-url", &file.url()]).args(arguments));
    (dead.code, dead.out)
}

async fn users(file: &DbFile, like: &'static str) -> i64 {
    file.number(match like {
        "good" => "SELECT count(*) FROM user_stats_now WHERE username LIKE 'good%'",
        _ => "SELECT count(*) FROM user_stats_now WHERE username LIKE 'bad%'",
    })
    .await
}

async fn stream_of(store: &tempfile::TempDir) -> (NatsServer, DbFile, ServeProcess) {
    let (server, file) = (NatsServer::with_jetstream(store.path()).await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "on"]).await;
    (server, file, service)
}

async fn stats(peer: &Peer) -> serde_json::Value {
    peer.request("$SRV.STATS.rosey-db", "").await.json()
}

async fn asked(server: &NatsServer) -> (serde_json::Value, serde_json::Value) {
    let peer = Peer::connect(server).await;
    let ping = peer.request("rosey.db.ping", "").await.json();
    (ping, stats(&peer).await)
}

#[tokio::test]
async fn what_cannot_be_read_in_the_stream_is_a_dead_letter_with_its_bytes_and_the_rest_is_applied() {
    let store = tempfile::tempdir().unwrap();
    let (server, file, service) = stream_of(&store).await;
    let mut peer = BytesPeer::connect(&server);
    for (place, header) in UNREADABLE.iter().enumerate() {
        peer.publish(SUBJECT, b"", &joined(&format!("good{place}")));
        peer.publish(SUBJECT, header, &joined(&format!("bad{place}")));
    }
    peer.publish(SUBJECT, b"", &joined("good-last"));
    peer.flush();
    let all = UNREADABLE.len();
    wait_until("all good ones are applied, and all others dead letters", || async {
        (users(&file, "good").await, file.dead_letters().await) == (all as i64 + 1, all as u64)
    })
    .await;
    let (_, shown) = dead(&["list", "--json"], &file);
    let letters: serde_json::Value = serde_json::from_str(&shown).unwrap();
    for (place, header) in UNREADABLE.iter().enumerate() {
        let sequence = format!("sequence {} of", 2 * place + 2);
        let of_it = |letter: &&serde_json::Value| letter["reason"].as_str().unwrap().contains(&sequence);
        let letter = letters.as_array().unwrap().iter().find(of_it).expect(&sequence);
        let (subject, payload) = (letter["subject"].as_str().unwrap(), letter["payload"].as_str().unwrap());
        assert_eq!((subject, payload.as_bytes()), (SUBJECT, &joined(&format!("bad{place}"))[..]));
        assert_eq!(decoded(letter["header_base64"].as_str().unwrap()), *header, "{letter}");
    }
    let context = async_nats::jetstream::new(Peer::connect(&server).await.client);
    wait_until("the stream is empty", || async {
        context.get_stream("ROSEY").await.unwrap().cached_info().state.messages == 0
    })
    .await;
    // They are set aside side by side: any of them may be the last.
    let named = |text: &str| {
        let even = (1..=all).map(|place| format!("sequence {} of the stream ROSEY", 2 * place));
        text.contains(SUBJECT) && even.into_iter().any(|place| text.contains(&place))
    };
    wait_until("ping and statistics name the last one", || async {
        let (ping, stats) = asked(&server).await;
        named(&ping["notices"].to_string())
            && named(&stats["data"]["unreadable"].to_string())
            && stats["data"]["unreadable"]["set_aside"] == all
    })
    .await;
    let log = service.log();
    let said: Vec<_> = log.lines().filter(|line| line.contains("cannot be read")).collect();
    assert!(said.len() == 1 && said[0].contains(SUBJECT) && said[0].contains("sequence"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
    // Offered again, what the body says is done, once.
    let (code, text) = dead(&["retry", "--all"], &file);
    assert_eq!(
        (code, file.dead_letters().await, users(&file, "bad").await),
        (Some(0), 0, all as i64),
        "{text}"
    );
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test]
async fn two_thousand_that_cannot_be_read_do_not_hold_up_good_events() {
    let begun = std::time::Instant::now();
    let store = tempfile::tempdir().unwrap();
    let (server, file, mut service) = stream_of(&store).await;
    service.kill();
    let mut peer = BytesPeer::connect(&server);
    for place in 0..2_000 {
        peer.publish(SUBJECT, UNREADABLE[place % UNREADABLE.len()], &joined("bad"));
        if place % 10 == 0 {
            peer.publish(SUBJECT, b"", &joined(&format!("good{place}")));
        }
    }
    peer.flush();
    service.restart().await;
    wait_until("all good ones are applied, and all others dead letters", || async {
        (users(&file, "good").await, file.dead_letters().await) == (200, 2_000)
    })
    .await;
    peer.publish(SUBJECT, b"", &joined("good-after"));
    wait_until("the next one is applied", || async { users(&file, "good").await == 201 }).await;
    let log = service.log();
    few_lines(&log, 2, begun.elapsed());
}

#[tokio::test]
async fn good_events_are_applied_while_others_that_cannot_be_read_keep_coming() {
    let store = tempfile::tempdir().unwrap();
    let (server, file, _service) = stream_of(&store).await;
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let mut poison = BytesPeer::connect(&server);
    let poisoning = std::thread::spawn(move || {
        let mut sent = 0;
        while ended.recv_timeout(Duration::from_millis(10)).is_err() {
            poison.publish(SUBJECT, UNREADABLE[sent % UNREADABLE.len()], &joined("bad"));
            sent += 1;
        }
        poison.flush();
        sent
    });
    let mut peer = BytesPeer::connect(&server);
    for round in 0..5 {
        for place in 0..20 {
            peer.publish(SUBJECT, b"", &joined(&format!("good{round}-{place}")));
        }
        wait_until("the good ones are applied", || async { users(&file, "good").await == (round + 1) * 20 })
            .await;
    }
    end.send(()).unwrap();
    let sent = poisoning.join().unwrap();
    wait_until("all others are dead letters", || async { file.dead_letters().await == sent as u64 }).await;
}

#[tokio::test]
async fn two_services_keep_each_message_that_cannot_be_read_once() {
    let store = tempfile::tempdir().unwrap();
    let (server, file, _first) = stream_of(&store).await;
    let _second = ServeProcess::start_with(&server, &file, &["--jetstream", "on"]).await;
    let mut peer = BytesPeer::connect(&server);
    for place in 0..100 {
        peer.publish(SUBJECT, UNREADABLE[place % UNREADABLE.len()], &joined("bad"));
        peer.publish(SUBJECT, b"", &joined(&format!("good{place}")));
    }
    peer.flush();
    let context = async_nats::jetstream::new(Peer::connect(&server).await.client);
    wait_until("the stream is empty", || async {
        context.get_stream("ROSEY").await.unwrap().cached_info().state.messages == 0
    })
    .await;
    assert_eq!((users(&file, "good").await, file.dead_letters().await), (100, 100));
}

#[tokio::test]
async fn a_dead_letter_that_stays_in_the_stream_is_kept_and_counted_once() {
    let store = tempfile::tempdir().unwrap();
    let config = format!(
        r#"jetstream {{ store_dir: {:?} }}
        authorization {{ users: [
            {{ user: service, password: x, permissions: {{ publish: {{ deny: "$JS.API.STREAM.MSG.DELETE.>" }} }} }}
            {{ user: peer, password: x }}
        ] }}
        no_auth_user: peer"#,
        store.path().display()
    );
    let (server, file) = (NatsServer::with_config(&config).await, DbFile::new());
    let url = As("service", &server).url();
    let arguments = ["serve", "--nats-url", &url, "--database-url", &file.url(), "--jetstream", "on"];
    let mut service = ServeProcess::begin(&arguments);
    service.serves().await;
    let mut peer = BytesPeer::connect(&server);
    peer.publish(SUBJECT, b"", &joined("good0"));
    peer.publish(SUBJECT, UNREADABLE[0], &joined("bad"));
    peer.flush();
    wait_until("it is a dead letter", || async { file.dead_letters().await == 1 }).await;
    service.restart().await;
    // What is asked in the moment in which the connection ends is lost.
    let client = Peer::connect(&server).await.client;
    let ask = async |subject: &'static str| {
        let asked = tokio::time::timeout(Duration::from_secs(1), client.request(subject, "".into())).await;
        let answer = asked.ok()?.ok()?;
        serde_json::from_slice::<serde_json::Value>(&answer.payload).ok()
    };
    wait_until("the next process meets it", || async {
        let ping = ask("rosey.db.ping").await;
        ping.is_some_and(|ping| ping["notices"].to_string().contains("a dead letter already"))
    })
    .await;
    let mut stats = None;
    while stats.is_none() {
        stats = ask("$SRV.STATS.rosey-db").await;
    }
    let stats = stats.unwrap();
    assert_eq!(stats["data"]["unreadable"]["set_aside"], 0, "{stats}");
    let buried = |endpoint: &serde_json::Value| endpoint["data"]["buried"].as_u64().unwrap_or_default();
    assert_eq!(stats["endpoints"].as_array().unwrap().iter().map(buried).sum::<u64>(), 0, "{stats}");
    peer.publish(SUBJECT, b"", &joined("good1"));
    peer.flush();
    wait_until("the rest goes on", || async { users(&file, "good").await == 2 }).await;
    assert_eq!(file.dead_letters().await, 1);
    assert!(!service.log().contains("older copy"), "{}", service.log());
}

#[tokio::test]
async fn a_header_that_is_odd_and_can_be_read_makes_no_difference() {
    for options in [["--jetstream", "on"], ["--jetstream", "off"]] {
        let store = tempfile::tempdir().unwrap();
        let (server, file) = (NatsServer::with_jetstream(store.path()).await, DbFile::new());
        let service = ServeProcess::start_with(&server, &file, &options).await;
        let mut peer = BytesPeer::connect(&server);
        for (place, header) in ODD.iter().enumerate() {
            peer.publish(SUBJECT, header, &joined(&format!("good{place}")));
        }
        let large = format!("NATS/1.0\r\nA: {}\r\n\r\n", "x".repeat(60_000)); // a stream takes 64 KiB
        peer.publish(SUBJECT, large.as_bytes(), &joined("good-large"));
        let many = format!("NATS/1.0\r\n{}\r\n", "A: b\r\n".repeat(100));
        peer.publish(SUBJECT, many.as_bytes(), &joined("good-many"));
        peer.publish(SUBJECT, many.as_bytes(), b"\xff\x00");
        wait_until("all of them are applied", || async {
            (users(&file, "good").await, file.dead_letters().await) == (ODD.len() as i64 + 2, 1)
        })
        .await;
        let (_, shown) = dead(&["list", "--json"], &file);
        let letters: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(letters[0]["headers"]["A"].as_array().map(Vec::len), Some(100), "{shown}");
        assert_eq!(decoded(letters[0]["payload_base64"].as_str().unwrap()), b"\xff\x00");
        assert!(!service.log().contains("lost the connection"), "{}", service.log());
    }
}

#[tokio::test]
async fn without_a_stream_the_service_is_back_at_once_and_names_the_cause() {
    let begun = std::time::Instant::now();
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start(&server, &file).await;
    let mut peer = BytesPeer::connect(&server);
    let subjects = [SUBJECT, "rosey.db.ping", "rosey.db.who", "rosey.db.applied", "$SRV.PING", "$SRV.STATS"];
    let client = Peer::connect(&server).await;
    let mut sent = 0;
    let mut bad = |peer: &mut BytesPeer, subject: &str, reply: &[u8], header: &[u8]| {
        peer.publish_with_reply(subject, reply, header, &joined("bad"));
        peer.flush();
        sent += 1;
        sent
    };
    for (place, header) in UNREADABLE.iter().chain(&UNREADABLE_STATUS).enumerate() {
        let subject = subjects[place % subjects.len()];
        bad(&mut peer, subject, b"", header);
        answers(&client, &format!("good{place}")).await;
    }
    bad(&mut peer, SUBJECT, b"caf\xe9", b"");
    answers(&client, "good-reply").await;
    let all = bad(&mut peer, SUBJECT, "a\u{a0}b".as_bytes(), b"NATS/1.0\r\nA: b\r\n\r\n");
    answers(&client, "good-blank").await;
    wait_until("ping and statistics name the cause", || async {
        let (ping, stats) = asked(&server).await;
        let ended = stats["data"]["unreadable"]["connections_ended"].as_u64().unwrap();
        assert!(ended <= all, "{stats}");
        ping["notices"].to_string().contains("cannot be read") && ended == all
    })
    .await;
    let log = service.log();
    assert!(!log.contains("panicked"), "{log}");
    few_lines(&log, 1, begun.elapsed());
    assert_eq!(service.terminate().await, Some(0));
}

/// Four lines for each start; then each of two kinds of failure writes at most two in ten seconds.
fn few_lines(log: &str, starts: u64, since: Duration) {
    let allowed = 4 * starts + 2 * 2 * (1 + since.as_secs() / 10);
    assert!(log.lines().count() as u64 <= allowed, "in {since:?}: {log}");
}

/// Asks until an answer comes: what was on its way when the connection ended is lost with it, as core NATS has it.
async fn answers(client: &Peer, name: &str) {
    wait_until("the service answers again", || async {
        let asked = client.client.request(SUBJECT, joined(name).into());
        let answer = tokio::time::timeout(Duration::from_millis(500), asked).await;
        answer.is_ok_and(|answer| answer.is_ok())
    })
    .await;
}

/// Base64.
fn decoded(text: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0_u32, 0, Vec::new());
    for digit in text.bytes().filter_map(|byte| digits.iter().position(|digit| *digit == byte)) {
        (bits, held) = (bits << 6 | digit as u32, held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    bytes
}
