//! `rosey bot` as a process, fed through its standard input at a steady rate.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use eitherway::clock;
use serde_json::{Value, json};

use super::program::{PROGRAM, Running, program_in};

pub(crate) struct BotProcess {
    running: Running,
    program: PathBuf,
    arguments: Vec<String>,
    dir: tempfile::TempDir,
    input: Arc<Mutex<Input>>,
    stop: Arc<AtomicBool>,
    feeder: JoinHandle<Fed>,
}

/// Where its chat speaks to, and how many lines of it were told there.
#[derive(Debug, Default)]
struct Input {
    pipe: Option<ChildStdin>,
    told: u64,
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

    /// What became of it: told, there once, more often, never. `times`: how often a mark is there.
    pub(crate) fn counted(self, name: &str, times: impl Fn(&str) -> usize) -> [usize; 4] {
        let mut counts = [0; 4];
        for (mark, expected) in self.marks(name) {
            let there = times(&mark);
            counts[0] += expected;
            counts[1] += expected.min(there);
            counts[2] += there.saturating_sub(expected);
            counts[3] += expected.saturating_sub(there);
        }
        counts
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
    /// What it said of what failed, and of its paths.
    pub(crate) log: String,
    pub(crate) logged: usize,
    pub(crate) warned: usize,
}

impl BotProcess {
    /// `name`: what the visitors and lines of no other bot begin with.
    pub(crate) fn start(url: &str, database: &str, name: &'static str, rate: u64) -> Self {
        Self::start_of(Path::new(PROGRAM), url, database, name, rate)
    }

    /// The same of another build.
    pub(crate) fn start_of(program: &Path, url: &str, database: &str, name: &'static str, rate: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let chat = ["bot", "--chat", "jsonl:-?speed=max", "--nats-url", url, "--database-url", database];
        let files = ["--outbox", "bot.outbox", "--report", "report.json", "--timeline", "timeline.jsonl"];
        let arguments: Vec<_> = chat.into_iter().chain(files).map(str::to_owned).collect();
        let (running, input, stop) = (spawn(program, &arguments, &dir), Arc::default(), Arc::default());
        let (to, told) = (Arc::clone(&input), Arc::clone(&stop));
        let feeder = std::thread::spawn(move || feed(&to, name, rate, &told));
        let program = program.to_owned();
        let mut bot = Self { running, program, arguments, dir, input, stop, feeder };
        bot.listen();
        bot
    }

    /// SIGKILL. Its chat goes on.
    pub(crate) fn kill(&mut self) {
        *self.input.lock().unwrap() = Input::default();
        self.running.kill();
    }

    /// Starts it again with the same outbox, if it does not run. Its chat tells it everything from the beginning.
    pub(crate) fn begin_again(&mut self) {
        if !self.running.runs() {
            self.running = spawn(&self.program, &self.arguments, &self.dir);
            self.listen();
        }
    }

    /// Ends it in order, and lets another build go on with its files. Its chat tells that one everything from the beginning.
    ///
    /// # Panics
    /// It does not end in success.
    pub(crate) async fn replace(&mut self, program: &Path) {
        assert_eq!(self.running.terminate().await, Some(0), "{}", self.running.log());
        *self.input.lock().unwrap() = Input::default();
        self.begin_again_as(program);
    }

    /// As [`begin_again`](Self::begin_again), of another build.
    pub(crate) fn begin_again_as(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
        self.begin_again();
    }

    /// How many events wait in its outbox.
    pub(crate) async fn waiting(&self) -> u64 {
        eitherway::outbox::list(&self.file("bot.outbox")).await.map_or(0, |listing| listing.waiting)
    }

    /// How it has ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.running.ended()
    }

    /// What it has said since it was started last.
    pub(crate) fn log(&self) -> String {
        self.running.log()
    }

    fn listen(&mut self) {
        *self.input.lock().unwrap() = Input { pipe: Some(self.running.input()), told: 0 };
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
        assert_eq!(
            self.input.lock().unwrap().told,
            fed.lines + fed.moves,
            "the bot reads:\n{}",
            self.running.log()
        );
        *self.input.lock().unwrap() = Input::default();
        let (code, _, log) = self.running.ends().await;
        let report = std::fs::read_to_string(self.dir.path().join("report.json"));
        let report: Value = serde_json::from_str(&report.unwrap_or_else(|e| panic!("{e}:\n{log}"))).unwrap();
        let sum = |way: &str| {
            report["operations"].as_array().unwrap().iter().map(|row| row[way].as_u64().unwrap()).sum()
        };
        let warned = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count();
        let (nats, db, outbox, failed) = (sum("nats"), sum("db"), sum("outbox"), sum("failed"));
        (fed, Report { nats, db, outbox, failed, code, logged: log.lines().count(), warned, log })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

fn spawn(program: &Path, arguments: &[String], dir: &tempfile::TempDir) -> Running {
    Running::start(program_in(program, dir.path()).args(arguments).stdin(Stdio::piped()))
}

/// Visitors: each comes, says eight things that were never said before, and goes. Every line has an id, so that one that is told
/// again is the same one.
fn feed(input: &Mutex<Input>, name: &str, rate: u64, stop: &AtomicBool) -> Fed {
    let (begun, since, mut fed, mut n) = (Instant::now(), clock::now(), Fed::default(), 0_u64);
    // A visit that has begun is told to its end.
    while !stop.load(Ordering::Acquire) || !n.is_multiple_of(10) {
        *(if matches!(n % 10, 0 | 9) { &mut fed.moves } else { &mut fed.lines }) += 1;
        n += 1;
        tell(&mut input.lock().unwrap(), name, since, n);
        let due = Duration::from_secs_f64(n as f64 / rate as f64);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
    }
    fed
}

/// Tells the bot what it was not told of the first `until` lines, if it runs.
fn tell(input: &mut Input, name: &str, since: i64, until: u64) {
    let Some(pipe) = &mut input.pipe else { return };
    for n in input.told..until {
        let visitor = format!("{name}-{}", n / 10);
        let mut line = match n % 10 {
            0 => json!({ "event": "user_join", "user": visitor }),
            9 => json!({ "event": "user_leave", "user": visitor }),
            _ => json!({ "event": "message", "user": visitor, "content": format!("line {n} of {name}") }),
        };
        (line["id"], line["timestamp"]) = (format!("{name}-{n}").into(), since.into());
        if writeln!(pipe, "{line}").is_err() {
            input.pipe = None;
            return;
        }
        input.told = n + 1;
    }
}
