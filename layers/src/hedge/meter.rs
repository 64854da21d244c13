//! The counts of a pace as metrics.

use ::metrics::{Counter, Unit};
use std::{fmt, sync::OnceLock};

/// Resolves its handles with the first count, so the recorder must have been installed before.
pub(super) struct Meter {
    prefix: &'static str,
    path: &'static str,
    events: &'static [&'static str],
    counters: OnceLock<Vec<Counter>>,
}

impl Meter {
    pub(super) const fn new(
        prefix: &'static str,
        path: &'static str,
        events: &'static [&'static str],
    ) -> Self {
        Self { prefix, path, events, counters: OnceLock::new() }
    }

    pub(super) fn count(&self, event: usize) {
        let counters = self.counters.get_or_init(|| {
            let name = format!("{}_hedges_total", self.prefix);
            ::metrics::describe_counter!(
                name.clone(),
                Unit::Count,
                "Requests of a late path that were sent to the next one too, and what came of it."
            );
            let counter = |event: &&'static str| ::metrics::counter!(name.clone(), "path" => self.path, "event" => *event);
            self.events.iter().map(counter).collect()
        });
        counters[event].increment(1);
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter")
            .field("prefix", &self.prefix)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
