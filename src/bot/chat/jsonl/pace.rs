use std::time::Duration;

use tokio::time::Instant;

/// A longer pause in a recording is not waited for: nobody was there, or the time is wrong.
const LONGEST_PAUSE: i64 = 24 * 60 * 60 * 1000;

/// The recorded pace, so many times faster.
#[derive(Debug)]
pub(super) struct Pace {
    times: f64,
    /// The last recorded time, and the moment that stands for it.
    last: Option<(i64, Instant)>,
}

impl Pace {
    pub(super) const fn new(times: f64) -> Self {
        Self { times, last: None }
    }

    /// Waits for the moment of an event recorded at `at` (unix milliseconds). Late ones are not waited for, and
    /// what is late stays on the schedule.
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
