//! What goes wrong, and when: drawn before anything runs, so that a seed always stands for the same schedule.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::Instant;

use crate::Dice;

/// A fault from one time to another, since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultWindow<F> {
    /// What is wrong.
    pub fault: F,
    /// When it begins.
    pub from: Duration,
    /// When it is over.
    pub until: Duration,
}

impl<F> FaultWindow<F> {
    /// Whether there is a moment at which both are.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.from <= other.until && other.from <= self.until
    }
}

impl<F: fmt::Debug> fmt::Display for FaultWindow<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from.as_secs_f64(), self.until.as_secs_f64());
        write!(f, "{from:6.2} s to {until:6.2} s  {:?}", self.fault)
    }
}

/// What happens next in a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition<F> {
    /// A fault begins.
    Begins(F),
    /// A fault is over.
    Ends(F),
}

/// Faults of any type, in the order of their beginnings, all of them over at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule<F> {
    length: Duration,
    spells: Vec<FaultWindow<F>>,
}

impl<F: Copy> Schedule<F> {
    /// An empty one of this length.
    pub const fn new(length: Duration) -> Self {
        Self { length, spells: Vec::new() }
    }

    /// Adds faults one after the other, with `calm` milliseconds between them, beside those that are there. A fault that may
    /// not be together with one of these is left out. Most are short; some last for seconds and outlast every time-out.
    #[must_use]
    pub fn beside(
        mut self,
        dice: &mut Dice,
        calm: RangeInclusive<u64>,
        mut draw: impl FnMut(&mut Dice) -> F,
        together: impl Fn(F, F) -> bool,
    ) -> Self {
        let mut now = 200 + dice.one_of(calm.clone());
        while u128::from(now) < self.length.as_millis() {
            let lasts = 20 + dice.one_of(1..=1600) * dice.one_of(1..=1600) / 700;
            let until = Duration::from_millis(now + lasts).min(self.length);
            let spell = FaultWindow { fault: draw(dice), from: Duration::from_millis(now), until };
            let fits = |other: &FaultWindow<F>| !other.overlaps(&spell) || together(other.fault, spell.fault);
            if self.spells.iter().all(fits) {
                self.spells.push(spell);
            }
            now += lasts + dice.one_of(calm.clone());
        }
        self.spells.sort_by_key(|spell| spell.from);
        self
    }

    /// The faults, the first one first.
    pub fn spells(&self) -> &[FaultWindow<F>] {
        &self.spells
    }

    /// Lets everything happen at its time, or as soon after it as the turn before is done, and returns when all is over. Tells
    /// from when until when each fault was there, in the order of their ends.
    pub async fn play(&self, mut turn: impl AsyncFnMut(Transition<F>)) -> Vec<FaultWindow<F>> {
        let spells = self.spells.iter().enumerate();
        let mut turns: Vec<_> =
            spells.flat_map(|(n, spell)| [(spell.from, true, n), (spell.until, false, n)]).collect();
        turns.sort_by_key(|(at, begins, _)| (*at, *begins));
        let begun = Instant::now();
        let (mut from, mut played) = (vec![Duration::ZERO; self.spells.len()], Vec::new());
        for (at, begins, n) in turns {
            tokio::time::sleep_until(begun + at).await;
            let fault = self.spells[n].fault;
            if begins {
                from[n] = begun.elapsed();
                turn(Transition::Begins(fault)).await;
            } else {
                turn(Transition::Ends(fault)).await;
                played.push(FaultWindow { fault, from: from[n], until: begun.elapsed() });
            }
        }
        played
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(20);

    /// Faults by number; each with itself, and odd ones with odd ones, not at once.
    fn schedule(seed: u64) -> Schedule<u64> {
        let mut dice = Dice::new(seed);
        let together = |a: u64, b: u64| a != b && (a.is_multiple_of(2) || b.is_multiple_of(2));
        [50..=600, 100..=1500].into_iter().fold(Schedule::new(LENGTH), |schedule, calm| {
            schedule.beside(&mut dice, calm, |dice| dice.one_of(0..=9), together)
        })
    }

    #[test]
    fn a_seed_always_stands_for_the_same_schedule() {
        assert_eq!(schedule(7), schedule(7));
        assert_ne!(schedule(7), schedule(8));
    }

    #[test]
    fn faults_are_over_at_the_end_and_at_once_only_where_they_may_be() {
        let mut pairs = 0;
        for seed in 0..50 {
            let schedule = schedule(seed);
            for (n, spell) in schedule.spells().iter().enumerate() {
                assert!(spell.from < spell.until && spell.until <= LENGTH, "{spell:?}");
                for later in schedule.spells()[n + 1..].iter().filter(|later| later.overlaps(spell)) {
                    pairs += 1;
                    let (a, b) = (spell.fault, later.fault);
                    assert!(
                        a != b && (a.is_multiple_of(2) || b.is_multiple_of(2)),
                        "{spell:?} and {later:?}"
                    );
                }
            }
        }
        assert!(pairs > 200, "{pairs}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_begins_ends_and_at_its_time() {
        let schedule = schedule(3);
        let begun = Instant::now();
        let (mut open, mut turns) = (Vec::new(), 0);
        let mut played = schedule
            .play(async |turn| {
                turns += 1;
                match turn {
                    Transition::Begins(fault) => open.push(fault),
                    Transition::Ends(fault) => open.retain(|other| *other != fault),
                }
            })
            .await;
        assert_eq!((open.len(), turns), (0, 2 * schedule.spells().len()));
        let last = schedule.spells().iter().map(|spell| spell.until).max().unwrap();
        assert!(begun.elapsed() >= last, "{:?}", begun.elapsed());
        // Nothing takes time here, so all of it was there when it was to be.
        played.sort_by_key(|spell| spell.from);
        assert_eq!(played, schedule.spells());
    }
}
