//! The bench `layers`: what is compared with what, the table, and the chart.

use std::path::Path;

use super::bar::Bar;
use super::chart;
use super::measured::Measured;
use super::table::{Line, Section};
use crate::failure::Failure;

/// The name of the bench.
pub(super) const BENCH: &str = "layers";

/// The file of the chart.
const CHART: &str = "layers-bench.svg";

/// One measurement: Criterion's group and name.
type Id = (&'static str, &'static str);

/// Two measurements side by side.
struct Row {
    what: &'static str,
    ours: Id,
    beside: &'static str,
    other: Id,
    bar: Option<Bar>,
}

impl Row {
    /// The row with its numbers, if both of its sides ran.
    fn line(&self, measured: &[Measured]) -> Option<Line> {
        let time = |(group, name): Id| {
            measured.iter().find(|row| row.group == group && row.name == name).map(|row| row.time)
        };
        Some(Line {
            what: self.what.to_owned(),
            own: time(self.ours)?,
            beside: self.beside.to_owned(),
            other: time(self.other)?.middle,
            bars: self.bar.into_iter().collect(),
        })
    }
}

/// The tables: stacked layers beside the bare service, and layers beside those of other crates.
const TABLES: [(&str, &[Row]); 2] =
    [("The standard stack, from the inside out", STACK), ("Ours and the peers'", PEERS)];

/// What has been measured of the tables.
pub(super) fn sections(measured: &[Measured]) -> Vec<Section> {
    let section = |(title, rows): (&str, &[Row])| Section {
        title: title.to_owned(),
        is_rate: false,
        lines: rows.iter().filter_map(|row| row.line(measured)).collect(),
    };
    TABLES.into_iter().map(section).filter(|section| !section.lines.is_empty()).collect()
}

/// Draws the chart into this directory if the whole bench ran.
pub(super) fn chart(dir: &Path, sections: &[Section], machine: &str) -> Result<(), Failure> {
    let lines: usize = sections.iter().map(|section| section.lines.len()).sum();
    if lines < STACK.len() + PEERS.len() {
        println!("Not everything was measured; {CHART} stays as it was.");
        return Ok(());
    }
    chart::write(&dir.join(CHART), &draw(sections, machine))
}

fn draw(sections: &[Section], machine: &str) -> String {
    let note = "Medians, a clone of the service for each call included. Dashed: the bar.";
    chart::draw(sections, "What the layers cost", note, machine)
}

const fn stack(what: &'static str, name: &'static str, bar: Option<Bar>) -> Row {
    let (ours, other) = (("cumulative", name), ("cumulative", "0 bare"));
    Row { what, ours, beside: "bare service", other, bar }
}

const fn silent(what: &'static str, name: &'static str) -> Row {
    let (ours, other) = (("silent", name), ("silent", "bare"));
    Row { what, ours, beside: "bare service", other, bar: Some(Bar::Over(100.0)) }
}

const fn peer(what: &'static str, ours: Id, beside: &'static str, other: Id, bar: Option<Bar>) -> Row {
    Row { what, ours, beside, other, bar }
}

/// For a peer that allocates.
const HALF: Option<Bar> = Some(Bar::Share(0.5));
/// For a peer that does not allocate.
const NEAR: Option<Bar> = Some(Bar::Over(30.0));

/// A hedge that never comes to anything: no timer and no clock.
const HEDGE_READY: Option<Bar> = Some(Bar::Over(3.0));
/// A hedge that is prepared: a clock, a timer, and the record of the answer.
const HEDGE_WAITS: Option<Bar> = Some(Bar::Over(200.0));

const STACK: &[Row] = &[
    stack("timeout", "1 timeout", None),
    stack("+ breaker", "2 breaker", None),
    stack("+ metrics of the path", "3 metrics of the path", None),
    stack("+ log of the path", "4 log of the path", None),
    stack("+ fallback", "5 fallback", None),
    stack("+ metrics of all", "6 metrics of all", None),
    stack("+ log of all", "7 log of all", None),
    stack("+ switch: all of it, debug off", "8 switch, the standard stack", Some(Bar::Over(200.0))),
    stack("the same, leaked", "9 the standard stack, leaked", Some(Bar::Over(200.0))),
    silent("all of it, log and metrics off", "standard stack"),
    silent("the same, off and leaked", "standard stack, leaked"),
];

const PEERS: &[Row] = &[
    peer(
        "timeout, breaker, fallback",
        ("cumulative", "ours timeout, breaker, fallback"),
        "tower, tower-resilience",
        ("cumulative", "peers timeout, breaker, fallback"),
        HALF,
    ),
    peer("timeout", ("alone", "timeout"), "tower", ("alone", "peer tower timeout"), NEAR),
    peer(
        "timeout, again",
        ("alone", "timeout"),
        "tower-resilience",
        ("alone", "peer tower-resilience time limiter"),
        HALF,
    ),
    peer(
        "breaker",
        ("alone", "breaker"),
        "tower-resilience",
        ("alone", "peer tower-resilience circuit breaker"),
        HALF,
    ),
    peer(
        "breaker, shared by two threads",
        ("two threads", "one breaker"),
        "tower-resilience",
        ("two threads", "one peer tower-resilience circuit breaker"),
        HALF,
    ),
    peer("fallback", ("alone", "fallback"), "tower-fallback", ("alone", "peer tower-fallback"), NEAR),
    peer(
        "fallback, again",
        ("alone", "fallback"),
        "tower-resilience",
        ("alone", "peer tower-resilience fallback"),
        HALF,
    ),
    peer("hedge, answered at once", ("alone", "hedge"), "fallback", ("alone", "fallback"), HEDGE_READY),
    peer(
        "hedge, waiting once",
        ("pending once", "hedge"),
        "bare service",
        ("pending once", "bare"),
        HEDGE_WAITS,
    ),
    peer("hedge, again", ("pending once", "hedge"), "tower", ("pending once", "peer tower hedge"), None),
    peer(
        "error, then fallback",
        ("outage", "primary fails, fallback"),
        "tower-fallback",
        ("outage", "primary fails, peer tower-fallback"),
        NEAR,
    ),
    peer(
        "error, then fallback, again",
        ("outage", "primary fails, fallback"),
        "tower-resilience",
        ("outage", "primary fails, peer tower-resilience fallback"),
        HALF,
    ),
    peer(
        "open circuit, then fallback",
        ("outage", "circuit open, fallback"),
        "tower-resilience",
        ("outage", "circuit open, peers tower-resilience"),
        HALF,
    ),
];

#[cfg(test)]
mod tests {
    use super::super::measured::Spread;
    use super::super::table::table;
    use super::*;

    /// A run of everything, in which ours take 40 ns and the others 100.
    fn all() -> Vec<Section> {
        let own = Spread { low: 39.0, middle: 40.0, high: 41.0 };
        let line = |row: &Row| Line {
            what: row.what.to_owned(),
            own,
            beside: row.beside.to_owned(),
            other: 100.0,
            bars: row.bar.into_iter().collect(),
        };
        let section = |(title, rows): (&str, &[Row])| Section {
            title: title.to_owned(),
            is_rate: false,
            lines: rows.iter().map(line).collect(),
        };
        TABLES.into_iter().map(section).collect()
    }

    #[test]
    fn every_row_is_in_the_table_with_its_ratio_and_its_bar() {
        let text = table(&all(), "2 cores");
        for row in TABLES.iter().flat_map(|(_, rows)| *rows) {
            let is_it = |line: &str| {
                let ratio = line.starts_with(&format!("{}  ", row.what)) && line.contains("  0.40");
                ratio && line.ends_with("yes") == row.bar.is_some()
            };
            assert!(text.lines().any(is_it), "{}: {text}", row.what);
        }
    }

    #[test]
    fn the_chart_names_every_row_and_both_colour_schemes() {
        let svg = draw(&all(), "2 cores");
        for row in TABLES.iter().flat_map(|(_, rows)| *rows) {
            assert!(svg.contains(row.what), "{}", row.what);
        }
        assert!(svg.contains("prefers-color-scheme: dark") && svg.ends_with("</svg>\n"), "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}
