//! What was served over which path, window by window, as lines of a file: to look at an outage.

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{self, MissedTickBehavior};

use super::exit::{Exit, Failure};
use super::files;
use super::path_stats::{PathStats, Window};
use eitherway::clock;

/// One line. Stretches in which nothing ended have none.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Line {
    /// When the window began, in unix milliseconds.
    pub(super) at: i64,
    /// How many tasks there are: what an outage leaves behind would show here.
    pub(super) tasks: usize,
    #[serde(flatten)]
    pub(super) ended: Window,
}

/// A timeline that is being written.
pub(super) struct Timeline {
    stop: oneshot::Sender<()>,
    /// Whether all was written.
    running: JoinHandle<bool>,
}

impl Timeline {
    /// Begins a new one.
    pub(super) async fn start(
        file: &Path,
        mode: u32,
        every: Duration,
        stats: PathStats,
    ) -> Result<Self, Failure> {
        let opened = files::begin(file, mode).map(File::from_std).map_err(|e| {
            Failure::new(Exit::Usage, format!("the timeline {} cannot be written: {e}", file.display()))
        })?;
        let (stop, stopped) = oneshot::channel();
        let (shown, write) = (file.display().to_string(), write(opened, every, stats, stopped));
        let running = tokio::spawn(async move {
            let written = write.await;
            if let Err(e) = &written {
                // Whatever it was to show, the bot's work is worth more.
                tracing::error!("the timeline {shown} ends here, the bot goes on: {e}");
            }
            written.is_ok()
        });
        Ok(Self { stop, running })
    }

    /// Writes what has ended since the last line, and closes the file; whether all of it is there.
    pub(super) async fn finish(self) -> bool {
        let _ = self.stop.send(());
        self.running.await.unwrap_or(false)
    }
}

async fn write(
    mut file: File,
    every: Duration,
    stats: PathStats,
    mut stopped: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let mut ticks = time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut at = clock::now();
    let mut last = false;
    while !last {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = &mut stopped => last = true,
        }
        let tasks = Handle::current().metrics().num_alive_tasks();
        let line = Line { at, tasks, ended: stats.window() };
        at = clock::now();
        if line.ended.all().sent() > 0 {
            let mut text = serde_json::to_string(&line)?;
            text.push('\n');
            file.write_all(text.as_bytes()).await?;
            file.flush().await?;
        }
    }
    Ok(())
}
