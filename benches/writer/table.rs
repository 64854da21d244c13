//! The printed tables.

use eitherway::sql::Synchronous;

use crate::measure::{Round, Series, Spread, spread};

pub(crate) const fn short(synchronous: Synchronous) -> &'static str {
    match synchronous {
        Synchronous::Normal => "normal",
        Synchronous::Full => "full",
    }
}

pub(crate) fn heading(callers: usize, synchronous: Synchronous) -> String {
    let plural = if callers == 1 { "" } else { "s" };
    format!("{callers} caller{plural}, synchronous={}", short(synchronous))
}

/// The rows of one table; ratios are to the better of the first ones.
pub(crate) struct Table<'a> {
    series: &'a [Series],
    bare: usize,
}

impl<'a> Table<'a> {
    pub(crate) const fn new(series: &'a [Series], bare: usize) -> Self {
        Self { series, bare }
    }

    /// The ratio within each round, because both sides of a round ran on the same machine state.
    fn ratio(&self, row: usize, of: fn(&Round) -> f64, better: fn(f64, f64) -> f64) -> Spread {
        let base = |round: usize| {
            self.series[..self.bare].iter().map(|s| of(&s.rounds[round])).reduce(better).unwrap()
        };
        let own = &self.series[row].rounds;
        spread(own.iter().enumerate().map(|(round, own)| of(own) / base(round)).collect())
    }

    pub(crate) fn latency(&self, row: usize) -> Spread {
        self.ratio(row, |r| r.p50, f64::min)
    }

    pub(crate) fn rate(&self, row: usize) -> Spread {
        self.ratio(row, |r| r.rate, f64::max)
    }

    pub(crate) fn print(&self, title: &str) {
        println!("\n{title}");
        println!(
            "{:<40}{:>9}{:>18}{:>9}{:>9}{:>20}{:>8}{:>7}{:>7}",
            "", "p50 µs", "(min – max)", "p99 µs", "per s", "(min – max)", "cpu µs", "p50 ×", "rate ×"
        );
        for (row, series) in self.series.iter().enumerate() {
            let [p50, p99, rate] = [series.of(|r| r.p50), series.of(|r| r.p99), series.of(|r| r.rate)]
                .map(|s| (s.middle, range(s)));
            let digits = usize::from(p50.0 < 10.0);
            let cpu = series.cpu().map_or_else(String::new, |cpu| format!("{cpu:.1}"));
            println!(
                "{:<40}{:>9.digits$}{:>18}{:>9.0}{:>9.0}{:>20}{cpu:>8}{:>7.2}{:>7.2}",
                series.name,
                p50.0,
                p50.1,
                p99.0,
                rate.0,
                rate.1,
                self.latency(row).middle,
                self.rate(row).middle
            );
        }
    }
}

fn range(spread: Spread) -> String {
    format!("({:.0} – {:.0})", spread.low, spread.high)
}

/// The bars, and whether each is met.
#[derive(Default)]
pub(crate) struct Bars(Vec<(String, bool)>);

impl Bars {
    pub(crate) fn most(&mut self, what: String, spread: Spread, most: f64, unit: &str) {
        self.add(what, spread, '≤', most, unit, spread.middle <= most);
    }

    pub(crate) fn least(&mut self, what: String, spread: Spread, least: f64, unit: &str) {
        self.add(what, spread, '≥', least, unit, spread.middle >= least);
    }

    fn add(&mut self, what: String, spread: Spread, sign: char, bar: f64, unit: &str, met: bool) {
        let digits = if spread.middle < 100.0 { 2 } else { 0 };
        let range = format!("({:.digits$} – {:.digits$})", spread.low, spread.high);
        let yes = if met { "yes" } else { "NO" };
        let line = format!(
            "{what:<44}{:>10.digits$}{range:>20}   {sign} {:<12}{yes}",
            spread.middle,
            format!("{bar} {unit}")
        );
        self.0.push((line, met));
    }

    pub(crate) fn print(&self) {
        if self.0.is_empty() {
            return;
        }
        println!("\n{:<44}{:>10}{:>20}   {:<14}met", "bars", "median", "(min – max)", "bar");
        for (line, _) in &self.0 {
            println!("{line}");
        }
        let met = self.0.iter().filter(|(_, met)| *met).count();
        println!("{met} of {} bars met.", self.0.len());
    }
}
