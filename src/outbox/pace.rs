//! How fast, and how long to wait.

use std::time::Duration;

use uuid::Uuid;

/// How many events are in flight: one at first, twice as many whenever all of those were taken, up to a limit.
#[derive(Debug)]
pub(super) struct Width {
    now: usize,
    most: usize,
    taken: usize,
}

impl Width {
    pub(super) fn new(most: usize) -> Self {
        Self { now: 1, most: most.max(1), taken: 0 }
    }

    pub(super) const fn get(&self) -> usize {
        self.now
    }

    pub(super) fn taken(&mut self) {
        self.taken += 1;
        if self.taken >= self.now {
            self.taken = 0;
            self.now = (self.now * 2).min(self.most);
        }
    }
}

/// The pause before the next round: longer after every failure.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
}

impl Backoff {
    pub(super) const FIRST: Duration = Duration::from_millis(250);
    pub(super) const LONGEST: Duration = Duration::from_secs(30);

    pub(super) const fn new() -> Self {
        Self { next: Self::FIRST }
    }

    pub(super) fn reset(&mut self) {
        self.next = Self::FIRST;
    }

    /// The pause after a failure. Half of it is left to chance: many that were cut off together shall not come back
    /// together.
    pub(super) fn after_failure(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(Self::LONGEST);
        // The last 12 bits of a random id.
        let chance = u32::try_from(Uuid::new_v4().as_u128() & 0xfff).unwrap_or_default();
        whole / 2 + (whole / 2) * chance / 0xfff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_doubles_when_all_were_taken_and_stays_below_its_limit() {
        let mut width = Width::new(6);
        let mut seen = Vec::new();
        for _ in 0..20 {
            width.taken();
            seen.push(width.get());
        }
        assert_eq!(seen[..9], [2, 2, 4, 4, 4, 4, 6, 6, 6]);
        assert_eq!(seen[19], 6);
    }

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_half_of_it_is_chance() {
        let mut backoff = Backoff::new();
        let mut whole = Backoff::FIRST;
        for _ in 0..12 {
            let pause = backoff.after_failure();
            assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
            whole = (whole * 2).min(Backoff::LONGEST);
        }
        assert_eq!(whole, Backoff::LONGEST);
        backoff.reset();
        assert!(backoff.after_failure() <= Backoff::FIRST);
    }
}
