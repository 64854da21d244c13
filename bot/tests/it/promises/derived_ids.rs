//! An event that its source identifies is one event, whenever and however often it is read.

use crate::support::{DbFile, Ran, run_with};

const LINES: &str = "SELECT message FROM recent_chat ORDER BY id";

/// Feeds lines to a bot on the file.
async fn bot(file: &DbFile, chat: &str, more: &[&str], input: &str) -> Ran {
    let url = file.url();
    let fixed = ["bot", "--chat", chat, "--no-nats", "--database-url", &url, "--outbox", "off"];
    let ran = run_with(&[&fixed[..], more].concat(), input).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran
}

fn message(id: &str, more: &str) -> String {
    format!("{{\"event\":\"message\",\"user\":\"alice\",\"content\":\"hi\",\"id\":{id}{more}}}\n")
}

#[tokio::test]
async fn a_line_read_again_has_no_second_effect_whatever_its_time_is() {
    let file = DbFile::new();
    for input in [
        message("\"m-1\"", ""),
        message("\"m-1\"", "") + &message("\"m-1\"", ""),
        message("\"m-1\"", ",\"timestamp\":1700000000"),
        message("\"m-1\"", ",\"timestamp\":1700000000000"),
        message("\"m-1\"", ",\"timestamp\":1700000099.5"),
        message("\"m-1\"", ",\"timestamp\":null"),
    ] {
        bot(&file, "jsonl:-", &[], &input).await;
    }
    assert_eq!(file.texts(LINES).await, ["hi"]);
    // A number is its digits, however many.
    for id in ["17", "\"17\"", "12345678901234567890123", "12345678901234567890124"] {
        bot(&file, "jsonl:-", &[], &message(id, "")).await;
    }
    assert_eq!(file.texts(LINES).await.len(), 1 + 3);
    assert_eq!(file.dead_letters().await, 0);
    file.assert_clean().await;
}

#[tokio::test]
async fn every_operation_of_an_event_is_done_once() {
    let file = DbFile::new();
    let input = concat!(
        "{\"event\":\"connect\",\"id\":\"c\"}\n",
        "{\"event\":\"user_join\",\"user\":\"alice\",\"id\":\"e\"}\n",
        "{\"event\":\"user_count\",\"usercount\":3,\"connected\":5,\"id\":\"e2\"}\n",
        "{\"event\":\"user_leave\",\"user\":\"alice\",\"id\":\"e3\"}\n",
    );
    let of = "SELECT group_concat(operation, ' ') FROM (SELECT operation FROM ledger WHERE operation IN \
              ('user_joined', 'user_left', 'high_water') ORDER BY operation)";
    for _ in 0..3 {
        let ran = bot(&file, "jsonl:-", &[], input).await;
        assert!(!ran.err.contains("id_reused"), "{ran:?}");
    }
    assert_eq!(file.texts(of).await, ["high_water user_joined user_left"]);
    file.assert_clean().await;
}

#[tokio::test]
async fn two_sources_may_call_two_events_by_one_id() {
    let file = DbFile::new();
    let (one, two) = (message("\"m-1\"", ""), message("\"m-1\"", "").replace("hi", "ho"));
    for _ in 0..2 {
        bot(&file, "jsonl:-", &["--channel", "one"], &one).await;
        bot(&file, "jsonl:-", &["--channel", "two"], &two).await;
        bot(&file, "jsonl:-?source=three", &["--channel", "one"], &two).await;
    }
    assert_eq!(file.texts(LINES).await, ["hi", "ho", "ho"]);
    file.assert_clean().await;
}
