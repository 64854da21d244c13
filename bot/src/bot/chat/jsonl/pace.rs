use std::time::Duration;

use tokio::time::Instant;

/// A longer pause in a recording is skipped: the channel was empty, or the time is wrong.
const LONGEST_PAUSE: i64 = 24 * 60 * 60 * 1000;

/// The recorded pace, sped up by a factor.
#[derive(Debug)]
pub(super) struct Pace {
    times: f64,
    /// The last recorded time, and the instant that corresponds to it.
    last: Option<(i64, Instant)>,
}

impl Pace {
    pub(super) const fn new(times: f64) -> Self {
        Self { times, last: None }
    }

    /// Waits for the instant of an event recorded at `at` (unix milliseconds). Returns at once for a late
    /// event, without shifting the schedule.
    pub(super) async fn wait_for(&mut self, at: i64) {
        let Some((last, moment)) = self.last else {
            self.last = Some((at, Instant::now()));
            return;
        };
        let pause = at.saturating_sub(last);
        let pause = if (0..=LONGEST_PAUSE).contains(&pause) { pause } else { 0 };
        let wait = Duration::try_from_secs_f64(pause as f64 / 1000.0 / self.times).unwrap_or(Duration::ZERO);
        let due = moment.checked_add(wait).unwrap_or(moment);
        self.last = Some((at, due));
        tokio::time::sleep_until(due).await;
    }
}
