//! The result of every line, counted in the file by SQL.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::Connection;

use super::load::{Path, Seen};
use super::support::DbFile;
use super::world::Window;

/// The user who says this line: one of a hundred.
pub(crate) fn speaker(number: u64) -> String {
    format!("user-{}", number % 100)
}

/// A chat line with its number.
pub(crate) fn line(number: u64) -> String {
    format!("{number} of the lines that are said in a channel on an evening, all in all")
}

/// How often each line is in the file.
#[derive(PartialEq, Eq)]
pub(crate) struct Applied(HashMap<u64, u64>);

/// Totals over a set of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) sent: u64,
    pub(crate) once: u64,
    /// Effects beyond the first.
    pub(crate) doubled: u64,
    /// Not in the file, although the caller was told that the operation succeeded.
    pub(crate) lost: u64,
    /// Not in the file, and the caller got an error.
    pub(crate) failed: u64,
}

impl Applied {
    /// Counts the lines in the file.
    pub(crate) async fn count(file: &DbFile) -> Self {
        let mut connection = file.connect().await;
        let sql = "SELECT CAST(message AS INTEGER) AS number, count(*) FROM recent_chat GROUP BY number";
        let rows: Vec<(i64, i64)> = sqlx::query_as(sql).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let unsigned = |n: i64| u64::try_from(n).unwrap();
        Self(rows.into_iter().map(|(number, times)| (unsigned(number), unsigned(times))).collect())
    }

    /// The result of one line.
    pub(crate) fn of(&self, seen: &Seen) -> Verdict {
        let mut verdict = Verdict { sent: 1, ..Verdict::default() };
        match self.0.get(&seen.number).copied().unwrap_or(0) {
            0 if seen.path == Path::Failed => verdict.failed = 1,
            0 => verdict.lost = 1,
            1 => verdict.once = 1,
            times => verdict.doubled = times - 1,
        }
        verdict
    }

    /// The totals of all events among these.
    pub(crate) fn sum<'a>(&self, seen: impl IntoIterator<Item = &'a Seen>) -> Verdict {
        let events = seen.into_iter().filter(|seen| seen.event);
        events.map(|seen| self.of(seen)).fold(Verdict::default(), Verdict::plus)
    }

    /// The totals by fault, each from shortly before the fault until shortly before the next one. The first
    /// one also includes everything before it.
    pub(crate) fn by_fault(&self, seen: &[Seen], windows: &[Window]) -> Vec<Verdict> {
        let before = Duration::from_millis(500);
        let starts: Vec<Duration> =
            windows.iter().map(|window| window.began.saturating_sub(before)).collect();
        let part = |i: usize| {
            let from = if i == 0 { Duration::ZERO } else { starts[i] };
            let to = starts.get(i + 1).copied().unwrap_or(Duration::MAX);
            self.sum(seen.iter().filter(|seen| (from..to).contains(&seen.begun)))
        };
        (0..windows.len()).map(part).collect()
    }
}

impl Verdict {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            once: self.once + other.once,
            doubled: self.doubled + other.doubled,
            lost: self.lost + other.lost,
            failed: self.failed + other.failed,
        }
    }
}
