//! Memory: the resident size of bot and service while 0, 1 000 and 100 000 operations wait, and the bytes of each; all of them
//! processes of their own.
//!
//! Lines of chat wait in the bot while the service stands still (SIGSTOP), or while another program has the file locked that the
//! bot writes to itself. Then the service goes on, and gets all of them at once: its peak is what that has cost it.
//!
//! `cargo xtask bench memory`; `--quick` is without the largest number.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/processes.rs"]
mod processes;
#[path = "../../benches/support/record.rs"]
mod record;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use eitherway::Request;
use eitherway::sql::SqliteOptions;
use eitherway::stack::{Hedging, StackBuilder};
use eitherway_testkit::proc;
use record::Row;
use rosey::op::{MessageLog, Op};
use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tokio::task::JoinSet;

use processes::{Ended, LINE, nats_server, serve};

/// The word by which this program knows that it is the bot.
const BOT: &str = "--bot";
/// Longer than anything here.
const PATIENCE: Duration = Duration::from_secs(60);

/// The bot: says `ready`, sends so many lines at once, says `waiting`, and at last how many were answered.
async fn bot(place: &str, count: usize) {
    let stack = StackBuilder::new().hedging(Hedging::off()).nats_timeout(PATIENCE).db_timeout(PATIENCE);
    let builder = eitherway::Runtime::<Op>::builder().stack(stack);
    let runtime = if place.starts_with("nats://") {
        let runtime = builder.nats(place).build().await.unwrap().boxed();
        runtime.nats().unwrap().recognised().await;
        runtime
    } else {
        let options = SqliteOptions::new(place).unwrap().busy_timeout(PATIENCE);
        builder.store(options).build().await.unwrap().boxed()
    };
    println!("ready");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let mut waiting = JoinSet::new();
    for _ in 0..count {
        let (db, message) = (runtime.client(), LINE.to_owned());
        let line = MessageLog { username: "alice".to_owned(), message };
        waiting.spawn(async move { db.send(Request::new(line)).await.is_ok() });
    }
    // Every task has run once when one that was spawned behind them has.
    tokio::spawn(async {}).await.unwrap();
    println!("waiting");
    let answered = waiting.join_all().await.into_iter().filter(|is_ok| *is_ok).count();
    println!("{answered}");
}

/// The bot as a process, and what it says.
struct Bot {
    process: Ended,
    says: BufReader<ChildStdout>,
}

impl Bot {
    fn start(place: &str, count: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([BOT, place, &count.to_string()]).env("MALLOC_MMAP_THRESHOLD_", "262144");
        let mut child: Child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        let mut bot = Self { process: Ended(child), says };
        assert_eq!(bot.line(), "ready");
        bot
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.says.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    fn size(&self) -> f64 {
        proc::rss(self.process.0.id()) as f64
    }

    /// Lets it send everything. Returns its size before, and when all of it waits.
    fn wait(&mut self) -> [f64; 2] {
        let before = self.size();
        self.process.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
        assert_eq!(self.line(), "waiting");
        // What is on its way to the server goes there.
        std::thread::sleep(Duration::from_secs(1));
        [before, self.size()]
    }

    fn answered(&mut self) -> f64 {
        self.line().parse().unwrap()
    }
}

/// Prints a row: the sizes, and the bytes of each operation.
fn row(who: &str, count: usize, [before, with]: [f64; 2], answered: f64) {
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let each = (count >= 1000).then(|| (with - before) / count as f64);
    let shown = each.map_or_else(|| "–".to_owned(), |each| format!("{each:.0}"));
    println!("{who:<54}{count:>9}{:>12.1}{:>12.1}{shown:>12}{answered:>12.0}", mib(before), mib(with));
    let group = format!("{count} waiting");
    Row::new(&group, who, "MiB", mib(with)).keep();
    if let Some(each) = each {
        Row::new(&group, &format!("{who}, each"), "B", each).keep();
    }
}

fn over_nats(count: usize) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (_server, url) = nats_server(dir.path());
    let service = serve(&url, dir.path(), &["--jetstream", "off"]);
    let mut bot = Bot::start(&url, count);
    let service = service.0.id();
    let begun = proc::rss_peak(service) as f64;
    proc::signal(service, "-STOP");
    proc::wait_until_frozen(service);
    let sizes = bot.wait();
    proc::signal(service, "-CONT");
    let answered = bot.answered();
    row("bot, while the service stands still", count, sizes, answered);
    row(
        "service, which gets them all at once: its peak",
        count,
        [begun, proc::rss_peak(service) as f64],
        answered,
    );
}

async fn lock(file: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(file);
    let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    connection
}

async fn direct(count: usize) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = dir.path().join("direct.db");
    let mut bot = Bot::start(file.to_str().unwrap(), count);
    let mut connection = lock(&file).await;
    let sizes = bot.wait();
    sqlx::query("ROLLBACK").execute(&mut connection).await.unwrap();
    let answered = bot.answered();
    row("bot, without NATS, while its file is locked", count, sizes, answered);
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let tokio = tokio::runtime::Runtime::new().unwrap();
    if let [first, place, count] = &args[..]
        && first == BOT
    {
        return tokio.block_on(bot(place, count.parse().unwrap()));
    }
    println!(
        "{:<54}{:>9}{:>12}{:>12}{:>12}{:>12}",
        "resident size, MiB", "waiting", "before", "with them", "B of each", "answered"
    );
    let counts: &[usize] =
        if args.iter().any(|arg| arg == "--quick") { &[0, 1000] } else { &[0, 1000, 100_000] };
    for count in counts {
        over_nats(*count);
        tokio.block_on(direct(*count));
    }
}
