//! The rows of a run as tables of text.

use super::bar::Bar;
use super::measured::Spread;
use crate::bench::record::{BarResult, Row};

/// A row, and the one beside it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) what: String,
    pub(super) own: Spread,
    pub(super) beside: String,
    /// The median of the row beside it, in nanoseconds.
    pub(super) other: f64,
    pub(super) bars: Vec<Bar>,
}

impl Line {
    /// The longest time that the bars allow, in nanoseconds.
    pub(super) fn allowed(&self) -> Option<f64> {
        self.bars.iter().map(|bar| bar.allowed(self.other)).reduce(f64::min)
    }

    pub(super) fn is_met(&self) -> Option<bool> {
        self.allowed().map(|most| self.own.middle <= most)
    }

    fn meets(&self, bar: Bar) -> bool {
        self.own.middle <= bar.allowed(self.other)
    }
}

/// Lines under one heading.
#[derive(Clone, Debug)]
pub(super) struct Section {
    pub(super) title: String,
    /// Whether its rows are rates, not latencies.
    pub(super) is_rate: bool,
    pub(super) lines: Vec<Line>,
}

impl Section {
    /// The row that all lines stand beside, if it is the same one.
    pub(super) fn base(&self) -> Option<&str> {
        let first = self.lines.first()?;
        self.lines.iter().all(|line| line.beside == first.beside).then_some(first.beside.as_str())
    }

    /// The unit of its numbers, and what becomes of nanoseconds in it.
    fn unit(&self) -> (&'static str, fn(f64) -> f64) {
        let longest = self.lines.iter().map(|line| line.own.middle).fold(0.0, f64::max);
        match (self.is_rate, longest < 10_000.0) {
            (true, _) => ("per s", |ns| 1e9 / ns),
            (_, true) => ("ns", |ns| ns),
            (_, false) => ("µs", |ns| ns / 1e3),
        }
    }

    /// Its lines as rows of a result.
    pub(super) fn rows(&self) -> Vec<Row> {
        let (unit, in_unit) = self.unit();
        let row = |line: &Line| {
            let (mut low, mut high) = (in_unit(line.own.low), in_unit(line.own.high));
            if low > high {
                std::mem::swap(&mut low, &mut high);
            }
            let held = |bar: &Bar| BarResult { bar: bar.to_string(), met: line.meets(*bar) };
            let ratio = in_unit(line.own.middle) / in_unit(line.other);
            Row {
                group: self.title.clone(),
                row: line.what.clone(),
                unit: unit.to_owned(),
                value: in_unit(line.own.middle),
                low,
                high,
                beside: (line.what != line.beside).then(|| (line.beside.clone(), ratio)),
                bars: line.bars.iter().map(held).collect(),
            }
        };
        self.lines.iter().map(row).collect()
    }

    fn text(&self) -> String {
        let (unit, in_unit) = self.unit();
        let beside = self.base().is_none();
        let mut head = vec![left(&self.title), right(unit), right("(low – high)")];
        head.extend(beside.then(|| [left("beside"), right(unit)]).into_iter().flatten());
        let ratio = if self.is_rate { "rate ×" } else { "×" };
        head.push(right(ratio));
        let has_bars = self.lines.iter().any(|line| !line.bars.is_empty());
        head.extend(has_bars.then(|| [left("bar"), left("met")]).into_iter().flatten());
        let row = |line: &Line| {
            let Line { what, own, other, bars, .. } = line;
            let mut ends = [own.low, own.high].map(in_unit);
            ends.sort_by(f64::total_cmp);
            let range = format!("({} – {})", number(ends[0]), number(ends[1]));
            let mut row = vec![left(what), right(&number(in_unit(own.middle))), right(&range)];
            let other_side = || [left(&line.beside), right(&number(in_unit(*other)))];
            row.extend(beside.then(other_side).into_iter().flatten());
            let ratio = if self.is_rate { other / own.middle } else { own.middle / other };
            let bars: Vec<String> = bars.iter().map(Bar::to_string).collect();
            let met = line.is_met().map_or("", |met| if met { "yes" } else { "NO" });
            row.push(right(&format!("{ratio:.2}")));
            row.extend(has_bars.then(|| [left(&bars.join(", ")), left(met)]).into_iter().flatten());
            row
        };
        let rows: Vec<_> = std::iter::once(head).chain(self.lines.iter().map(row)).collect();
        let note = self.base().map_or_else(String::new, |base| format!("× beside: {base}\n"));
        format!("{}{note}", grid(&rows))
    }
}

/// All sections, and how many bars are met.
pub(super) fn table(sections: &[Section], machine: &str) -> String {
    let mut out: String = sections.iter().map(|section| section.text() + "\n").collect();
    let lines = sections.iter().flat_map(|section| &section.lines);
    let bars: Vec<bool> = lines.flat_map(|line| line.bars.iter().map(|bar| line.meets(*bar))).collect();
    let met = bars.iter().filter(|met| **met).count();
    if !bars.is_empty() {
        out += &format!("{met} of {} bars met. ", bars.len());
    }
    out + &format!("Medians, with confidence intervals of 95 %. {machine}.\n")
}

fn number(value: f64) -> String {
    let digits = if value < 10.0 { 2 } else { usize::from(value < 1000.0) };
    format!("{value:.digits$}")
}

/// A cell, and whether it is aligned to the right.
type Cell = (String, bool);

fn left(text: &str) -> Cell {
    (text.to_owned(), false)
}

fn right(text: &str) -> Cell {
    (text.to_owned(), true)
}

fn grid(rows: &[Vec<Cell>]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].0.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let cell = |((text, right), width): (&Cell, &usize)| {
        if *right { format!("{text:>width$}") } else { format!("{text:width$}") }
    };
    let line = |row: &Vec<Cell>| {
        let cells: Vec<String> = row.iter().zip(&widths).map(cell).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: &str, middle: f64, beside: &str, bars: Vec<Bar>) -> Line {
        let own = Spread { low: middle - 1.0, middle, high: middle + 1.0 };
        Line { what: what.to_owned(), own, beside: beside.to_owned(), other: 1000.0, bars }
    }

    fn text(is_rate: bool, lines: Vec<Line>) -> String {
        table(&[Section { title: "a title".to_owned(), is_rate, lines }], "2 cores")
    }

    #[test]
    fn a_time_is_held_to_its_bar_beside_the_other() {
        let lines = vec![
            line("fast", 400.0, "base", vec![Bar::Share(0.5)]),
            line("slow", 1040.0, "base", vec![Bar::Over(30.0)]),
        ];
        let text = text(false, lines);
        assert!(
            text.contains("fast     400.0  (399.0 – 401.0)") && text.contains("0.40  ≤ 0.5 ×       yes\n"),
            "{text}"
        );
        assert!(text.contains("1.04  ≤ 30 ns more  NO\n"), "{text}");
        assert!(text.contains("× beside: base\n") && text.contains("1 of 2 bars met."), "{text}");
        assert!(text.ends_with("2 cores.\n"), "{text}");
    }

    #[test]
    fn a_rate_is_held_to_all_of_its_bars() {
        let both = vec![Bar::Times(3.0), Bar::Rate(2e6)];
        let text = text(true, vec![line("a", 400.0, "base", both)]);
        assert!(text.contains("2500000  (2493766 – 2506266)"), "{text}");
        assert!(text.contains("2.50  ≥ 3 ×, ≥ 2000000/s  NO\n"), "{text}");
        assert!(text.contains("1 of 2 bars met."), "{text}");
    }

    #[test]
    fn a_row_of_the_result_has_the_unit_of_the_table_and_each_of_its_bars() {
        let lines = vec![
            line("base", 1000.0, "base", vec![]),
            line("a", 400.0, "base", vec![Bar::Times(3.0), Bar::Rate(2e6)]),
        ];
        let rows = Section { title: "a title".to_owned(), is_rate: true, lines }.rows();
        assert_eq!(
            (rows[0].beside.as_ref(), rows[1].beside.as_ref()),
            (None, Some(&("base".to_owned(), 2.5)))
        );
        assert_eq!((rows[1].value, rows[1].unit.as_str()), (2_500_000.0, "per s"));
        assert!(rows[1].low < rows[1].value && rows[1].value < rows[1].high, "{rows:?}");
        assert_eq!(rows[1].bars.iter().map(|held| held.met).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn rows_beside_different_ones_name_them() {
        let text = text(false, vec![line("a", 1.0, "tower", vec![]), line("b", 1.0, "other", vec![])]);
        assert!(
            text.contains("(0.00 – 2.00)  tower   1000") && text.contains("(0.00 – 2.00)  other   1000"),
            "{text}"
        );
    }
}
