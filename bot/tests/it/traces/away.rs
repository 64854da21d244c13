//! A receiver that does not take what it is sent disturbs nothing.

use std::fmt::Write;

use super::receiver::{Answers, Receiver};
use crate::support::program::{finished, rosey};
use crate::support::*;

const LINES: usize = 2_000;

/// How many of these spans may wait.
const ROOM: &str = "64";

/// A bot that reads many lines, and sends its traces there; what it has logged.
async fn bot_that_sends_to(endpoint: &str) -> String {
    let file = DbFile::new();
    let mut lines = String::new();
    for n in 0..LINES {
        writeln!(lines, r#"{{"event":"message","user":"alice","content":"line {n}"}}"#).unwrap();
    }
    let chat = file.path().with_extension("jsonl");
    std::fs::write(&chat, lines).unwrap();
    let mut bot = rosey(file.dir());
    bot.args(["bot", "--no-nats", "--database-url", &file.url(), "--otlp-endpoint", endpoint]);
    bot.args(["--chat", &format!("jsonl:{}?speed=max", chat.display())]);
    bot.env("OTEL_BSP_MAX_QUEUE_SIZE", ROOM);
    let ran = finished(&mut bot).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let kept = file.number("SELECT count(*) FROM ledger WHERE operation = 'message_log'").await;
    assert_eq!(kept, LINES as i64, "nothing waits for the receiver, and nothing is lost for it");
    ran.err
}

/// How many spans it says at its end were not taken.
fn lost(log: &str) -> usize {
    let line = log.lines().find(|line| line.contains("spans of traces were not taken by"));
    let number = line.and_then(|line| line.split_whitespace().find_map(|word| word.parse().ok()));
    number.unwrap_or_else(|| panic!("it says at its end what was lost:\n{log}"))
}

/// Each line has at least as many: the event, the operation, the path, the transaction's two.
const SPANS: usize = LINES * 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_is_away_is_told_once_and_the_bot_goes_on() {
    let log = bot_that_sends_to("http://127.0.0.1:1").await;
    assert_eq!(log.matches("traces cannot be sent to").count(), 1, "{log}");
    assert!(lost(&log) >= SPANS, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_refuses_is_told_once_with_what_it_answers() {
    let receiver = Receiver::that(Answers::Refuses).await;
    let log = bot_that_sends_to(&receiver.url).await;
    assert_eq!(log.matches("it answers 500").count(), 1, "{log}");
    assert!(lost(&log) >= SPANS, "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_never_answers_holds_up_nothing_but_a_bounded_number_of_spans() {
    let receiver = Receiver::that(Answers::Never).await;
    let log = bot_that_sends_to(&receiver.url).await;
    assert!(lost(&log) >= SPANS, "what had no room is lost, and so is what waited at the end: {log}");
}
