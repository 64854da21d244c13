//! How the bot fares, phase by phase: read from the timeline that it writes.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::time;

use super::super::console;
use super::super::exit::{Exit, Failure};
use super::super::path_stats::{Window, millis};
use super::super::timeline::Line;
use super::scenario::Phase;
use eitherway::clock;

/// How often the timeline is read.
const LOOK: Duration = Duration::from_millis(20);
/// How long a line of the past may be on its way. Nothing is lost if it takes longer: it is told in the table.
const LATE: Duration = Duration::from_millis(100);
/// How long a phase may take to show what it is about.
const LIMIT: Duration = Duration::from_secs(30);

/// A phase that has begun.
pub(super) struct Seen {
    pub(super) phase: Phase,
    /// In unix milliseconds.
    since: i64,
    began: Instant,
    pub(super) took: Duration,
    pub(super) ended: Window,
    /// Whether what there is to see has been seen.
    pub(super) shown: bool,
}

/// Reads the timeline.
pub(super) struct Watch {
    file: PathBuf,
    read: u64,
    /// How many operations the recording leads to.
    total: u64,
    bar: ProgressBar,
    seen: Vec<Seen>,
    /// When the newest line began.
    newest: i64,
}

impl Watch {
    pub(super) fn new(file: PathBuf, total: u64) -> Self {
        let bar = console::styled_bar(Some(total), "       {bar:18} {percent:>3} %  {msg}");
        Self { file, read: 0, total, bar, seen: Vec::new(), newest: 0 }
    }

    /// A phase begins: what ends from now on is its own.
    pub(super) fn begin(&mut self, phase: Phase) {
        // Whatever was before the first phase belongs to it.
        let since = if self.seen.is_empty() { 0 } else { clock::now() };
        self.close();
        self.seen.push(Seen::new(phase, since));
    }

    fn close(&mut self) {
        if let Some(last) = self.seen.last_mut() {
            last.took = last.began.elapsed();
        }
    }

    /// Waits until the phase has shown what it is about, or has had time enough.
    pub(super) async fn shown(&mut self) -> Result<(), Failure> {
        loop {
            self.look().await?;
            let Some(last) = self.seen.last_mut() else { return Ok(()) };
            if last.has_shown(self.total) || last.began.elapsed() > LIMIT {
                return Ok(());
            }
            time::sleep(LOOK).await;
        }
    }

    /// Shows how far the recording is, for as long as this is awaited.
    pub(super) async fn read_on(&mut self) -> Result<std::convert::Infallible, Failure> {
        loop {
            self.look().await?;
            time::sleep(LOOK).await;
        }
    }

    /// Waits for the lines of before this moment, as long as that is reasonable.
    pub(super) async fn catch_up(&mut self) -> Result<(), Failure> {
        let (now, deadline) = (clock::now(), Instant::now() + LATE);
        while self.newest < now && Instant::now() < deadline {
            time::sleep(LOOK / 4).await;
            self.look().await?;
        }
        Ok(())
    }

    /// The last lines have been written.
    pub(super) async fn finish(&mut self) -> Result<(), Failure> {
        self.look().await?;
        if let Some(last) = self.seen.last_mut() {
            // The recording may be over before the last look.
            last.has_shown(self.total);
        }
        self.close();
        self.bar.finish_and_clear();
        Ok(())
    }

    pub(super) fn seen(&self) -> &[Seen] {
        &self.seen
    }

    /// Reads what was written since, line by line.
    async fn look(&mut self) -> Result<(), Failure> {
        let new = self.new_lines().await.map_err(|e| wrong(&e))?;
        for line in new.lines() {
            let line: Line = serde_json::from_str(line).map_err(|e| wrong(&e))?;
            self.newest = self.newest.max(line.at);
            if let Some(own) = self.seen.iter_mut().rev().find(|seen| seen.since <= line.at) {
                own.ended = own.ended.and(line.ended);
            }
        }
        let Some(last) = self.seen.last() else { return Ok(()) };
        let all = last.ended.all();
        let done = self.seen.iter().map(|seen| seen.ended.all().sent()).sum::<u64>();
        self.bar.set_position(done.min(self.total));
        self.bar.set_message(format!(
            "{}: NATS {} · DB {} · outbox {}",
            last.phase.name, all.nats, all.db, all.outbox
        ));
        Ok(())
    }

    /// What was written since, up to the last end of a line.
    async fn new_lines(&mut self) -> std::io::Result<String> {
        let mut file = match File::open(&self.file).await {
            Ok(file) => file,
            // The bot has not come so far.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
            Err(e) => return Err(e),
        };
        file.seek(std::io::SeekFrom::Start(self.read)).await?;
        let mut new = String::new();
        file.read_to_string(&mut new).await?;
        new.truncate(new.rfind('\n').map_or(0, |end| end + 1));
        self.read += new.len() as u64;
        Ok(new)
    }
}

fn wrong(e: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("the bot's timeline: {e}"))
}

impl Seen {
    /// A phase that begins now, in which counts what ends from `since` on.
    pub(super) fn new(phase: Phase, since: i64) -> Self {
        let (took, ended) = (Duration::ZERO, Window::default());
        Self { phase, since, began: Instant::now(), took, ended, shown: false }
    }

    /// Whether what there is to see has been seen, now or before.
    fn has_shown(&mut self, total: u64) -> bool {
        self.shown |= self.phase.is_seen(&self.ended, total);
        self.shown
    }

    /// What became of the operations, in one line a kind.
    pub(super) fn summary(&self) -> String {
        let line = |what: &str, served: super::super::path_stats::Served| {
            let paths = [
                (served.nats, "via NATS"),
                (served.db, "via DB"),
                (served.outbox, "via outbox"),
                (served.failed, "failed"),
            ];
            let paths: Vec<_> =
                paths.iter().filter(|(n, _)| *n > 0).map(|(n, path)| format!("{n} {path}")).collect();
            let slowest = millis(served.slowest_us);
            (served.sent() > 0).then(|| format!("       → {what} {}; slowest {slowest}", paths.join(", ")))
        };
        let Window { events, requests } = self.ended;
        let lines = line("events:", events).into_iter().chain(line("calls: ", requests));
        lines.collect::<Vec<_>>().join("\n")
    }
}
