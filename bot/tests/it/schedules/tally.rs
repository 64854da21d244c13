//! What all schedules of a run come to: how often each fault was drawn and felt, and what became of the operations.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::FaultWindow;

use super::load::{Does, Sent};
use super::plan::Fault;
use super::verdict::Verdict;

/// So often a fault may be drawn and have no effect, by chance: a peer finds no server, another program no lock.
const BY_CHANCE: u32 = 6;

#[derive(Clone, Copy, Debug, Default)]
struct Drawn {
    times: u32,
    felt: u32,
    /// In how many schedules.
    schedules: u32,
    /// The slowest event, query and call that met it and nothing else; then those that met another fault as well.
    slowest: [[Duration; 3]; 2],
}

#[derive(Debug, Default)]
struct Sum {
    faults: BTreeMap<&'static str, Drawn>,
    verdict: Verdict,
    schedules: u32,
}

/// Shared by the schedules of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<Mutex<Sum>>);

impl Tally {
    /// A plan has these faults.
    pub(crate) fn drawn(&self, faults: impl Iterator<Item = &'static str>) {
        let mut sum = self.0.lock().unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for fault in faults {
            let drawn = sum.faults.entry(fault).or_default();
            drawn.times += 1;
            drawn.schedules += u32::from(seen.insert(fault));
        }
        sum.schedules += 1;
    }

    /// It has had its effect.
    pub(crate) fn felt(&self, fault: &'static str) {
        self.0.lock().unwrap().faults.entry(fault).or_default().felt += 1;
    }

    /// How long the operations took that met a fault, which was there then.
    pub(crate) fn met<'a>(
        &self,
        records: impl Iterator<Item = &'a Sent>,
        start: Instant,
        spells: &[FaultWindow<Fault>],
    ) {
        let faults = &mut self.0.lock().unwrap().faults;
        for record in records {
            let ended = record.begun + record.waited;
            let met = |spell: &&FaultWindow<Fault>| {
                record.begun < start + spell.until && start + spell.from < ended
            };
            let met: Vec<_> = spells.iter().filter(met).map(|spell| spell.fault.name()).collect();
            let kind = match record.does {
                Does::Join | Does::Line => 0,
                Does::Nothing => 1,
                Does::Message => 2,
            };
            for fault in met.iter().copied() {
                let slowest = &mut faults.entry(fault).or_default().slowest[usize::from(met.len() > 1)][kind];
                *slowest = record.waited.max(*slowest);
            }
        }
    }

    pub(crate) fn judged(&self, verdict: &Verdict) {
        self.0.lock().unwrap().verdict.add(verdict);
    }

    /// The faults that were drawn more often than chance explains, and never felt.
    pub(crate) fn unfelt(&self) -> Vec<&'static str> {
        let sum = self.0.lock().unwrap();
        let unfelt = sum.faults.iter().filter(|(_, drawn)| drawn.times > BY_CHANCE && drawn.felt == 0);
        unfelt.map(|(name, _)| *name).collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sum = self.0.lock().unwrap();
        writeln!(
            f,
            "{:<20} {:>6} {:>6} {:>10}   slowest event, query, call: alone; beside others",
            "fault", "drawn", "felt", "schedules"
        )?;
        for (name, Drawn { times, felt, schedules, slowest }) in &sum.faults {
            let [alone, others] = slowest.map(|kinds| kinds.map(shown).join(""));
            writeln!(f, "{name:<20} {times:>6} {felt:>6} {schedules:>10}  {alone} ;{others} ms")?;
        }
        let faults: u32 = sum.faults.values().map(|drawn| drawn.times).sum();
        writeln!(f, "{:<20} {faults:>6}\n", "all")?;
        writeln!(
            f,
            "| schedules | faults | sent | over NATS · database · outbox | failed, and told so | applied once | doubled | lost | slowest |"
        )?;
        writeln!(f, "|---|---|---|---|---|---|---|---|---|")?;
        write!(f, "| {} | {faults} | {} |", sum.schedules, sum.verdict.row())
    }
}

/// The milliseconds of an operation; none, if none met the fault or it was not timed.
fn shown(took: Duration) -> String {
    if took.is_zero() { "    –".to_owned() } else { format!("{:>5}", took.as_millis()) }
}
