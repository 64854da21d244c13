//! The effect of one fault on the operations, in numbers.

use std::time::Duration;

use super::load::{Path, Seen};
use super::world::Window;

/// The length of the intervals "before" and "after": not longer than the calm between two faults.
const ASIDE: Duration = Duration::from_millis(600);
/// Operations begun up to this long before a fault may still be waiting when it begins.
const REACH: Duration = Duration::from_secs(3);

/// The numbers of one fault. `None` where an event did not occur.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    /// p99 of the operations that ended shortly before the fault.
    pub(crate) p99_before: Option<Duration>,
    /// From the fault until it was noticed.
    pub(crate) noticed: Option<Duration>,
    /// From the fault to the end of the first operation that another path served.
    pub(crate) first: Option<Duration>,
    /// From the notice to the end of that operation; from the start of the operation, if that was later.
    pub(crate) first_after_notice: Option<Duration>,
    /// The slowest operation that met the fault.
    pub(crate) slowest: Duration,
    /// p99 of the operations begun after the notice and before the return.
    pub(crate) p99_noticed: Option<Duration>,
    pub(crate) slowest_noticed: Option<Duration>,
    /// From the return to the end of the first operation over NATS that began after it, of a kind that had
    /// taken another path.
    pub(crate) back: Option<Duration>,
    /// From the return until the outbox was empty.
    pub(crate) drained: Option<Duration>,
    /// Operations served per second: before, during, after.
    pub(crate) rate: [f64; 3],
}

impl Numbers {
    pub(crate) fn of(
        window: &Window,
        noticed: Option<Duration>,
        drained: Option<Duration>,
        seen: &[Seen],
    ) -> Self {
        let Window { began, back, .. } = *window;
        let met = || seen.iter().filter(|s| s.begun + REACH >= began && s.ended() >= began && s.begun < back);
        let elsewhere = |s: &&Seen| !matches!(s.path, Path::Nats | Path::Failed);
        let first = met().filter(elsewhere).min_by_key(|s| s.ended());
        let sorted = |times: &mut dyn Iterator<Item = &Seen>| {
            let mut times: Vec<Duration> = times.map(|s| s.took).collect();
            times.sort_unstable();
            times
        };
        let late = sorted(&mut met().filter(|s| noticed.is_some_and(|noticed| s.begun >= noticed)));
        let calm = sorted(&mut seen.iter().filter(|s| s.begun + ASIDE >= began && s.ended() < began));
        // With a living stream, events do not leave NATS.
        let left = |event: bool| met().any(|s| s.event == event && elsewhere(&s));
        let left = [left(false), left(true)];
        let returned =
            seen.iter().filter(|s| s.path == Path::Nats && s.begun >= back && left[usize::from(s.event)]);
        Self {
            p99_before: percentile(&calm, 0.99),
            noticed: noticed.map(|at| at.saturating_sub(began)),
            first: first.map(|s| s.ended().saturating_sub(began)),
            first_after_notice: first
                .zip(noticed)
                .map(|(first, noticed)| first.ended().saturating_sub(noticed.max(first.begun))),
            slowest: met().map(|s| s.took).max().unwrap_or_default(),
            p99_noticed: percentile(&late, 0.99),
            slowest_noticed: late.last().copied(),
            back: returned.map(Seen::ended).min().map(|at| at.saturating_sub(back)),
            drained: drained.map(|at| at.saturating_sub(back)),
            rate: [
                rate(seen, began.saturating_sub(ASIDE), began),
                rate(seen, began, back),
                rate(seen, back, back + ASIDE),
            ],
        }
    }
}

/// A percentile of sorted durations.
pub(crate) fn percentile(sorted: &[Duration], share: f64) -> Option<Duration> {
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let place = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(place).copied()
}

/// Operations per second that ended within an interval.
fn rate(seen: &[Seen], from: Duration, to: Duration) -> f64 {
    let served = seen.iter().filter(|s| s.path != Path::Failed && (from..to).contains(&s.ended())).count();
    #[allow(clippy::cast_precision_loss)]
    let served = served as f64;
    served / (to - from).as_secs_f64()
}
