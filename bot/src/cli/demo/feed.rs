//! The recording, handed to the bot at the pace of the scenario: it must not run out before the scenario does, however slow the
//! machine is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::task::JoinHandle;
use tokio::time::{self, MissedTickBehavior};

const TICK: Duration = Duration::from_millis(10);
/// By how much slower it goes once a phase has had its part: it still needs something to show.
const TRICKLE: f64 = 20.0;

/// A recording that is being handed to the bot.
pub(super) struct Feed {
    /// How many lines may be read by the end of this phase.
    part: Arc<AtomicUsize>,
    lines: usize,
    running: JoinHandle<()>,
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Feed {
    /// Begins: `pace` events a second.
    pub(super) fn start(recording: &[Value], pace: f64, bot: ChildStdin) -> Self {
        let lines: Vec<_> = recording.iter().map(|event| format!("{event}\n")).collect();
        let part = Arc::new(AtomicUsize::new(0));
        let (count, until) = (lines.len(), Arc::clone(&part));
        let running = tokio::spawn(async move {
            // A bot that reads no more has ended, and says why.
            let _ = hand_over(lines, pace, &until, bot).await;
        });
        Self { part, lines: count, running }
    }

    /// Lets the bot have so much of the recording, in thousandths.
    pub(super) fn until(&self, permille: usize) {
        self.part.store(self.lines * permille / 1000, Ordering::Relaxed);
    }
}

async fn hand_over(
    lines: Vec<String>,
    pace: f64,
    until: &AtomicUsize,
    mut bot: ChildStdin,
) -> std::io::Result<()> {
    let mut ticks = time::interval(TICK);
    // A bot that could not read for a while must not be flooded then.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut done, mut due) = (0, 0.0);
    while done < lines.len() {
        ticks.tick().await;
        let slower = if done < until.load(Ordering::Relaxed) { 1.0 } else { TRICKLE };
        due += pace * TICK.as_secs_f64() / slower;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a part of a second's events
        let now = lines.len().min(done + due as usize);
        due = due.fract();
        bot.write_all(lines[done..now].concat().as_bytes()).await?;
        done = now;
    }
    bot.shutdown().await
}
