//! What the processes use, over time.

use std::fmt;
use std::time::Duration;

use super::faults::Env;
use crate::support::*;

/// Resident memory (KiB), file descriptors, threads, tasks.
type Use = [u64; 4];

/// What each may grow by, from the middle third of the time to the last: a share, and this many on top. Caches fill in the
/// first third; an allocator gives pages back when it likes.
const MAY_GROW: [(&str, f64, u64); 4] =
    [("memory KiB", 0.10, 4096), ("files", 0.0, 4), ("threads", 0.0, 2), ("tasks", 0.0, 16)];

pub(crate) struct Samples {
    bot: u32,
    taken: Vec<(Duration, [Use; 2])>,
}

impl Samples {
    pub(crate) fn new(bot: u32) -> Self {
        Self { bot, taken: Vec::new() }
    }

    pub(crate) async fn take(&mut self, at: Duration, env: &Env, bot: &BotProcess) {
        let of = |process: u32, tasks: u64| {
            let files = u64::try_from(proc::file_descriptors(process)).unwrap();
            [proc::rss(process) / 1024, files, proc::threads(process), tasks]
        };
        let service = env.statistics().await;
        let tasks = service["data"]["tasks"].as_u64().unwrap();
        self.taken.push((at, [of(self.bot, bot.tasks()), of(env.service.id(), tasks)]));
    }

    /// The medians of the thirds of the time, of one process and one thing.
    fn thirds(&self, process: usize, thing: usize) -> [u64; 3] {
        let third = self.taken.len().div_ceil(3).max(1);
        let mut chunks = self.taken.chunks(third).map(|chunk| {
            let mut values: Vec<u64> = chunk.iter().map(|(_, uses)| uses[process][thing]).collect();
            values.sort_unstable();
            values[values.len() / 2]
        });
        [0; 3].map(|_| chunks.next().unwrap_or_default())
    }

    pub(crate) fn assert_flat(&self) {
        for (process, name) in ["bot", "service"].into_iter().enumerate() {
            for (thing, (what, share, more)) in MAY_GROW.into_iter().enumerate() {
                let [_, middle, last] = self.thirds(process, thing);
                let most = (middle as f64 * (1.0 + share)) as u64 + more;
                assert!(last <= most, "{what} of the {name} grow: {middle}, then {last}\n{self}");
            }
        }
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "medians of each third of the time, {} looks", self.taken.len())?;
        writeln!(f, "{:24} {:>10} {:>10} {:>10}", "", "first", "middle", "last")?;
        for (process, name) in ["bot", "service"].into_iter().enumerate() {
            for (thing, (what, ..)) in MAY_GROW.into_iter().enumerate() {
                let [first, middle, last] = self.thirds(process, thing);
                writeln!(f, "{:24} {first:>10} {middle:>10} {last:>10}", format!("{name}: {what}"))?;
            }
        }
        Ok(())
    }
}
