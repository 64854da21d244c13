//! What `/metrics` counts, held against what was done; and against the page of the handbook.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::scrape::{Row, Scrape, page};
use super::{Endpoints, chat, serve};
use crate::support::program::Running;
use crate::support::*;
use eitherway::clock;
use eitherway_testkit::Peer;

/// `rosey up` on a server with a stream, which has read these events and handled them.
struct Up {
    running: Running,
    endpoints: Endpoints,
    server: NatsServer,
    _file: DbFile,
    _dirs: [tempfile::TempDir; 2],
}

impl Up {
    async fn with(events: &[Value]) -> Self {
        let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let (server, file) = (NatsServer::with_jetstream(dirs[0].path()).await, DbFile::new());
        let paths = ["--nats-url", &server.url(), "--database-url", &file.url()];
        let (running, endpoints) = chat("up", dirs[1].path(), &paths).await;
        endpoints.are_ready().await;
        let mut up = Self { running, endpoints, server, _file: file, _dirs: dirs };
        let on_nats = [("kind", "event"), ("path", "nats")];
        wait_until("it is on NATS", || async {
            up.endpoints.scrape().await.sum("rosey_serving", &on_nats) == Some(1.0)
        })
        .await;
        let mut input = up.running.input();
        for event in events {
            writeln!(input, "{event}").unwrap();
        }
        // Its input stays open, as a chat does.
        std::mem::forget(input);
        let handled = events.len() as f64;
        wait_until("all are handled", || async {
            up.endpoints.scrape().await.sum("rosey_bot_events_total", &[]) == Some(handled)
        })
        .await;
        up
    }

    /// Waits until a metric has this value.
    async fn counts(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let counted = || async { self.endpoints.scrape().await.sum(name, labels) == Some(value) };
        if !holds_within(LIMIT, counted).await {
            let is = self.endpoints.scrape().await.sum(name, labels);
            panic!("{name}{labels:?} is {is:?}, not {value}\n{}", self.running.log());
        }
    }
}

fn lines(count: usize) -> Vec<Value> {
    let line = |n: usize| json!({"event": "message", "user": format!("user{}", n % 7), "content": format!("line {n}")});
    (0..count).map(line).collect()
}

#[tokio::test]
async fn what_a_bot_did_is_counted_once_at_every_place_that_it_passes() {
    const LINES: usize = 40;
    let up = Up::with(&lines(LINES)).await;
    let all = LINES as f64;
    let log = ("operation", "message_log");
    up.counts("rosey_bot_events_total", &[("kind", "message")], all).await;
    up.counts("rosey_operations_total", &[log, ("path", "total"), ("outcome", "ok")], all).await;
    up.counts("rosey_operation_duration_seconds_count", &[log, ("path", "total")], all).await;
    up.counts("rosey_service_operations_total", &[log, ("outcome", "done")], all).await;
    up.counts("rosey_stream_messages", &[], 0.0).await;
    let scrape = up.endpoints.scrape().await;
    let value =
        |name: &str, labels: &[(&str, &str)]| scrape.sum(name, labels).unwrap_or_else(|| panic!("no {name}"));
    assert!(
        value("rosey_commit_operations_sum", &[]) >= all,
        "{}",
        value("rosey_commit_operations_sum", &[])
    );
    let commits = value("rosey_commits_total", &[("outcome", "committed")]);
    assert!(commits >= 1.0 && commits <= value("rosey_commit_operations_sum", &[]), "{commits}");
    assert_eq!(value("rosey_commit_duration_seconds_count", &[]), commits, "each has its time");
    assert!(value("rosey_service_busy_seconds_total", &[log]) > 0.0);
    let last = value("rosey_bot_last_event_time_seconds", &[]);
    let now = clock::now() as f64 / 1000.0;
    assert!(last > now - LIMIT.as_secs_f64() && last <= now, "{last} is a moment ago, at {now}");
    assert_eq!(value("rosey_circuit_state", &[("circuit", "events"), ("state", "closed")]), 1.0);
    assert_eq!(value("rosey_circuit_state", &[("circuit", "events")]), 1.0, "in one state at a time");
    assert!(value("rosey_database_file_bytes", &[("file", "main")]) > 4096.0);
    assert!(value("rosey_database_disk_free_bytes", &[]) > 0.0);
    assert_eq!(value("rosey_build_info", &[("command", "up"), ("version", env!("CARGO_PKG_VERSION"))]), 1.0);
}

#[tokio::test]
async fn the_page_of_metrics_says_what_a_process_tells_and_nothing_else() {
    let mut up = Up::with(&lines(5)).await;
    up.counts("rosey_stream_messages", &[], 0.0).await;
    let before = up.endpoints.scrape().await;
    // Over the other path, for what only an outage counts.
    up.server.kill();
    up.endpoints.fails("nats").await;
    let after = up.endpoints.scrape().await;
    let page = page();
    for scrape in [&before, &after] {
        for (name, family) in &scrape.families {
            let row = page.iter().find(|row| row.name == *name);
            let row = row.unwrap_or_else(|| panic!("{name} is told and does not stand in docs/metrics.md"));
            let labels: BTreeSet<&str> = row.labels.iter().map(String::as_str).collect();
            assert_eq!((&row.kind, &row.help), (&family.kind, &family.help), "{name}");
            assert_eq!(family.labels(), labels, "{name}");
        }
    }
    let told: BTreeSet<&String> = before.families.keys().chain(after.families.keys()).collect();
    // What has not happened is not counted.
    let may_lack = ["rosey_fallbacks_total", "rosey_hedges_total", "rosey_trace_spans_total"];
    let lacking: Vec<&String> = page
        .iter()
        .map(|row: &Row| &row.name)
        .filter(|name| !told.contains(name) && !may_lack.contains(&name.as_str()))
        .collect();
    assert!(lacking.is_empty(), "docs/metrics.md has these, and no process exports them: {lacking:?}");
}

#[tokio::test]
async fn a_service_tells_what_is_its_own_and_nothing_of_a_bot() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, endpoints) = serve(&server, &file, &["--jetstream", "off"]).await;
    endpoints.are_ready().await;
    let told = endpoints.scrape().await;
    for row in page() {
        let of_a_bot = row.of == "`bot`, `up`";
        assert!(!of_a_bot || !told.families.contains_key(&row.name), "{} is of a bot", row.name);
    }
    assert!(!told.families.contains_key("rosey_stream_messages"), "without a stream nothing is told of one");
    assert_eq!(told.sum("rosey_services", &[("mode", "core")]), Some(1.0));
}

#[tokio::test]
async fn dead_letters_repeats_and_refusals_are_counted() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, endpoints) = serve(&server, &file, &["--jetstream", "off"]).await;
    endpoints.are_ready().await;
    let peer = Peer::connect(&server).await;
    peer.request("rosey.db.user.joined", r#"{"username":""}"#).await;
    let mut once = async_nats::HeaderMap::new();
    once.insert("Nats-Msg-Id", "the-same-one");
    for _ in 0..3 {
        peer.request_with("rosey.db.user.joined", once.clone(), r#"{"username":"alice"}"#).await;
    }
    let joined = ("operation", "user_joined");
    let counts = |scrape: &Scrape| {
        let of =
            |outcome| scrape.sum("rosey_service_operations_total", &[joined, ("outcome", outcome)]).unwrap();
        let [repeats, buried] = ["repeats", "buried"]
            .map(|what| scrape.sum(&format!("rosey_service_{what}_total"), &[joined]).unwrap());
        let letters = scrape.sum("rosey_database_dead_letters", &[]).unwrap_or_default();
        (of("taken"), of("done"), of("refused"), repeats, buried, letters)
    };
    let expected = (4.0, 3.0, 1.0, 2.0, 1.0, 1.0);
    let counted = || async { counts(&endpoints.scrape().await) == expected };
    assert!(holds_within(LIMIT, counted).await, "{:?}", counts(&endpoints.scrape().await));
}

#[tokio::test]
async fn what_waits_in_the_stream_is_told_with_its_age() {
    let (dir, file) = (tempfile::tempdir().unwrap(), DbFile::new());
    let server = NatsServer::with_jetstream(dir.path()).await;
    let (_process, endpoints) = serve(&server, &file, &["--jetstream", "on"]).await;
    endpoints.are_ready().await;
    wait_until("the stream is looked at", || async {
        endpoints.scrape().await.sum("rosey_stream_messages", &[]) == Some(0.0)
    })
    .await;
    assert_eq!(endpoints.scrape().await.sum("rosey_stream_oldest_age_seconds", &[]), Some(0.0));
    let lock = file.hold().await;
    let peer = Peer::connect(&server).await;
    for n in 0..3 {
        peer.request("rosey.db.user.joined", format!(r#"{{"username":"user{n}"}}"#)).await;
    }
    wait_until("all of them wait, and grow older", || async {
        let scrape = endpoints.scrape().await;
        scrape.sum("rosey_stream_messages", &[]) == Some(3.0)
            && scrape.sum("rosey_stream_oldest_age_seconds", &[]) > Some(0.5)
            && scrape.sum("rosey_stream_bytes", &[]) > Some(0.0)
    })
    .await;
    lock.release().await;
    wait_until("none waits", || async {
        endpoints.scrape().await.sum("rosey_stream_messages", &[]) == Some(0.0)
    })
    .await;
}

#[tokio::test]
async fn a_server_that_hangs_shows_in_circuits_hedges_and_paths() {
    let up = Up::with(&lines(1)).await;
    up.server.freeze();
    let db = [("kind", "event"), ("path", "db")];
    wait_until("the database serves", || async {
        up.endpoints.scrape().await.sum("rosey_serving", &db) == Some(1.0)
    })
    .await;
    let scrape = up.endpoints.scrape().await;
    assert_eq!(scrape.sum("rosey_serving", &[("kind", "event")]), Some(1.0), "one path at a time");
    assert!(
        scrape.sum("rosey_serving_since_seconds", &[("kind", "event")])
            > scrape.sum("rosey_start_time_seconds", &[])
    );
    up.server.thaw();
    let nats = [("kind", "event"), ("path", "nats")];
    wait_until("NATS serves", || async {
        up.endpoints.scrape().await.sum("rosey_serving", &nats) == Some(1.0)
    })
    .await;
}

#[tokio::test]
async fn prometheus_itself_finds_nothing_wrong_with_what_bot_and_service_tell() {
    let Some(promtool) = std::env::var_os("PROMTOOL_BIN").or_else(installed) else {
        let said =
            "\nSKIPPED: there is no promtool; `cargo xtask test` fetches one, and names it in PROMTOOL_BIN\n";
        // Not by a macro whose words a test keeps to itself.
        return std::io::stderr().write_all(said.as_bytes()).unwrap();
    };
    let up = Up::with(&lines(3)).await;
    up.counts("rosey_stream_messages", &[], 0.0).await;
    let (_, text) = up.endpoints.get("/metrics").await;
    let mut check = std::process::Command::new(promtool);
    check.args(["check", "metrics"]).stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut check = check.spawn().unwrap();
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let said = check.wait_with_output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
}

fn installed() -> Option<std::ffi::OsString> {
    let place = Path::new("/usr/bin/promtool");
    place.exists().then(|| place.as_os_str().to_owned())
}
