//! Traces as a receiver of the OpenTelemetry protocol gets them: one for each event of the chat, through every process.
#![cfg(feature = "otlp")]

mod away;
mod receiver;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{ChildStdin, Stdio};

use eitherway::Operation;
use rosey::op::Op;
use serde_json::json;

use crate::support::program::{Running, rosey};
use crate::support::*;
use receiver::{Receiver, Span};

/// `rosey bot` with traces, and its chat.
struct Bot {
    running: Running,
    chat: ChildStdin,
    told: usize,
    _dir: tempfile::TempDir,
}

impl Bot {
    fn start(receiver: &Receiver, paths: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let chat = ["bot", "--chat", "jsonl:-?speed=max", "--outbox", "bot.outbox", "--otlp-endpoint"];
        let mut program = rosey(dir.path());
        program.args(chat).arg(&receiver.url).args(paths).stdin(Stdio::piped());
        let mut running = Running::start(&mut program);
        let chat = running.input();
        Self { running, chat, told: 0, _dir: dir }
    }

    /// A user says something.
    fn line(&mut self) {
        let content = format!("line {}", self.told);
        writeln!(self.chat, "{}", json!({"event": "message", "user": "alice", "content": content})).unwrap();
        self.told += 1;
    }

    /// The chat ends, and so does the bot. Its last spans are sent then.
    async fn ends(self) -> String {
        drop(self.chat);
        let (code, _, log) = self.running.ends().await;
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

/// The spans from this one up to the root, by name and process.
fn up<'s>(spans: &'s [Span], from: &'s Span) -> Vec<(&'s str, &'s str)> {
    let parent =
        |span: &&'s Span| spans.iter().find(|other| (&other.trace, &other.id) == (&span.trace, &span.parent));
    std::iter::successors(Some(from), parent)
        .map(|span| (span.name.as_str(), span.process.as_str()))
        .collect()
}

/// Each span stands in the handbook.
fn are_documented(spans: &[Span]) {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md")).unwrap();
    for Span { name, .. } in spans {
        let general = match name.split_once(' ') {
            Some(("event", _)) => "event KIND".to_owned(),
            Some((verb, _)) => format!("{verb} OPERATION"),
            None if Op::NAMES.contains(&name.as_str()) => "OPERATION".to_owned(),
            None => name.clone(),
        };
        assert!(page.contains(&format!("| `{general}` |")), "{name} stands in docs/operating.md");
    }
}

const BOT: &str = "rosey-bot";
const SERVE: &str = "rosey-serve";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_the_chat_is_one_trace_from_the_bot_over_nats_through_the_service_into_the_database() {
    let (receiver, server, file) = (Receiver::start().await, NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start_with(&server, &file, &["--otlp-endpoint", &receiver.url]).await;
    let mut bot = Bot::start(&receiver, &["--nats-url", &server.url(), "--database-url", &file.url()]);
    bot.running.says("the database service answers on NATS").await;
    // One at least went over NATS, whatever the machine is busy with.
    let by_service = || {
        receiver.spans().into_iter().find(|span| {
            (&*span.name, &*span.process) == ("commit", SERVE) && is_line(&receiver.spans(), span)
        })
    };
    wait_until("a line goes through the service", || {
        bot.line();
        async {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            by_service().is_some()
        }
    })
    .await;
    bot.ends().await;
    // Those of the bot are all there once it has ended, and those of the service likewise.
    service.terminate_and_log().await;
    let spans = receiver.spans();
    let commit = by_service().unwrap();
    assert_eq!(
        up(&spans, &commit),
        [
            ("commit", SERVE),
            ("process message_log", SERVE),
            ("send message_log", BOT),
            ("message_log", BOT),
            ("event message", BOT),
        ]
    );
    let of_trace = |name: &str| {
        let found: Vec<&Span> =
            spans.iter().filter(|span| span.trace == commit.trace && span.name == name).collect();
        let [span] = found[..] else { panic!("one {name} in the trace: {found:#?}") };
        span
    };
    let event = of_trace("event message");
    assert_eq!((event.kind, event.parent.as_str()), ("consumer", ""));
    let (send, process) = (of_trace("send message_log"), of_trace("process message_log"));
    assert_eq!(
        (send.kind, send.get("messaging.system"), send.get("path")),
        ("producer", Some("nats"), Some("nats"))
    );
    assert_eq!((process.kind, process.get("messaging.system")), ("consumer", Some("nats")));
    assert_eq!((of_trace("message_log").kind, of_trace("message_log").get("path")), ("client", Some("nats")));
    // One transaction serves many operations: it is in the trace of none, and linked to all.
    let [(trace, transaction)] = &commit.links[..] else { panic!("{commit:#?}") };
    assert_eq!(commit.get("db.system.name"), Some("sqlite"));
    let transaction = spans.iter().find(|span| (&span.trace, &span.id) == (trace, transaction)).unwrap();
    assert_eq!((transaction.name.as_str(), transaction.parent.as_str()), ("transaction", ""));
    assert!(transaction.links.contains(&(commit.trace.clone(), process.id.clone())), "{transaction:#?}");
    assert_ne!(transaction.trace, commit.trace);
    are_documented(&spans);
}

/// Whether it is of a line of the chat.
fn is_line(spans: &[Span], span: &Span) -> bool {
    up(spans, span).last() == Some(&("event message", BOT))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nats_is_frozen_a_trace_shows_the_late_attempt_and_the_database_beside_it() {
    let (receiver, server, file) = (Receiver::start().await, NatsServer::start().await, DbFile::new());
    let _service = ServeProcess::start(&server, &file).await;
    let mut bot = Bot::start(&receiver, &["--nats-url", &server.url(), "--database-url", &file.url()]);
    bot.running.says("the database service answers on NATS").await;
    server.freeze();
    // The first ones are sent before the silence is noticed.
    let shown = || {
        let spans = receiver.spans();
        let late = spans.iter().find(|span| {
            span.name == "message_log"
                && span.events.iter().any(|event| event.contains("[NATS] late, [DB] took it"))
        })?;
        let child =
            |name: &str| spans.iter().find(|span| (&span.parent, &*span.name) == (&late.id, name)).cloned();
        Some((late.clone(), child("send message_log"), child("apply message_log")))
    };
    wait_until("a line is late", || {
        bot.line();
        async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            matches!(shown(), Some((_, Some(_), Some(_))))
        }
    })
    .await;
    let Some((line, Some(send), Some(apply))) = shown() else { unreachable!() };
    assert_eq!((send.get("outcome"), send.get("path")), (Some("dropped"), Some("nats")), "{send:#?}");
    assert_eq!((apply.get("outcome"), apply.get("path"), line.get("path")), (None, Some("db"), Some("db")));
    server.thaw();
    bot.ends().await;
    let spans = receiver.spans();
    let commit = spans.iter().find(|span| span.name == "commit" && span.parent == apply.id).unwrap();
    let path = ["commit", "apply message_log", "message_log", "event message"];
    assert_eq!(up(&spans, commit), path.map(|name| (name, BOT)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waited_in_the_outbox_goes_on_in_the_trace_that_it_began_in() {
    let (receiver, server, file) = (Receiver::start().await, NatsServer::start().await, DbFile::new());
    let mut service = ServeProcess::start(&server, &file).await;
    let mut bot = Bot::start(&receiver, &["--nats-url", &server.url(), "--database-url", &file.url()]);
    bot.running.says("the database service answers on NATS").await;
    service.kill();
    let lock = file.hold().await;
    bot.line();
    wait_until("the line is kept", || async {
        receiver
            .spans()
            .iter()
            .any(|span| span.name == "keep message_log" && span.get("path") == Some("outbox"))
    })
    .await;
    lock.release().await;
    let replayed = || {
        let spans = receiver.spans();
        spans.iter().find(|span| span.name == "commit" && !span.failed && is_line(&spans, span)).cloned()
    };
    wait_until("it is applied", || async { replayed().is_some() }).await;
    bot.ends().await;
    let (spans, commit) = (receiver.spans(), replayed().unwrap());
    are_documented(&spans);
    let path = [
        "commit",
        "apply message_log",
        "replay message_log",
        "keep message_log",
        "message_log",
        "event message",
    ];
    assert_eq!(up(&spans, &commit), path.map(|name| (name, BOT)));
    assert_eq!(file.number("SELECT count(*) FROM ledger WHERE operation = 'message_log'").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_of_the_traces_is_recorded_and_each_of_them_is_whole() {
    let (receiver, file) = (Receiver::start().await, DbFile::new());
    let paths = [
        "--no-nats",
        "--database-url",
        &file.url(),
        "--otlp-sample",
        "0.3",
        "--otlp-attributes",
        "site=attic",
    ];
    let mut bot = Bot::start(&receiver, &paths);
    (0..300).for_each(|_| bot.line());
    bot.ends().await;
    let spans = receiver.spans();
    // Of the lines, whatever else the bot does.
    let of_lines = |name: &str| -> BTreeSet<&str> {
        let named = spans.iter().filter(|span| span.name == name && is_line(&spans, span));
        named.map(|span| span.trace.as_str()).collect()
    };
    let events = of_lines("event message");
    // Of 300, by chance: neither all nor none.
    assert!((30..270).contains(&events.len()), "{}", events.len());
    for name in ["message_log", "apply message_log", "commit"] {
        assert_eq!(of_lines(name), events, "{name}");
    }
    assert!(spans.iter().all(|span| span.resource.get("site").map(String::as_str) == Some("attic")));
    assert_eq!(file.number("SELECT count(*) FROM ledger WHERE operation = 'message_log'").await, 300);
}
