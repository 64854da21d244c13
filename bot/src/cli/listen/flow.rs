//! How much flows, over the last ten minutes: differences of what is counted, in columns of a few seconds.

use std::collections::VecDeque;
use std::time::Instant;

use super::recorder::SECONDS;
use super::snapshot::Service;
use eitherway::service::OperationCounts;

/// How many columns there are, and how many looks one holds.
pub(super) const COLUMNS: usize = 120;
const LOOKS: u32 = 5;
/// The buckets of durations: those of [`SECONDS`], each with those before it, and all.
const BUCKETS: usize = SECONDS.len() + 1;

/// What was counted since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// Operations of the bot, by the path that served.
    pub(super) nats: f64,
    pub(super) db: f64,
    pub(super) outbox: f64,
    /// Operations that the service has done; all that it has ended with, and how long these took together.
    pub(super) done: f64,
    pub(super) ended: f64,
    pub(super) busy_seconds: f64,
    /// Transactions, how long they took together, and what they held.
    pub(super) commits: f64,
    pub(super) commit_seconds: f64,
    pub(super) committed: f64,
    /// How many operations of the bot took no longer than each of [`SECONDS`], over all paths together.
    pub(super) within: [f64; BUCKETS],
}

/// A stretch of time: what was done in it, and the most that waited.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Stretch {
    pub(super) seconds: f64,
    pub(super) done: Totals,
    pub(super) stream: f64,
    pub(super) outbox: f64,
}

/// The last ten minutes.
#[derive(Debug, Default)]
pub(super) struct Flow {
    before: Option<(Instant, Totals)>,
    looks: u32,
    open: Stretch,
    columns: VecDeque<Stretch>,
}

impl Totals {
    /// What the layers and the writer have recorded, as Prometheus reads it, and what the service has counted.
    #[allow(clippy::cast_precision_loss)] // exact up to 2⁵³
    pub(super) fn of(recorded: &str, service: Option<&Service>) -> Self {
        let mut totals = Self::default();
        for line in recorded.lines().filter(|line| line.starts_with("rosey_")) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let Ok(value) = value.parse::<f64>() else { continue };
            let name = series.split('{').next().unwrap_or(series);
            let has = |label: &str| series.contains(label);
            match name {
                "rosey_operations_total" if !has("outcome=\"ok\"") => {}
                "rosey_operations_total" if has("path=\"nats\"") => totals.nats += value,
                "rosey_operations_total" if has("path=\"db\"") => totals.db += value,
                "rosey_operations_total" if has("path=\"outbox\"") => totals.outbox += value,
                "rosey_commits_total" => totals.commits += value,
                "rosey_commit_duration_seconds_sum" => totals.commit_seconds += value,
                "rosey_commit_operations_sum" => totals.committed += value,
                "rosey_operation_duration_seconds_bucket" if has("path=\"total\"") => {
                    totals.within[bucket(series)] += value;
                }
                _ => {}
            }
        }
        for OperationCounts { served, busy, .. } in service.iter().flat_map(|service| &service.operations) {
            totals.done += served.done as f64;
            let undone = served.refused + served.expired + served.failed + served.returned;
            totals.ended += (served.done + undone) as f64;
            totals.busy_seconds += busy.as_secs_f64();
        }
        totals
    }

    /// Both by `with`: sums, or what was counted between them.
    fn zip(self, other: Self, with: impl Fn(f64, f64) -> f64) -> Self {
        Self {
            nats: with(self.nats, other.nats),
            db: with(self.db, other.db),
            outbox: with(self.outbox, other.outbox),
            done: with(self.done, other.done),
            ended: with(self.ended, other.ended),
            busy_seconds: with(self.busy_seconds, other.busy_seconds),
            commits: with(self.commits, other.commits),
            commit_seconds: with(self.commit_seconds, other.commit_seconds),
            committed: with(self.committed, other.committed),
            within: std::array::from_fn(|n| with(self.within[n], other.within[n])),
        }
    }
}

/// The bucket of a series, by its upper bound.
fn bucket(series: &str) -> usize {
    let bound = series.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
    let bound = bound.and_then(|bound| bound.parse::<f64>().ok()).unwrap_or(f64::INFINITY);
    SECONDS.iter().position(|known| *known >= bound).unwrap_or(SECONDS.len())
}

impl Stretch {
    fn and(self, other: Self) -> Self {
        Self {
            seconds: self.seconds + other.seconds,
            done: self.done.zip(other.done, |one, other| one + other),
            stream: self.stream.max(other.stream),
            outbox: self.outbox.max(other.outbox),
        }
    }

    /// How many of these a second.
    pub(super) fn per_second(&self, of: impl Fn(&Totals) -> f64) -> f64 {
        if self.seconds > 0.0 { of(&self.done) / self.seconds } else { 0.0 }
    }

    /// How long a transaction took, and how many operations it held; none where there was none.
    pub(super) fn commit(&self) -> Option<(f64, f64)> {
        let Totals { commits, commit_seconds, committed, .. } = self.done;
        (commits > 0.0).then(|| (commit_seconds / commits, committed / commits))
    }

    /// How long the service took for an operation, on average; none where it ended with none.
    pub(super) fn served(&self) -> Option<f64> {
        let Totals { ended, busy_seconds, .. } = self.done;
        (ended > 0.0).then(|| busy_seconds / ended)
    }

    /// Within how many seconds this part of the bot's operations ended, as Prometheus finds it in the same buckets: evenly spread in
    /// each. None where there was no operation; 5 s stands for all that took longer.
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        let within = &self.done.within;
        let rank = part * within[SECONDS.len()];
        if rank <= 0.0 {
            return None;
        }
        let place = within.iter().position(|count| *count >= rank).unwrap_or(SECONDS.len());
        let Some(upper) = SECONDS.get(place) else { return SECONDS.last().copied() };
        let (lower, before) = match place.checked_sub(1) {
            Some(before) => (SECONDS[before], within[before]),
            None => (0.0, 0.0),
        };
        Some(lower + (upper - lower) * (rank - before) / (within[place] - before))
    }

    /// How long nearly all took, in milliseconds, if the path with this place (NATS, database, outbox) has served most of them.
    pub(super) fn slow(&self, path: usize) -> f64 {
        let served = [self.done.nats, self.done.db, self.done.outbox];
        let most = (0..served.len()).rev().max_by(|one, other| served[*one].total_cmp(&served[*other]));
        if most == Some(path) { self.quantile(0.99).unwrap_or_default() * 1000.0 } else { 0.0 }
    }
}

impl Flow {
    /// Adds what is counted now, and what waits.
    pub(super) fn look(&mut self, at: Instant, totals: Totals, stream: f64, outbox: f64) {
        let before = self.before.replace((at, totals));
        let (seconds, done) = match before {
            Some((then, before)) => {
                let done = totals.zip(before, |now, before| (now - before).max(0.0));
                (at.saturating_duration_since(then).as_secs_f64(), done)
            }
            None => (0.0, Totals::default()),
        };
        self.open = self.open.and(Stretch { seconds, done, stream, outbox });
        self.looks += 1;
        if self.looks == LOOKS {
            self.looks = 0;
            self.columns.push_back(std::mem::take(&mut self.open));
            if self.columns.len() > COLUMNS {
                self.columns.pop_front();
            }
        }
    }

    /// The last five to ten seconds.
    pub(super) fn now(&self) -> Stretch {
        self.columns.back().map_or(self.open, |last| last.and(self.open))
    }

    /// All of it.
    pub(super) fn whole(&self) -> Stretch {
        self.columns.iter().fold(self.open, |all, column| all.and(*column))
    }

    /// The columns, oldest first; those before the process began are 0.
    #[allow(clippy::cast_possible_truncation)] // to be drawn
    pub(super) fn columns(&self, of: impl Fn(&Stretch) -> f64) -> Vec<f32> {
        let before = std::iter::repeat_n(0.0, COLUMNS - self.columns.len());
        let rounded = |value: f64| ((value * 100.0).round() / 100.0) as f32;
        before.chain(self.columns.iter().map(|column| rounded(of(column)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_recorded_is_read_by_path() {
        let text = "\
# TYPE rosey_operations_total counter
rosey_operations_total{operation=\"user_joined\",path=\"nats\",outcome=\"ok\"} 5
rosey_operations_total{path=\"nats\",operation=\"user_left\",outcome=\"ok\"} 2
rosey_operations_total{operation=\"user_left\",path=\"nats\",outcome=\"unknown\"} 9
rosey_operations_total{operation=\"user_left\",path=\"total\",outcome=\"ok\"} 8
rosey_operations_total{operation=\"user_left\",path=\"db\",outcome=\"ok\"} 1
rosey_commits_total{outcome=\"ok\"} 4
rosey_commit_duration_seconds_bucket{le=\"0.1\"} 4
rosey_commit_duration_seconds_sum 0.5
rosey_commit_operations_sum 12
";
        let totals = Totals::of(text, None);
        let expected = Totals {
            nats: 7.0,
            db: 1.0,
            commits: 4.0,
            commit_seconds: 0.5,
            committed: 12.0,
            ..Totals::default()
        };
        assert_eq!(totals, expected);
    }

    #[test]
    fn how_long_operations_took_is_found_in_their_buckets_and_stands_at_the_path_that_served_most() {
        let text = "\
rosey_operation_duration_seconds_bucket{operation=\"user_left\",path=\"total\",le=\"0.001\"} 90
rosey_operation_duration_seconds_bucket{operation=\"user_left\",path=\"total\",le=\"0.0025\"} 100
rosey_operation_duration_seconds_bucket{operation=\"user_left\",path=\"total\",le=\"+Inf\"} 100
rosey_operation_duration_seconds_bucket{operation=\"user_left\",path=\"db\",le=\"+Inf\"} 70
rosey_operations_total{operation=\"user_left\",path=\"db\",outcome=\"ok\"} 70
rosey_operations_total{operation=\"user_left\",path=\"nats\",outcome=\"ok\"} 30
";
        let stretch = Stretch { done: Totals::of(text, None), ..Stretch::default() };
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-9;
        assert!(
            near(stretch.quantile(0.99).expect("100 operations"), 0.001 + 0.0015 * 0.9),
            "{:?}",
            stretch.quantile(0.99)
        );
        assert!(near(stretch.slow(1), 2.35), "{}", stretch.slow(1));
        assert_eq!([stretch.slow(0), stretch.slow(2)], [0.0, 0.0]);
        assert_eq!((Stretch::default().quantile(0.5), Stretch::default().slow(0)), (None, 0.0));
        let late =
            Totals::of("rosey_operation_duration_seconds_bucket{path=\"total\",le=\"+Inf\"} 3\n", None);
        assert_eq!(
            Stretch { done: late, ..Stretch::default() }.quantile(0.5),
            Some(5.0),
            "as much as is known"
        );
    }

    #[test]
    fn a_column_holds_what_was_done_in_its_time_and_the_most_that_waited() {
        let (mut flow, begin) = (Flow::default(), Instant::now());
        for second in 0..=10_u32 {
            let totals = Totals { nats: f64::from(second) * 3.0, ..Totals::default() };
            let waits = if second == 3 { 7.0 } else { 0.0 };
            flow.look(begin + Duration::from_secs(second.into()), totals, waits, 0.0);
        }
        let rates = flow.columns(|column| column.per_second(|done| done.nats));
        assert_eq!(rates.len(), COLUMNS);
        assert_eq!(rates[COLUMNS - 3..], [0.0, 3.0, 3.0]);
        assert_eq!(flow.columns(|column| column.stream)[COLUMNS - 2..], [7.0, 0.0]);
        assert_eq!(flow.now().commit(), None, "nothing was committed");
    }

    #[test]
    fn no_more_than_the_last_ten_minutes_are_kept() {
        let (mut flow, begin) = (Flow::default(), Instant::now());
        for second in 0..2000 {
            flow.look(begin + Duration::from_secs(second), Totals::default(), 1.0, 0.0);
        }
        assert_eq!(flow.columns.len(), COLUMNS);
    }
}
