//! Several processes on one file: none fails, none waits without a limit, everything is there once.
#![cfg(unix)]
#![allow(clippy::print_stdout)]

mod bots;
mod turns;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::program::{Running, rosey};
use crate::support::*;
use eitherway::clock;
use eitherway::sql::{Retention, SqlService};
use serde_json::{Value, json};

/// A bot as a process, on a recording of its own.
struct BotProcess {
    running: Running,
    report: PathBuf,
}

impl BotProcess {
    fn start(file: &DbFile, name: &str, recording: &str) -> Self {
        let [jsonl, report] =
            ["jsonl", "report"].map(|end| file.path().with_file_name(format!("{name}.{end}")));
        std::fs::write(&jsonl, recording).unwrap();
        let running = Running::start(
            rosey(file.dir())
                .args(["bot", "--no-nats", "--database-url", &file.url(), "--log", "warn", "--report"])
                .arg(&report)
                .args(["--chat", &format!("jsonl:{}?speed=max", jsonl.display())]),
        );
        Self { running, report }
    }

    /// Waits for its end. What it says of itself is as good as its exit code.
    async fn end(self) -> Ended {
        let (code, _, said) = self.running.ends().await;
        assert_eq!(code, Some(0), "{said}");
        // Where the machine is busy, one that waits for the lock of those that start before it says so.
        let warned = said.lines().any(|line| line.contains("WARN") && !line.contains("waiting for its lock"));
        assert!(!said.contains("busy") && !warned, "{said}");
        let report: Value = serde_json::from_slice(&std::fs::read(&self.report).unwrap()).unwrap();
        Ended { report }
    }
}

struct Ended {
    report: Value,
}

impl Ended {
    /// What it sent, by operation; none of it failed.
    fn sent(&self) -> BTreeMap<String, u64> {
        let rows = self.report["operations"].as_array().unwrap();
        assert!(rows.iter().all(|row| row["failed"] == 0), "{rows:#?}");
        rows.iter()
            .map(|row| (row["operation"].as_str().unwrap().to_owned(), row["sent"].as_u64().unwrap()))
            .collect()
    }
}

/// Joins, lines, counts and leaves by twenty users, each with an id of its own.
fn recording(name: &str, events: i64) -> String {
    let now = clock::now() / 1000 - events;
    let mut lines = String::new();
    for n in 0..events {
        let (user, at) = (format!("{name}{}", n % 20), now + n);
        let mut event = match n % 5 {
            0 => json!({"event": "user_join", "user": user, "user_data": {"username": user, "rank": 1}}),
            1 => json!({"event": "user_leave", "user": user}),
            2 => json!({"event": "user_count", "usercount": 3, "connected": 5}),
            _ => json!({"event": "message", "user": user, "content": format!("line {n}")}),
        };
        event["id"] = format!("{name}-{n}").into();
        event["timestamp"] = at.into();
        writeln!(lines, "{event}").unwrap();
    }
    lines
}

/// What was applied, by operation.
async fn applied(file: &DbFile) -> BTreeMap<String, u64> {
    let rows = "SELECT json_array(operation, count(*)) FROM ledger GROUP BY operation";
    file.texts(rows).await.iter().map(|row| serde_json::from_str(row).unwrap()).collect()
}
