//! The numbers of all rounds as a table, with the bars beside them.

use std::time::Duration;

use super::measure::Numbers;
use super::record;
use super::verdict::Verdict;
use super::world::Fault;

/// The bar that a number must meet.
#[derive(Clone, Copy)]
struct Bar {
    most: Duration,
    words: &'static str,
    /// Whether the worst round must meet the bar, and not only the median.
    always: bool,
}

const fn bar(micros: u64, words: &'static str) -> Option<Bar> {
    Some(Bar { most: Duration::from_micros(micros), words, always: false })
}

/// A bar that every round must meet.
const fn never(micros: u64, words: &'static str) -> Option<Bar> {
    Some(Bar { most: Duration::from_micros(micros), words, always: true })
}

type Of = fn(&Numbers) -> Option<Duration>;

/// One row: its title, its number, its bar for killed processes, its bar for frozen processes.
struct Row(&'static str, Of, Option<Bar>, Option<Bar>);

const ROWS: [Row; 9] = [
    Row("before it, p99", |n| n.p99_before, None, None),
    Row("until noticed", |n| n.noticed, None, bar(1_000_000, "≤ 1 s")),
    Row("until the first on another path", |n| n.first, None, None),
    Row("  the same after the notice", |n| n.first_after_notice, bar(5_000, "≤ 5 ms"), None),
    Row("begun after the notice, p99", |n| n.p99_noticed, bar(5_000, "≤ 5 ms"), bar(5_000, "≤ 5 ms")),
    Row("  the slowest", |n| n.slowest_noticed, None, None),
    Row("slowest of all", |n| Some(n.slowest), None, never(2_100_000, "≤ 2 s + a call")),
    Row("return until the first over NATS", |n| n.back, bar(1_000_000, "≤ 1 s"), None),
    Row("return until the outbox is empty", |n| n.drained, None, None),
];

/// Prints one fault of Rosey, over all rounds.
pub(crate) fn print(title: &str, fault: Fault, rounds: &[&Numbers]) {
    println!("\n{title:<40}{:>11}{:>11}   {:<16}met", "median", "worst", "bar");
    for Row(words, of, killed_bar, frozen_bar) in &ROWS {
        let mut times: Vec<Duration> = rounds.iter().filter_map(|numbers| of(numbers)).collect();
        times.sort_unstable();
        let (Some(worst), median) = (times.last(), times.get(times.len() / 2)) else { continue };
        let median = median.unwrap_or(worst);
        let bar = match fault {
            // There is no promise about how long the lock of another program is waited for.
            _ if fault.parts().0 => None,
            _ if fault.frozen() => *frozen_bar,
            _ => *killed_bar,
        };
        let kept = |bar: Bar| if bar.always { *worst <= bar.most } else { *median <= bar.most };
        let (promise, met) = bar.map_or(("", ""), |bar| (bar.words, if kept(bar) { "yes" } else { "NO" }));
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        record::Row {
            ends: Some((millis(times[0]), millis(*worst))),
            bar: bar.map(|bar| (bar.words, kept(bar))),
            ..record::Row::new(title, words.trim(), "ms", millis(*median))
        }
        .keep();
        let line = format!("{words:<40}{:>11}{:>11}   {promise:<16}{met}", shown(*median), shown(*worst));
        println!("{}", line.trim_end());
    }
    let middle = |i: usize| {
        let mut rates: Vec<f64> = rounds.iter().map(|numbers| numbers.rate[i]).collect();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    println!(
        "{:<40}{:>11.0}{:>11.0}{:>11.0}",
        "a second: before, during, after",
        middle(0),
        middle(1),
        middle(2)
    );
}

/// Prints the totals of the events of one fault.
pub(crate) fn verdict(who: &str, of: Verdict) {
    let Verdict { sent, once, doubled, lost, failed } = of;
    println!("{who:<40}{sent:>9}{once:>9}{doubled:>9}{lost:>9}{failed:>9}");
}

pub(crate) fn verdict_head(title: &str) {
    println!("\n{title:<40}{:>9}{:>9}{:>9}{:>9}{:>9}", "sent", "once", "doubled", "lost", "refused");
}

pub(crate) fn shown(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    if millis < 10.0 { format!("{millis:.2} ms") } else { format!("{millis:.0} ms") }
}
