//! `rosey bot` as a process, fed through its standard input at a steady rate.

use std::io::Write;
use std::path::PathBuf;
use std::process::{ChildStdin, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::program::{Running, rosey};

pub(crate) struct BotProcess {
    running: Running,
    dir: tempfile::TempDir,
    stop: Arc<AtomicBool>,
    feeder: JoinHandle<Fed>,
}

/// What the bot was told.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fed {
    pub(crate) lines: u64,
    /// Joins and leaves.
    pub(crate) moves: u64,
}

impl Fed {
    /// What is to be found of it, and how often: a visitor who has come and gone, a line.
    pub(crate) fn marks(self, name: &str) -> impl Iterator<Item = (String, usize)> {
        (0..self.lines + self.moves).filter_map(move |n| match n % 10 {
            0 => Some((format!("{name}-{}", n / 10), 2)),
            9 => None,
            _ => Some((format!("line {n} of {name}"), 1)),
        })
    }
}

/// What it said at its end.
pub(crate) struct Report {
    pub(crate) nats: u64,
    pub(crate) db: u64,
    pub(crate) outbox: u64,
    pub(crate) failed: u64,
    /// The exit code: success only if everything was done.
    pub(crate) code: Option<i32>,
    pub(crate) logged: usize,
    pub(crate) warned: usize,
}

impl BotProcess {
    /// `name`: what nobody else's visitors and lines begin with.
    pub(crate) fn start(url: &str, database: &str, name: &'static str, rate: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut running = Running::start(
            rosey(dir.path())
                .args(["bot", "--chat", "jsonl:-", "--nats-url", url, "--database-url", database])
                .args(["--outbox", "bot.outbox", "--report", "report.json", "--timeline", "timeline.jsonl"])
                .stdin(Stdio::piped()),
        );
        let (input, stop) = (running.input(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&stop);
        let feeder = std::thread::spawn(move || feed(input, name, rate, &told));
        Self { running, dir, stop, feeder }
    }

    pub(crate) fn id(&self) -> u32 {
        self.running.id()
    }

    /// How many tasks it has, as it says now and then.
    pub(crate) fn tasks(&self) -> u64 {
        let text = std::fs::read_to_string(self.file("timeline.jsonl")).unwrap();
        // The last line may be half written.
        let last = text.lines().rev().find_map(|line| serde_json::from_str::<Value>(line).ok());
        last.and_then(|line| line["tasks"].as_u64()).unwrap_or_default()
    }

    /// Ends its input, and waits until it has ended by itself.
    pub(crate) async fn finish(self) -> (Fed, Report) {
        self.stop.store(true, Ordering::Release);
        let fed = self.feeder.join().unwrap();
        let (code, _, log) = self.running.ends().await;
        let report = std::fs::read_to_string(self.dir.path().join("report.json"));
        let report: Value = serde_json::from_str(&report.unwrap_or_else(|e| panic!("{e}:\n{log}"))).unwrap();
        let sum = |way: &str| {
            report["operations"].as_array().unwrap().iter().map(|row| row[way].as_u64().unwrap()).sum()
        };
        let warned = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count();
        let (nats, db, outbox, failed) = (sum("nats"), sum("db"), sum("outbox"), sum("failed"));
        (fed, Report { nats, db, outbox, failed, code, logged: log.lines().count(), warned })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Visitors: each comes, says eight things that were never said before, and goes.
fn feed(mut input: ChildStdin, name: &str, rate: u64, stop: &AtomicBool) -> Fed {
    let (begun, mut fed, mut n) = (Instant::now(), Fed::default(), 0_u64);
    // A visit that has begun is told to its end.
    while !stop.load(Ordering::Acquire) || !n.is_multiple_of(10) {
        let (visitor, step) = (n / 10, n % 10);
        let line = match step {
            0 => format!(r#"{{"event":"user_join","user":"{name}-{visitor}"}}"#),
            9 => format!(r#"{{"event":"user_leave","user":"{name}-{visitor}"}}"#),
            _ => format!(r#"{{"event":"message","user":"{name}-{visitor}","content":"line {n} of {name}"}}"#),
        };
        *(if matches!(step, 0 | 9) { &mut fed.moves } else { &mut fed.lines }) += 1;
        writeln!(input, "{line}").expect("the bot reads");
        n += 1;
        let due = Duration::from_secs_f64(n as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    fed
}
