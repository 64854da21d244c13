//! `cargo xtask bench` for benches that Criterion measures: ratios of rows that were measured in one run.
//!
//! Criterion stores its estimates in the target directory. This module reads them, prints them as ratios with
//! the bars, and draws a chart of the layers.

mod bar;
mod chart;
mod layers;
mod measured;
mod table;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::step;
use measured::Measured;
use table::{Line, Section, table};

/// How many groups of the bench `writer` compare numbers of writers on PostgreSQL, and the sentence below their chart.
const SCALING: usize = 2;
const SCALING_NOTE: &str = "Operations of 256 callers, each committed on the disk. Dashed: the bar.";

fn is_scaling(title: &str) -> bool {
    title.starts_with("postgres ") && title.ends_with(" 256 callers")
}

/// Runs the command of a bench, and prints its table.
pub(crate) fn bench(paths: &Paths, name: &str, mut command: Command) -> Result<ExitCode, Failure> {
    let machine = machine(paths.root());
    let start = SystemTime::now();
    let home = paths.target().join("criterion");
    command.env("CRITERION_HOME", &home);
    step(command, "the message is above")?;
    let measured = measured::since(&home, start);
    let sections = if name == layers::BENCH { layers::sections(&measured) } else { groups(&measured) };
    if sections.is_empty() {
        println!("Nothing was measured of which there is a table.");
        return Ok(ExitCode::SUCCESS);
    }
    print!("\n{}", table(&sections, &machine));
    println!("Criterion's report: {}", home.join("report/index.html").display());
    if name == layers::BENCH {
        layers::chart(paths, &sections, &machine)?;
    }
    let scaling: Vec<Section> = sections.into_iter().filter(|section| is_scaling(&section.title)).collect();
    if scaling.len() == SCALING {
        let svg = chart::draw(&scaling, "PostgreSQL by the number of writers", SCALING_NOTE, &machine);
        chart::write(paths, "docs/postgres-bench.svg", &svg)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Every group as a section. Its rows stand beside its base: the fastest of those that are bare INSERTs, or else
/// the first.
fn groups(measured: &[Measured]) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    for row in measured {
        if sections.iter().any(|section| section.title == row.group) {
            continue;
        }
        let rows: Vec<&Measured> = measured.iter().filter(|other| other.group == row.group).collect();
        let bare = rows.iter().filter(|row| row.name.starts_with("bare INSERT"));
        let base = bare.min_by(|a, b| a.time.middle.total_cmp(&b.time.middle)).unwrap_or(&rows[0]);
        let line = |row: &&Measured| Line {
            what: row.name.clone(),
            own: row.time,
            beside: base.name.clone(),
            other: base.time.middle,
            bars: if row.name == base.name { Vec::new() } else { bar::bars(&row.group, &row.name) },
        };
        let lines = rows.iter().map(line).collect();
        sections.push(Section { title: row.group.clone(), is_rate: row.is_rate, lines });
    }
    sections
}

/// Cores, compiler and platform, and if the system provides it, the load before the run.
fn machine(root: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or_else(|_| "?".to_owned(), |n| n.to_string());
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc).arg("--version").current_dir(root).output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    let version = version.split_whitespace().nth(1).unwrap_or("?").to_owned();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load =
        load.split_whitespace().next().map_or_else(String::new, |load| format!(", load before {load}"));
    format!("{cores} cores, rustc {version}, {}-{}{load}", std::env::consts::ARCH, std::env::consts::OS)
}
