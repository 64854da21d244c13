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
use std::process::Command;
use std::time::SystemTime;

use crate::bench::record::Run;
use crate::failure::Failure;
use crate::paths::Paths;
use crate::run::step;
use bar::Bar;
use measured::Measured;
use table::{Line, Section, table};

/// How many groups of the bench `writer` compare numbers of writers on PostgreSQL, and the sentence below their chart.
const SCALING: usize = 2;
const SCALING_NOTE: &str = "Operations of 256 callers, each committed on the disk. Dashed: the bar.";

fn is_scaling(title: &str) -> bool {
    title.starts_with("postgres ") && title.ends_with(" 256 callers")
}

/// Runs the command of a bench, prints its tables, and draws its charts into this directory.
pub(crate) fn bench(
    paths: &Paths,
    run: &mut Run,
    mut command: Command,
    charts: &Path,
) -> Result<(), Failure> {
    let start = SystemTime::now();
    let home = paths.target().join("criterion");
    command.env("CRITERION_HOME", &home);
    step(command, "the message is above")?;
    let measured = measured::since(&home, start);
    let sections = if run.bench == layers::BENCH { layers::sections(&measured) } else { groups(&measured) };
    if sections.is_empty() {
        println!("Nothing was measured of which there is a table.");
        return Ok(());
    }
    let machine = run.machine();
    run.rows = sections.iter().flat_map(Section::rows).collect();
    run.text = table(&sections, &machine);
    print!("\n{}", run.text);
    println!("Criterion's report: {}", home.join("report/index.html").display());
    if run.bench == layers::BENCH {
        layers::chart(charts, &sections, &machine)?;
    }
    let scaling: Vec<Section> = sections.into_iter().filter(|section| is_scaling(&section.title)).collect();
    if scaling.len() == SCALING {
        let svg = chart::draw(&scaling, "PostgreSQL by the number of writers", SCALING_NOTE, &machine);
        chart::write(&charts.join("postgres-bench.svg"), &svg)?;
    }
    Ok(())
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
        let again = |row: &&Measured| {
            let own = |(others, bar): (&[&str], Bar)| {
                let of =
                    |other: &&str| rows.iter().find(|row| row.name == **other).map(|row| row.time.middle);
                let other = others.iter().map(of).sum::<Option<f64>>()?;
                let (what, beside) = (format!("{}, again", row.name), others.join(" + "));
                Some(Line { what, own: row.time, beside, other, bars: vec![bar] })
            };
            bar::beside(&row.group, &row.name).filter_map(own).collect::<Vec<_>>()
        };
        let lines = rows.iter().map(line).chain(rows.iter().flat_map(again)).collect();
        sections.push(Section { title: row.group.clone(), is_rate: row.is_rate, lines });
    }
    sections
}

#[cfg(test)]
mod tests {
    use super::*;
    use measured::tests::measured;

    #[test]
    fn a_row_stands_beside_the_base_and_beside_what_it_is_held_to() {
        let group = "query: the newest ten lines, 1 caller, synchronous=normal";
        let rows = [
            ("direct", 100.0),
            ("over NATS, until committed", 330.0),
            ("NATS request and reply alone", 200.0),
        ];
        let rows = rows.map(|(name, time)| measured(group, name, time));
        let lines = &groups(&rows)[0].lines;
        assert_eq!(lines.len(), 4);
        assert_eq!((lines[3].other, lines[3].is_met()), (300.0, Some(true)));
        assert_eq!(lines[3].beside, "direct + NATS request and reply alone");
        // Without one of the parts there is no sum.
        assert_eq!(groups(&rows[..2])[0].lines.len(), 2);
    }
}
