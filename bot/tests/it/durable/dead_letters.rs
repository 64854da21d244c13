//! What cannot be applied, and what an operator does about it.

use super::*;

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
    peer.flush().await;
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
    assert_eq!(w.file.dead_letters().await, 2);
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
    assert_eq!(w.file.dead_letters().await, 1);
    assert_eq!(dead(&w.file, &["drop", garbage]).0, Some(0));
    assert_eq!(
        (dead(&w.file, &["drop", garbage]).0, dead(&w.file, &["show", garbage]).0),
        (Some(1), Some(1))
    );
    assert_eq!(dead(&w.file, &["list"]).1, "no dead letters\n");
    service.stop().await;
}

/// An operation as it is written in a bundle.
fn entry(name: &str, id: &str, at: i64, message: &str) -> String {
    let payload = serde_json::json!({"username": "alice", "message": message}).to_string();
    // Its sender waits no longer.
    let head =
        serde_json::json!({"name": name, "id": id, "at": at, "deadline": at + 1, "size": payload.len()});
    format!("{head}\n{payload}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_in_a_bundle_is_offered_again_as_if_it_had_come_alone() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let peer = Peer::connect(&w.server).await;
    wait_until("the stream takes bundles", || async {
        peer.request("rosey.db.ping", "").await.json()["bundles"]["stream"] == true
    })
    .await;
    let (now, tomorrow) = (eitherway::clock::now(), eitherway::clock::now() + 90_000_000);
    let stored = entry("message_log", "one", now, "good")
        + &entry("message_log", "two", tomorrow, "stored")
        + &entry("message_wave", "three", now, "of a newer version");
    assert!(peer.request("rosey.db.batch.events", stored).await.json()["seq"].is_number());
    let asked = entry("message_log", "four", tomorrow, "asked for");
    assert!(peer.request("rosey.db.batch", asked).await.body.contains("\"code\":422"));
    w.emptied().await;
    let letters = "SELECT code || ' ' || subject || ' ' || (headers ->> 'Eitherway-Operation-Id') FROM dead_letters ORDER BY 1";
    assert_eq!(
        w.file.texts(letters).await,
        [
            "clock rosey.db.message.log four",
            "clock rosey.db.message.log two",
            "unknown_operation rosey.db.batch.events three"
        ]
    );
    // Two are still ahead, and the third one is still unknown.
    let (code, text) = dead(&w.file, &["retry", "--all"]);
    assert_eq!((code, w.file.dead_letters().await), (Some(3), 3), "{text}");
    // Time passes.
    let mut connection = w.file.connect().await;
    for sql in [
        format!("UPDATE dead_letters SET headers = json_set(headers, '$.\"Eitherway-Occurred-At\"', '{now}') WHERE code = 'clock'"),
        // A version that knows it.
        "UPDATE dead_letters SET payload = CAST(replace(CAST(payload AS TEXT), 'message_wave', 'message_log') AS BLOB)".to_owned(),
        "INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
         SELECT at, code, reason, subject, headers, payload FROM dead_letters".to_owned(),
    ] {
        sqlx::query(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }
    let (code, text) = dead(&w.file, &["retry", "--all"]);
    assert_eq!((code, w.file.dead_letters().await), (Some(0), 0), "{text}");
    let said = "SELECT op_id || ' ' || message FROM recent_chat ORDER BY 1";
    assert_eq!(
        w.file.texts(said).await,
        ["four asked for", "one good", "three of a newer version", "two stored"],
        "each twice here, and once there"
    );
    service.stop().await;
    w.file.assert_clean().await;
}
