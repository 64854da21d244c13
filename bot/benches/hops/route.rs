//! One path with its processes, each of which may run under a tool; and a caller that sends line after line.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use eitherway::sql::SqliteOptions;
use eitherway::stack::BoxedStack;
use eitherway::{Db, Request};
use eitherway_testkit::proc;
use rosey::op::{MessageLog, Op};

use super::processes::{Ended, LINE, nats_server};
use super::stamps::Stamps;
use super::tools::{Said, Tool, Watched};

/// The word by which this program knows that it is the caller alone.
pub(crate) const CALLER: &str = "--caller";

/// A path of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Direct,
    Committed,
    Stored,
}

impl Route {
    pub(crate) const ALL: [Self; 3] = [Self::Direct, Self::Committed, Self::Stored];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Committed => "over NATS, until committed",
            Self::Stored => "over NATS, until a stream keeps it",
        }
    }

    fn jetstream(self) -> &'static str {
        if self == Self::Stored { "on" } else { "off" }
    }
}

/// What a caller sends over: its runtime, over NATS if there is a URL.
pub(crate) async fn runtime(url: Option<&str>, dir: &Path) -> eitherway::Runtime<Op> {
    let builder = eitherway::Runtime::builder();
    let Some(url) = url else {
        let options = SqliteOptions::new(dir.join("direct.db").to_str().unwrap()).unwrap();
        return builder.store(options).build().await.unwrap().boxed();
    };
    let runtime = builder.nats(url).build().await.unwrap().boxed();
    runtime.nats().unwrap().recognised().await;
    runtime
}

/// Sends line after line. Returns how long each took, the time at which it began, and its hops if they are watched.
pub(crate) async fn send(
    db: &Db<BoxedStack<Op>>,
    count: usize,
    watched: bool,
) -> Vec<(Instant, Instant, Stamps)> {
    let mut seen = Vec::with_capacity(count);
    for _ in 0..count {
        let line = MessageLog { username: "alice".to_owned(), message: LINE.to_owned() };
        let request = Request::new(line);
        Stamps::take();
        let begun = Instant::now();
        db.send(request).await.unwrap();
        let answered = Instant::now();
        // What a stream keeps is applied later.
        while watched && !Stamps::are_there() && begun.elapsed() < Duration::from_secs(1) {
            tokio::task::yield_now().await;
        }
        if watched {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        seen.push((begun, answered, Stamps::take()));
    }
    seen
}

/// The caller as a process of its own.
pub(crate) async fn caller(url: &str, count: usize, dir: &Path) {
    let runtime = runtime(Some(url).filter(|url| !url.is_empty()), dir).await;
    send(&runtime.client(), count, false).await;
}

/// Server and service of a path over NATS, the service under a tool.
pub(crate) struct Processes {
    pub(crate) server: Ended,
    pub(crate) service: Watched,
    pub(crate) url: String,
}

impl Processes {
    pub(crate) fn start(route: Route, tool: Tool, dir: &Path) -> Option<Self> {
        if route == Route::Direct {
            return None;
        }
        let (server, url) = nats_server(dir);
        let file = format!("sqlite://{}", dir.join("served.db").display());
        let args = ["serve", "--log", "warn", "--nats-url", &url, "--database-url", &file, "--jetstream"];
        let args: Vec<&str> = args.into_iter().chain([route.jetstream()]).collect();
        let service = Watched::start(tool, Path::new(env!("CARGO_BIN_EXE_rosey")), &args, dir);
        Some(Self { server, service, url })
    }
}

/// Runs a caller and a service, one of them under a tool, for so many lines. Returns what the tool says.
pub(crate) fn under(tool: Tool, of_service: bool, route: Route, count: usize) -> Said {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let none = |wanted: bool| if wanted { tool } else { Tool::None };
    let processes = Processes::start(route, none(of_service), dir.path());
    let url = processes.as_ref().map_or(String::new(), |processes| processes.url.clone());
    let (program, count) = (std::env::current_exe().unwrap(), count.to_string());
    let place = dir.path().join("caller");
    std::fs::create_dir(&place).unwrap();
    let args = [CALLER, &url, &count, place.to_str().unwrap()];
    let mut caller = Watched::start(none(!of_service), &program, &args, &place);
    let mut text = String::new();
    caller.child().stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let said = caller.ended();
    let Some(Processes { service, server, .. }) = processes else { return said };
    // What a stream keeps is applied meanwhile.
    std::thread::sleep(Duration::from_millis(500));
    let of = service.stop();
    drop(server);
    if of_service { of } else { said }
}

/// How often the threads of a process have gone to sleep until they were woken.
pub(crate) fn sleeps(process: u32) -> u64 {
    let threads = std::fs::read_dir(PathBuf::from(format!("/proc/{process}/task"))).unwrap();
    let of = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        line.trim().parse::<u64>().ok()
    };
    threads
        .flatten()
        .filter_map(|thread| of(std::fs::read_to_string(thread.path().join("status")).ok()?))
        .sum()
}

/// What a process has used, of processor time and of sleeps.
pub(crate) fn used(process: u32) -> (f64, f64) {
    (proc::cpu_time(process).as_secs_f64() * 1e6, sleeps(process) as f64)
}
