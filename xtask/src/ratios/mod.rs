//! `cargo xtask bench layers`: the cost of the layers, beside the bare service and beside comparable layers.
//!
//! Criterion stores its medians in the target directory. This module reads them, prints them as ratios with
//! the bars, and draws a chart.

mod chart;
mod median;
mod rows;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::{cargo, step};
use median::Medians;
use rows::{ROWS, Row, Section};

/// The path of the chart, relative to the root of the workspace.
const CHART: &str = "docs/layers-bench.svg";

/// A measured row of the table.
struct Line {
    row: &'static Row,
    ours: f64,
    other: f64,
    met: Option<bool>,
}

/// Runs the bench, prints the table, and draws the chart if the whole bench ran.
pub(crate) fn bench(paths: &Paths, args: &[String]) -> Result<ExitCode, Failure> {
    let machine = machine(paths.root());
    let start = SystemTime::now();
    let home = paths.target().join("criterion");
    let mut command = cargo(paths);
    command
        .args(["bench", "--package", "eitherway-layers", "--all-features", "--bench", "layers"])
        .args(args);
    command.env("CRITERION_HOME", &home);
    step(command, "the message is above")?;

    let medians = Medians::since(&home, start);
    let lines: Vec<Line> = ROWS.iter().filter_map(|row| measured(row, &medians)).collect();
    if lines.is_empty() {
        return Err(Failure::new("nothing was measured of which there is a table"));
    }
    print!("\n{}", table(&lines, &machine));
    if lines.len() == ROWS.len() {
        let file = paths.root().join(CHART);
        std::fs::write(&file, chart::draw(&lines, &machine))
            .map_err(|e| Failure::io(format!("write {}", file.display()), &e))?;
        println!("The chart is in {CHART}.");
    } else {
        println!("Not everything was measured; {CHART} stays as it was.");
    }
    Ok(ExitCode::SUCCESS)
}

/// The row with its numbers, if both of its sides ran.
fn measured(row: &'static Row, medians: &Medians) -> Option<Line> {
    let ours = medians.get(row.ours)?;
    let other = medians.get(row.other)?;
    Some(Line { row, ours, other, met: row.allowed(other).map(|most| ours <= most) })
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

/// The table as text.
fn table(lines: &[Line], machine: &str) -> String {
    let width = |text: fn(&Row) -> &str, name: &str| {
        lines.iter().map(|line| text(line.row).chars().count()).max().unwrap_or(0).max(name.chars().count())
    };
    let mut out = String::new();
    for section in [Section::Stack, Section::Peers] {
        let lines: Vec<&Line> = lines.iter().filter(|line| line.row.section == section).collect();
        if lines.is_empty() {
            continue;
        }
        let what = width(|row| row.what, section.title());
        let beside = width(|row| row.beside, "beside");
        out += &format!(
            "{:what$}  {:>7}  {:beside$}  {:>7}  {:>7}  {:14}  met\n",
            section.title(),
            "ns",
            "beside",
            "ns",
            "ratio",
            "bar"
        );
        for Line { row, ours, other, met } in lines {
            let bar = row.bar.map_or_else(String::new, |bar| bar.to_string());
            let met = met.map_or("", |met| if met { "yes" } else { "NO" });
            let text = format!(
                "{:what$}  {ours:>7.1}  {:beside$}  {other:>7.1}  {:>7.2}  {bar:14}  {met}",
                row.what,
                row.beside,
                ours / other
            );
            out += text.trim_end();
            out.push('\n');
        }
        out.push('\n');
    }
    let bars = lines.iter().filter_map(|line| line.met);
    let (met, all) = (bars.clone().filter(|met| *met).count(), bars.count());
    out += &format!("{met} of {all} bars met. Medians; ratio is ours / the one beside. {machine}.\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines() -> Vec<Line> {
        ROWS.iter().map(|row| Line { row, ours: 40.0, other: 100.0, met: row.bar.map(|_| true) }).collect()
    }

    #[test]
    fn every_row_is_in_the_table_with_its_ratio_and_its_bar() {
        let text = table(&lines(), "2 cores");
        for row in ROWS {
            let start = format!("{}  ", row.what);
            let line = text.lines().find(|line| line.starts_with(&start) && line.contains(row.beside));
            let line = line.expect("a line");
            assert!(line.contains("0.40"), "{line}");
            assert_eq!(line.ends_with("yes"), row.bar.is_some(), "{line}");
        }
        assert!(text.ends_with("2 cores.\n"), "{text}");
    }

    #[test]
    fn a_bar_that_is_not_met_is_said() {
        let mut lines = lines();
        lines[0].met = Some(false);
        let text = table(&lines, "2 cores");
        assert_eq!(text.matches(" NO\n").count(), 1, "{text}");
    }

    #[test]
    fn the_chart_names_every_row_and_both_colour_schemes() {
        let svg = chart::draw(&lines(), "2 cores");
        for row in ROWS {
            assert!(svg.contains(row.what), "{}", row.what);
        }
        assert!(svg.contains("prefers-color-scheme: dark") && svg.ends_with("</svg>\n"), "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
