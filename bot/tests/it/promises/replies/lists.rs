//! Answers of bounded length.

use super::*;

/// Lines that fill a payload almost to its limit, each with a number in front.
fn long_line(n: usize) -> String {
    json!({"username": "alice", "message": format!("{n} {}", "x".repeat(255 * 1024))}).to_string()
}

fn numbers(lines: &Value) -> Vec<u64> {
    let number = |line: &Value| line["message"].as_str()?.split(' ').next()?.parse().ok();
    lines.as_array().unwrap().iter().map(|line| number(line).unwrap()).collect()
}

#[tokio::test]
async fn lines_that_do_not_fit_into_an_answer_are_left_out_the_oldest_first_and_the_caller_is_told() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
    let peer = Peer::connect(&server).await;
    for n in 1..=6 {
        let said = peer.request("rosey.db.message.log", long_line(n)).await;
        assert_eq!((said.refusal(), said.body.as_str()), (None, "{}"));
    }
    let said = peer.request("rosey.db.stats.recent_chat.get", "{}").await;
    assert_eq!(said.refusal(), None, "{:?}", said.headers);
    assert_eq!(numbers(&said.json()), [4, 5, 6]);
    assert_eq!(said.header("Eitherway-Truncated"), Some("3"));
    let said = peer.request("rosey.db.stats.recent_chat.get", r#"{"limit":2}"#).await;
    assert_eq!((numbers(&said.json()), said.header("Eitherway-Truncated")), (vec![5, 6], None));

    // Over either path it is the same answer.
    let (url, database) = (server.url(), file.url());
    for options in [vec!["--nats-url", &url], vec!["--no-nats", "--database-url", &database]] {
        let asked = Ran::of(rosey(file.dir()).args(["--json", "recent", "-n", "50"]).args(&options));
        let told = asked.code == Some(0) && asked.err.contains("3 older lines are not shown");
        assert!(told, "{options:?}: {asked:?}");
        let lines: Value = serde_json::from_str(&asked.out).unwrap();
        assert_eq!(numbers(&lines), [4, 5, 6], "{options:?}");
    }
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test]
async fn a_list_never_fails_for_its_length_and_a_claim_takes_no_more_than_it_hands_out() {
    let server = NatsServer::with_config("max_payload: 32768").await;
    let file = DbFile::new();
    let service = ServeProcess::start_with(&server, &file, &["--jetstream", "off"]).await;
    let peer = Peer::connect(&server).await;
    for n in 0..400 {
        let name = format!("{n:03}{}", "u".repeat(200));
        peer.publish("rosey.db.user.joined", json!({ "username": name }).to_string()).await;
        peer.publish("rosey.db.stats.user_count", r#"{"chat_count":1,"connected_count":2}"#).await;
    }
    wait_until("all are applied", || async { file.applied().await == 800 }).await;
    for subject in ["rosey.db.query.open_sessions", "rosey.db.query.user_count_history"] {
        let said = peer.request(subject, "{}").await;
        assert_eq!(said.refusal(), None, "{subject}: {:?}", said.headers);
        let omitted: usize = said.header("Eitherway-Truncated").map_or(0, |count| count.parse().unwrap());
        let entries = said.json().as_array().unwrap().len();
        assert!(entries > 10 && entries + omitted == 400, "{subject}: {entries} and {omitted}");
    }

    for n in 0..10 {
        let content = format!("{n} {}", "\"".repeat(3_000));
        let said = peer
            .request("rosey.db.messages.outbound.enqueue", json!({ "content": content }).to_string())
            .await;
        assert_eq!(said.refusal(), None, "{said:?}");
    }
    let mut handed_out = Vec::new();
    for turn in 1..=10 {
        let said = peer.request("rosey.db.messages.outbound.get", "{}").await;
        assert_eq!(said.refusal(), None, "{:?}", said.headers);
        let claimed = said.json();
        let claimed = claimed.as_array().unwrap();
        handed_out.extend(claimed.iter().map(|message| message["id"].as_i64().unwrap()));
        let leased = file.number("SELECT count(*) FROM outbound_messages WHERE lease_id IS NOT NULL").await;
        assert_eq!(
            usize::try_from(leased).unwrap(),
            handed_out.len(),
            "turn {turn}: what is leased was handed out"
        );
        if handed_out.len() == 10 {
            break;
        }
        assert!(!claimed.is_empty(), "turn {turn}");
    }
    assert_eq!(handed_out, (1..=10).collect::<Vec<i64>>(), "the oldest first, and all in the end");
    assert_eq!(service.terminate().await, Some(0));
}
