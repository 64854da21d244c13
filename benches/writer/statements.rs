//! The time that SQLite spends on each statement.

use std::path::Path;
use std::time::Duration;

use eitherway::sql::Synchronous;
use tokio::runtime::Runtime;

use crate::floor::Floor;
use crate::load::{self, Load};
use crate::measure::micros;
use crate::table;

/// Batch sizes, and how many transactions of each are timed.
const BATCHES: [(usize, usize); 3] = [(1, 4000), (16, 1000), (256, 200)];

/// The median of each statement, in the order of the string.
struct Column {
    operations: usize,
    /// In microseconds.
    medians: Vec<(String, f64)>,
    all: f64,
    /// Pages that a transaction writes to the log: the largest part of the cost of its commit.
    pages: f64,
}

pub(crate) fn print(runtime: &Runtime, dir: &Path, quick: bool) {
    let users = load::users();
    let loads = [("chat lines", Load::lines(&users)), ("joins and leaves", Load::presence(&users))];
    let scale = if quick { 40 } else { 1 };
    for synchronous in [Synchronous::Normal, Synchronous::Full] {
        for (name, load) in loads {
            let mut floor = Floor::open(runtime, dir, name, load, synchronous);
            for _ in 0..200 / scale {
                // Grow the file first.
                floor.transaction(256).for_each(drop);
            }
            let columns =
                BATCHES.map(|(operations, count)| column(&mut floor, operations, (count / scale).max(4)));
            let name = format!("{name}: SQLite alone, synchronous={}", table::short(synchronous));
            table(&name, &columns);
        }
    }
}

/// Statements with the same title count as one: a batch has joins, leaves, or both.
fn column(floor: &mut Floor, operations: usize, transactions: usize) -> Column {
    let mut took: Vec<(String, Vec<Duration>)> = Vec::new();
    let mut all = Vec::with_capacity(transactions);
    for transaction in 0..transactions {
        let mut sum = Duration::ZERO;
        for (title, time) in floor.transaction(operations) {
            sum += time;
            let place = took.iter().position(|(known, _)| known == title).unwrap_or_else(|| {
                took.push((title.to_owned(), Vec::with_capacity(transactions)));
                took.len() - 1
            });
            let times = &mut took[place].1;
            times.resize(transaction + 1, Duration::ZERO);
            times[transaction] += time;
        }
        all.push(sum);
    }
    let medians = took.into_iter().map(|(title, times)| (title, median(times))).collect();
    Column { operations, medians, all: median(all), pages: floor.pages(operations) }
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    micros(times[times.len() / 2])
}

fn table(name: &str, columns: &[Column; 3]) {
    println!("\n{name}, median µs of each statement in a batch of");
    let heads: String = columns.iter().map(|column| format!("{:>12}", column.operations)).collect();
    println!("{:<36}{heads}{:>16}", "", "each of 256");
    let row = |title: &str, times: [f64; 3]| {
        let cells: String = times.iter().map(|time| format!("{time:>12.1}")).collect();
        println!("{title:<36}{cells}{:>16.2}", times[2] / columns[2].operations as f64);
    };
    for (title, _) in &columns[2].medians {
        let time = |column: &Column| {
            column.medians.iter().find(|(known, _)| known == title).map_or(f64::NAN, |(_, time)| *time)
        };
        row(title, [&columns[0], &columns[1], &columns[2]].map(time));
    }
    row("all of it", [0, 1, 2].map(|column| columns[column].all));
    row("pages in the log", [0, 1, 2].map(|column| columns[column].pages));
}
