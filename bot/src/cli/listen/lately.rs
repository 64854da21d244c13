//! What has changed lately: checks that failed and hold again, circuits, and what operators have done.

use std::collections::{BTreeMap, VecDeque};

use super::super::human;
use super::board::{Change, Level, words};
use super::snapshot::Check;
use eitherway::operation::Kind;
use eitherway::{Health, Via};

/// How many changes are kept.
const KEPT: usize = 12;

/// The last changes, the newest first.
#[derive(Debug, Default)]
pub(super) struct Lately {
    checks: BTreeMap<&'static str, (bool, i64)>,
    /// By whose it is, and of what.
    circuits: BTreeMap<(String, &'static str), &'static str>,
    changes: VecDeque<Change>,
}

impl Lately {
    /// Looks for changes since the last time. `healths`: of each room, behind what is said in front of it.
    pub(super) fn look<'a>(
        &mut self,
        checks: &[Check],
        healths: impl Iterator<Item = (String, &'a Health)>,
        now: i64,
    ) {
        for Check { name, ok, required, why, .. } in checks {
            // Since when it is so is kept; how it was at the first look is no change.
            let known = self.checks.entry(name).or_insert((*ok, now));
            if known.0 == *ok {
                continue;
            }
            let before = std::mem::replace(known, (*ok, now));
            let (level, said) = match why {
                Some(why) if *required => (Level::Bad, format!("{}: {why}", words::title(name))),
                Some(why) => (Level::Warn, format!("{}: {why}", words::title(name))),
                None => {
                    (Level::Fine, format!("{}, after {}", words::again(name), human::lasting(now - before.1)))
                }
            };
            self.add(now, level, said);
        }
        for (of, health) in healths {
            for (name, state) in
                [("events", health.events_circuit), ("calls and queries", health.requests_circuit)]
            {
                let Some(state) = state.map(|state| state.as_str()) else { continue };
                let before = self.circuits.insert((of.clone(), name), state);
                if before.is_some_and(|before| before != state) {
                    let level = if state.ends_with("closed") { Level::Fine } else { Level::Warn };
                    // Why NATS does not serve: silence of the server, its end, too many failures.
                    let kind = if name == "events" { Kind::Event } else { Kind::Call };
                    let why = health.of(kind).reasons.iter().find(|reason| reason.via == Via::NATS);
                    let why = why.map(|reason| format!(": {}", reason.why)).unwrap_or_default();
                    let state = words::circuit(state);
                    self.add(now, level, format!("{of}the circuit of {name} to NATS is {state}{why}"));
                }
            }
        }
    }

    /// Adds what an operator has done.
    pub(super) fn did(&mut self, at: i64, what: String) {
        self.add(at, Level::Fine, what);
    }

    /// The changes, the newest first.
    pub(super) fn changes(&self) -> Vec<Change> {
        self.changes.iter().cloned().collect()
    }

    fn add(&mut self, at: i64, level: Level, said: String) {
        self.changes.push_front(Change { at, level, said });
        self.changes.truncate(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ok: bool) -> [Check; 1] {
        let why = (!ok).then(|| "no server answers".to_owned());
        [Check { name: "nats", ok, required: true, since: 0, why }]
    }

    #[test]
    fn an_outage_is_told_at_its_beginning_with_the_reason_and_at_its_end_with_how_long_it_was() {
        let mut lately = Lately::default();
        for (second, ok) in [(0, true), (1, false), (2, false), (8, true), (9, true)] {
            lately.look(&check(ok), std::iter::empty(), second * 1000);
        }
        let said: Vec<(i64, String)> =
            lately.changes().into_iter().map(|change| (change.at, change.said)).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].0 == 8000 && said[0].1.contains("after 7 s"), "{said:?}");
        assert!(said[1].0 == 1000 && said[1].1.contains("no server answers"), "{said:?}");
    }

    #[test]
    fn only_the_last_ones_are_kept() {
        let mut lately = Lately::default();
        (0..100).for_each(|second| lately.look(&check(second % 2 == 0), std::iter::empty(), second * 1000));
        assert_eq!(lately.changes().len(), KEPT);
        assert_eq!(lately.changes()[0].at, 99_000, "the newest first");
    }
}
