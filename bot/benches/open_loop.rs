//! The latency of one operation at fixed rates, and the processor time of each process.
//!
//! An operation begins when it is due, whether or not those before it are answered, and its latency counts from that moment: a
//! stall shows in every operation that was due in it (no coordinated omission).
//!
//! `cargo xtask bench open_loop` runs it; `--quick` measures one second a row instead of five; `--svg FILE` draws the chart.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

#[path = "support/paths.rs"]
#[allow(dead_code, reason = "the bench `direct_vs_nats` takes the rest")]
mod paths;
#[path = "support/processes.rs"]
mod processes;
#[path = "../../benches/support/record.rs"]
mod record;

use std::path::Path;
use std::time::Duration;

use eitherway::sql::Synchronous;
use eitherway_testkit::proc::cpu_time;
use plotters::prelude::*;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use paths::{OnePath, What};
use record::Row;

const RATES: [u32; 3] = [500, 2000, 8000];
const SHARES: [(&str, f64); 5] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
const COLOURS: [RGBColor; 3] = [RGBColor(9, 105, 218), RGBColor(207, 34, 46), RGBColor(26, 127, 55)];

/// What one path did at one rate.
struct Measured {
    path: &'static str,
    /// Sorted, in microseconds.
    latencies: Vec<f64>,
    /// Processor time of one operation in microseconds: callers, server, service.
    cpu: Vec<(&'static str, f64)>,
}

impl Measured {
    fn at(&self, share: f64) -> f64 {
        let last = self.latencies.len() - 1;
        self.latencies[((last as f64 * share).round() as usize).min(last)]
    }

    fn row(&self) -> String {
        let latencies: String = SHARES.iter().map(|(_, share)| format!("{:9.0}", self.at(*share))).collect();
        let cpu: Vec<String> = self.cpu.iter().map(|(name, micros)| format!("{name} {micros:.0}")).collect();
        format!("{:36}{latencies}   {}", self.path, cpu.join(", "))
    }

    fn keep(&self, group: &str) {
        for (name, share) in SHARES {
            Row::new(group, &format!("{}, {name}", self.path), "µs", self.at(share)).keep();
        }
        for (name, micros) in &self.cpu {
            Row::new(group, &format!("{}, processor time of {name}", self.path), "µs", *micros).keep();
        }
    }
}

async fn measure(name: &'static str, path: &OnePath, what: What, rate: u32, time: Duration) -> Measured {
    let of: Vec<(&'static str, u32)> = std::iter::once(("callers", std::process::id()))
        .chain(path.processes.iter().map(|(name, process)| (*name, process.0.id())))
        .collect();
    let step = path.step(what);
    let count = (time.as_secs_f64() * f64::from(rate)) as u32;
    let before: Vec<Duration> = of.iter().map(|(_, pid)| cpu_time(*pid)).collect();
    let start = Instant::now();
    let mut waiting = Vec::with_capacity(count as usize);
    for number in 0..count {
        let due = start + Duration::from_secs(1) * number / rate;
        if due > Instant::now() {
            tokio::time::sleep_until(due).await;
        }
        let sending = step();
        waiting.push(tokio::spawn(async move {
            sending.await;
            due.elapsed()
        }));
    }
    let mut latencies = Vec::with_capacity(waiting.len());
    for answer in waiting {
        latencies.push(answer.await.unwrap().as_secs_f64() * 1e6);
    }
    latencies.sort_by(f64::total_cmp);
    let cpu = of.iter().zip(before).map(|((name, pid), before)| {
        (*name, (cpu_time(*pid) - before).as_secs_f64() * 1e6 / f64::from(count))
    });
    Measured { path: name, latencies, cpu: cpu.collect() }
}

/// One panel for each rate: the latency at each percentile, a line for each path.
fn draw(file: &Path, panels: &[(String, Vec<Measured>)]) {
    let root = SVGBackend::new(file, (980, 300 * panels.len().div_ceil(3) as u32)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    for (area, (title, rows)) in root.split_evenly((panels.len().div_ceil(3), 3)).iter().zip(panels) {
        let mut chart = ChartBuilder::on(area)
            .caption(title, ("sans-serif", 13))
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..SHARES.len() as f64 - 1.0, (50.0..1_000_000.0).log_scale())
            .unwrap();
        let mesh = &mut chart.configure_mesh();
        mesh.x_labels(SHARES.len()).x_label_formatter(&|x| SHARES[*x as usize].0.to_owned());
        mesh.y_label_formatter(&|y| if *y < 1000.0 { format!("{y} µs") } else { format!("{} ms", y / 1e3) });
        mesh.disable_x_mesh().light_line_style(TRANSPARENT).draw().unwrap();
        for (row, colour) in rows.iter().zip(COLOURS) {
            let points = SHARES.iter().enumerate().map(|(i, (_, share))| (i as f64, row.at(*share)));
            let line = chart.draw_series(LineSeries::new(points, colour.stroke_width(2))).unwrap();
            line.label(row.path).legend(move |(x, y)| PathElement::new([(x, y), (x + 14, y)], colour));
        }
        let labels = &mut chart.configure_series_labels();
        labels.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).draw().unwrap();
    }
    root.present().unwrap();
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let time = Duration::from_secs(if arguments.iter().any(|flag| flag == "--quick") { 1 } else { 5 });
    let svg = arguments.iter().position(|flag| flag == "--svg").and_then(|at| arguments.get(at + 1));
    let runtime = Runtime::new().unwrap();
    // The system's temporary directory may be in memory, where a sync costs nothing.
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let [direct, core, stream] = runtime.block_on(async {
        let level = Synchronous::Normal;
        [
            OnePath::direct(dir.path(), level).await,
            OnePath::nats(dir.path(), level, "off").await,
            OnePath::nats(dir.path(), level, "on").await,
        ]
    });
    let committed = [("direct", &direct), ("over NATS, until committed", &core)];
    let kept = ("over NATS, until a stream keeps it", &stream);
    let event = committed.into_iter().chain([kept]).collect();
    let kinds: [(&str, What, Vec<_>); 2] = [
        ("event: a line of chat", What::Line, event),
        ("query: the newest ten lines", What::Recent, committed.into()),
    ];
    let mut panels = Vec::new();
    for (kind, what, paths) in kinds {
        for rate in RATES {
            let title = format!("{kind}, {rate} a second");
            let heads: String =
                SHARES.iter().map(|(name, _)| format!("{:>9}", format!("{name} µs"))).collect();
            println!("{title}\n{:36}{heads}   processor µs an operation", "");
            let mut rows = Vec::new();
            for &(name, path) in &paths {
                runtime.block_on(measure(name, path, what, rate, time / 5));
                let row = runtime.block_on(measure(name, path, what, rate, time));
                println!("{}", row.row());
                row.keep(&title);
                rows.push(row);
            }
            println!();
            panels.push((title, rows));
        }
    }
    if let Some(file) = svg {
        // Relative to the root of the workspace, where the command is given.
        draw(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file), &panels);
        println!("The chart is in {file}.");
    }
}
