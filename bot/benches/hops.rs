//! Where the time of one operation goes: a line of chat by one caller, directly, over NATS until committed, and until a stream
//! keeps it. When it passes each hop; and of each process the processor time, wake-ups, system calls, instructions and
//! allocations.
//!
//! `cargo xtask bench hops` runs it; `--quick` is a short run; `--svg FILE` draws the picture. Instructions and allocations are
//! counted by valgrind, system calls by strace; where one of them is missing, so are its rows.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "hops/callgrind.rs"]
mod callgrind;
#[path = "hops/chart.rs"]
mod chart;
#[path = "support/processes.rs"]
#[allow(dead_code, reason = "the service is started here under a tool")]
mod processes;
#[path = "../../benches/support/record.rs"]
mod record;
#[path = "hops/route.rs"]
mod route;
#[path = "hops/stamps.rs"]
mod stamps;
#[path = "hops/tools.rs"]
mod tools;

use std::path::Path;
use std::time::Instant;

use eitherway::nats::NatsOptions;
use eitherway::service::{self, JetStream, ServiceOptions};
use eitherway::sql::{SqlService, SqliteOptions};
use futures_util::StreamExt;
use record::Row;
use rosey::op::Op;
use route::{CALLER, Processes, Route, runtime, send, under, used};
use tokio::runtime::Runtime;
use tools::{Said, Tool};

/// How many lines are sent: to the clock, and in the shorter and in the longer run under a tool.
#[derive(Clone, Copy)]
struct Counts {
    clock: usize,
    tool: [usize; 2],
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let tokio = Runtime::new().unwrap();
    if let [first, url, count, dir] = &args[..]
        && first == CALLER
    {
        return tokio.block_on(route::caller(url, count.parse().unwrap(), Path::new(dir)));
    }
    let quick = args.iter().any(|arg| arg == "--quick");
    let counts =
        if quick { Counts { clock: 500, tool: [50, 150] } } else { Counts { clock: 5000, tool: [100, 500] } };
    println!("One line of chat, 1 caller, synchronous=normal. Numbers are those of one operation.");
    for route in Route::ALL {
        processes_of(&tokio, route, counts.clock);
    }
    for (tool, what) in [(Tool::Strace, "system calls"), (Tool::Callgrind, "instructions")] {
        if !tool.is_there() {
            println!("\n{what}: not counted, because {tool:?} is not installed");
            continue;
        }
        for route in Route::ALL {
            counted(tool, route, counts.tool);
        }
    }
    stamps::watch();
    let bars: Vec<chart::Bar> =
        Route::ALL.into_iter().map(|route| hops(&tokio, route, counts.clock)).collect();
    if let Some(file) = args.iter().skip_while(|arg| *arg != "--svg").nth(1) {
        // Relative to the root of the workspace, where the command is given.
        std::fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file), chart::draw(&bars))
            .unwrap();
    }
}

/// Prints a number, and keeps it.
fn number(group: &str, row: &str, unit: &str, value: f64) {
    println!("  {row:<58}{value:>10.1} {unit}");
    Row::new(group, row, unit, value).keep();
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_by(f64::total_cmp);
    of[of.len() / 2]
}

/// Time, processor time and wake-ups, with nothing in the way.
fn processes_of(tokio: &Runtime, route: Route, count: usize) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let processes = Processes::start(route, Tool::None, dir.path());
    let url = processes.as_ref().map(|processes| processes.url.clone());
    let of: Vec<(&str, u32)> = std::iter::once(("caller", std::process::id()))
        .chain(
            processes.iter().flat_map(|p| [("nats-server", p.server.0.id()), ("service", p.service.pid())]),
        )
        .collect();
    let group = format!("{}: time, processor, wake-ups", route.name());
    println!("\n{group}");
    tokio.block_on(async {
        let runtime = runtime(url.as_deref(), dir.path()).await;
        let db = runtime.client();
        send(&db, count / 5, false).await;
        let before: Vec<_> = of.iter().map(|(_, pid)| used(*pid)).collect();
        let seen = send(&db, count, false).await;
        let after: Vec<_> = of.iter().map(|(_, pid)| used(*pid)).collect();
        let took = seen.iter().map(|(begun, answered, _)| (*answered - *begun).as_secs_f64() * 1e6);
        number(&group, "until answered, p50", "µs", median(took.collect()));
        for (((name, _), before), after) in of.iter().zip(before).zip(after) {
            number(
                &group,
                &format!("processor time of the {name}"),
                "µs",
                (after.0 - before.0) / count as f64,
            );
            number(&group, &format!("wake-ups of the {name}"), "", (after.1 - before.1) / count as f64);
        }
    });
    if let Some(Processes { service, server, .. }) = processes {
        service.stop();
        drop(server);
    }
}

/// What a tool counts: the difference of two runs, so that starting and ending do not count.
fn counted(tool: Tool, route: Route, [few, many]: [usize; 2]) {
    for of_service in [false, true] {
        if of_service && route == Route::Direct {
            continue;
        }
        let shorter = under(tool, of_service, route, few);
        let each = under(tool, of_service, route, many).each(&shorter, (many - few) as f64);
        let who = if of_service { "service" } else { "caller" };
        match each {
            Said::Nothing => {}
            Said::Calls(calls) => {
                let group = format!("{}: system calls of the {who}", route.name());
                println!("\n{group}");
                number(&group, "all", "", calls.values().sum());
                for (name, calls) in calls.iter().filter(|(_, calls)| **calls >= 0.1) {
                    number(&group, name, "", *calls);
                }
            }
            Said::Instructions(counted) => {
                let group = format!("{}: instructions and allocations of the {who}", route.name());
                println!("\n{group}");
                number(&group, "allocations", "", counted.allocations);
                number(&group, "instructions", "thousand", counted.instructions() / 1e3);
                for (part, instructions) in counted.parts.iter().filter(|(_, n)| **n >= 100.0) {
                    number(&group, &format!("of these: {part}"), "thousand", instructions / 1e3);
                }
            }
        }
    }
}

/// When an operation passes each hop. Here the service is in this process, on threads of its own, and has the same clock.
fn hops(tokio: &Runtime, route: Route, count: usize) -> chart::Bar {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let group = format!("{}: hops, since the call", route.name());
    println!("\n{group}");
    let mut bar = chart::Bar { name: route.name(), at: [0.0; 4], bare: None };
    if route == Route::Direct {
        bar.at = tokio.block_on(measured(None, dir.path(), count, &group));
        return bar;
    }
    let (server, url) = processes::nats_server(dir.path());
    let services = Runtime::new().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let served = services.spawn({
        let (url, file) = (url.clone(), dir.path().join("served.db"));
        let jetstream = if route == Route::Stored { JetStream::On } else { JetStream::Off };
        async move {
            let store = SqlService::<Op>::open(&SqliteOptions::new(file.to_str().unwrap()).unwrap()).await;
            let options = ServiceOptions::default().jetstream(jetstream);
            let stopped = async { drop(stopped.await) };
            service::serve(NatsOptions::new(url.as_str()), store.unwrap(), options, || {}, stopped)
                .await
                .unwrap();
        }
    });
    bar.at = tokio.block_on(measured(Some(&url), dir.path(), count, &group));
    let bare = tokio.block_on(bare(&url, route, count));
    let name =
        if route == Route::Stored { "a bare publish, acknowledged" } else { "a bare request and reply" };
    number(&group, name, "µs", bare);
    bar.bare = Some(bare);
    let _ = stop.send(());
    services.block_on(served).unwrap();
    drop(server);
    bar
}

/// When an operation was sent and answered, and what SQLite's thread did between.
type Seen = (Instant, Instant, stamps::Stamps);

/// The hops: sent to SQLite's thread, the thread begins, it has ended, the caller has its answer.
async fn measured(url: Option<&str>, dir: &Path, count: usize, group: &str) -> [f64; 4] {
    let runtime = runtime(url, dir).await;
    let db = runtime.client();
    send(&db, count / 5, true).await;
    let seen = send(&db, count, true).await;
    let since = |of: &dyn Fn(&Seen) -> Option<Instant>| {
        let of: Vec<f64> = seen
            .iter()
            .filter_map(|s| Some((of(s)?.checked_duration_since(s.0)?).as_secs_f64() * 1e6))
            .collect();
        if of.is_empty() { 0.0 } else { median(of) }
    };
    let at = [since(&|s| s.2.sent), since(&|s| s.2.begun), since(&|s| s.2.ended), since(&|s| Some(s.1))];
    for (name, at) in [
        "the command is sent to SQLite's thread",
        "SQLite's thread begins",
        "SQLite's thread has ended, committed",
        "the caller has its answer",
    ]
    .into_iter()
    .zip(at)
    {
        number(group, name, "µs", at);
    }
    let visits = seen.iter().map(|s| f64::from(s.2.visits)).sum::<f64>() / seen.len() as f64;
    number(group, "commands to SQLite's thread", "", visits);
    at
}

/// The same number of round trips without Rosey: p50 in microseconds.
async fn bare(url: &str, route: Route, count: usize) -> f64 {
    let client = async_nats::connect(url).await.unwrap();
    let stream = async_nats::jetstream::new(client.clone());
    if route == Route::Stored {
        let config = async_nats::jetstream::stream::Config {
            name: "BENCH".into(),
            subjects: vec!["bench.stored".into()],
            ..Default::default()
        };
        stream.create_stream(config).await.unwrap();
    }
    // The one that answers has threads of its own, as the service has.
    let answering = Runtime::new().unwrap();
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let url = url.to_owned();
    let echo = answering.spawn(async move {
        let client = async_nats::connect(url).await.unwrap();
        let mut echo = client.subscribe("bench.echo").await.unwrap();
        client.flush().await.unwrap();
        ready.send(()).unwrap();
        while let Some(message) = echo.next().await {
            client.publish(message.reply.unwrap(), "{}".into()).await.unwrap();
        }
    });
    is_ready.await.unwrap();
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        let begun = Instant::now();
        if route == Route::Stored {
            stream.publish("bench.stored", processes::LINE.into()).await.unwrap().await.unwrap();
        } else {
            client.request("bench.echo", processes::LINE.into()).await.unwrap();
        }
        took.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    echo.abort();
    answering.shutdown_background();
    median(took)
}
