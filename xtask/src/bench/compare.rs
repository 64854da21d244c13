//! `cargo xtask bench --compare OLD NEW`: two results row by row.

use std::path::Path;
use std::process::ExitCode;

use super::record::{self, Row, Run};
use crate::failure::Failure;

/// What differs by less than this is noise, however narrow the intervals are.
const NOISE: f64 = 0.05;

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    None,
    Better,
    Worse,
    Added,
    Gone,
}

impl Change {
    fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Better => "better",
            Self::Worse => "WORSE",
            Self::Added => "new",
            Self::Gone => "gone",
        }
    }
}

/// One row of both, or of one.
struct Pair<'a> {
    old: Option<&'a Row>,
    new: Option<&'a Row>,
}

impl Pair<'_> {
    /// The new value as a share of the old one. Where both were measured beside another row of their run, the share of the
    /// shares, from which the speed of the machine cancels out.
    fn ratio(&self) -> Option<f64> {
        let (old, new) = (self.old?, self.new?);
        let share = |row: &Row| row.beside.as_ref().map(|(_, ratio)| *ratio);
        let same_base = || old.beside.as_ref()?.0.eq(&new.beside.as_ref()?.0).then_some(());
        match same_base().and(share(old).zip(share(new))) {
            Some((old, new)) => Some(new / old),
            None => Some(new.value / old.value),
        }
    }

    /// By how much the ratio may differ from 1 by chance.
    fn noise(&self) -> f64 {
        let half = |row: &&Row| (row.high - row.low).abs() / (2.0 * row.value.abs());
        self.old.iter().chain(&self.new).map(half).sum::<f64>().max(NOISE)
    }

    fn change(&self) -> Change {
        let Some(ratio) = self.ratio() else {
            return if self.old.is_some() { Change::Gone } else { Change::Added };
        };
        // A value of 0 has no ratios.
        let moved = !ratio.is_finite() || ratio.ln().abs() > self.noise().ln_1p();
        let more = self.new.is_some_and(Row::more_is_better);
        match (moved && !ratio.is_nan(), (ratio > 1.0) == more) {
            (false, _) => Change::None,
            (true, true) => Change::Better,
            (true, false) => Change::Worse,
        }
    }

    /// The bars that the new run misses and the old one does not.
    fn broken(&self) -> Vec<&str> {
        let missed = |row: &Row, bar: &str| row.bars.iter().any(|held| held.bar == bar && !held.met);
        let Some(new) = self.new else { return Vec::new() };
        let all = new.bars.iter().filter(|held| !held.met).map(|held| held.bar.as_str());
        all.filter(|bar| !self.old.is_some_and(|old| missed(old, bar))).collect()
    }

    fn line(&self) -> String {
        let value = |row: Option<&Row>| {
            row.map_or_else(|| "–".to_owned(), |row| format!("{} {}", number(row.value), row.unit))
        };
        let share = |row: Option<&Row>| {
            row.and_then(|row| row.beside.as_ref())
                .map_or_else(String::new, |(_, ratio)| format!("{ratio:.2} ×"))
        };
        let name = self.new.or(self.old).map_or("", |row| row.row.as_str());
        let ratio = self.ratio().map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}"));
        let broken: String = self.broken().iter().map(|bar| format!("  BAR BROKEN: {bar}")).collect();
        let line = format!(
            "{name:<46}{:>16}{:>9}{:>16}{:>9}{ratio:>8}  {:<6}{broken}",
            value(self.old),
            share(self.old),
            value(self.new),
            share(self.new),
            self.change().word(),
        );
        format!("{}\n", line.trim_end())
    }
}

fn number(value: f64) -> String {
    let digits = if value.abs() < 10.0 { 2 } else { usize::from(value.abs() < 1000.0) };
    format!("{value:.digits$}")
}

/// What is in one or both of these runs of one bench, group by group; and how many bars are broken.
fn text(name: &str, old: &Run, new: &Run) -> (String, usize) {
    let of = |run: &Run| format!("{} of {}", run.commit, run.date);
    let mut out = format!("{name}: {}, then {}\n", of(old), of(new));
    if old.machine().split(", load").next() != new.machine().split(", load").next() {
        out += &format!("Not the same machine: {}; then {}.\n", old.machine(), new.machine());
    }
    let same = |row: &Row, other: &Row| row.group == other.group && row.row == other.row;
    let both = new
        .rows
        .iter()
        .map(|row| Pair { old: old.rows.iter().find(|other| same(row, other)), new: Some(row) });
    let gone = old.rows.iter().filter(|row| !new.rows.iter().any(|other| same(row, other)));
    let pairs: Vec<Pair<'_>> = both.chain(gone.map(|row| Pair { old: Some(row), new: None })).collect();
    let mut group = None;
    for pair in &pairs {
        let of = pair.new.or(pair.old).map(|row| row.group.as_str());
        if of != group {
            group = of;
            out += &format!(
                "\n{:<46}{:>16}{:>9}{:>16}{:>9}{:>8}\n",
                of.unwrap_or_default(),
                "old",
                "beside",
                "new",
                "beside",
                "ratio"
            );
        }
        out += &pair.line();
    }
    let count = |change| pairs.iter().filter(|pair| pair.change() == change).count();
    let broken = pairs.iter().map(|pair| pair.broken().len()).sum();
    out += &format!(
        "\n{} rows: {} better, {} worse, {} new, {} gone; {broken} bars broken.\n\n",
        pairs.len(),
        count(Change::Better),
        count(Change::Worse),
        count(Change::Added),
        count(Change::Gone),
    );
    (out, broken)
}

/// Prints both, and fails if a bar is broken.
pub(super) fn compare(old: &Path, new: &Path) -> Result<ExitCode, Failure> {
    let (old, new) = (record::read(old)?, record::read(new)?);
    let mut broken = 0;
    let mut compared = 0;
    // Two files are compared whatever their names.
    let single = old.len() == 1 && new.len() == 1;
    for (name, run) in &new {
        let before =
            old.iter().find(|(other, of)| if single { of.bench == run.bench } else { other == name });
        let Some((_, before)) = before else {
            println!("{name}: only in the new results\n");
            continue;
        };
        let (text, more) = text(name, before, run);
        print!("{text}");
        broken += more;
        compared += 1;
    }
    if compared == 0 {
        return Err(Failure::new("these are results of different benches: there is nothing to compare"));
    }
    println!(
        "A row has moved if its ratio differs from 1 by more than both intervals together, and by {:.0} %. The ratio is that of \
         the columns `beside` where both runs have the same row beside it: the speed of the machine cancels out.",
        NOISE * 100.0
    );
    Ok(if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::super::record::BarResult;
    use super::super::record::tests::{row, run};
    use super::*;

    fn change(old: &Row, new: &Row) -> Change {
        Pair { old: Some(old), new: Some(new) }.change()
    }

    fn rate(row: Row) -> Row {
        Row { unit: "per s".to_owned(), ..row }
    }

    #[test]
    fn what_moves_within_its_intervals_has_not_moved() {
        assert_eq!(change(&row("a", 100.0, 0.2), &row("a", 115.0, 0.2)), Change::None);
        assert_eq!(change(&row("a", 100.0, 0.1), &row("a", 115.0, 0.1)), Change::Worse);
        assert_eq!(change(&row("a", 100.0, 0.0), &row("a", 104.0, 0.0)), Change::None);
        assert_eq!(change(&row("a", 100.0, 0.0), &row("a", 90.0, 0.0)), Change::Better);
    }

    #[test]
    fn of_a_rate_more_is_better() {
        assert_eq!(change(&rate(row("a", 100.0, 0.0)), &rate(row("a", 120.0, 0.0))), Change::Better);
        assert_eq!(change(&rate(row("a", 100.0, 0.0)), &rate(row("a", 80.0, 0.0))), Change::Worse);
    }

    #[test]
    fn a_slower_machine_moves_nothing_that_is_beside_another_row() {
        let beside =
            |value: f64, ratio: f64| Row { beside: Some(("base".to_owned(), ratio)), ..row("a", value, 0.0) };
        assert_eq!(change(&beside(100.0, 0.5), &beside(200.0, 0.5)), Change::None);
        assert_eq!(change(&beside(100.0, 0.5), &beside(100.0, 1.0)), Change::Worse);
    }

    #[test]
    fn only_a_bar_that_was_not_missed_before_is_broken() {
        let held = |met| {
            let bar = BarResult { bar: "≤ 1 ×".to_owned(), met };
            Row { bars: vec![bar], ..row("a", 1.0, 0.0) }
        };
        let broken = |old: Option<&Row>, new: &Row| Pair { old, new: Some(new) }.broken().len();
        assert_eq!(broken(Some(&held(true)), &held(false)), 1);
        assert_eq!(broken(None, &held(false)), 1, "no run has ever met it");
        assert_eq!(broken(Some(&held(false)), &held(false)), 0);
        assert_eq!(broken(Some(&held(true)), &held(true)), 0);
    }

    #[test]
    fn rows_of_one_run_alone_are_listed() {
        let (text, broken) =
            text("writer", &run(vec![row("old one", 1.0, 0.0)]), &run(vec![row("new one", 1.0, 0.0)]));
        assert!(text.contains("2 rows: 0 better, 0 worse, 1 new, 1 gone"), "{text}");
        assert!(text.contains("old one") && text.contains("new one") && broken == 0, "{text}");
    }
}
