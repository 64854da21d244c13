//! What goes wrong, and when: drawn before anything runs, so that a seed always stands for the same schedule.

use std::fmt;
use std::time::Duration;

use crate::support::{BOTH, Dice, End, NewOnes, Towards};

/// One thing that goes wrong for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL, and started again at the end.
    ServerKilled,
    ServerFrozen,
    /// The same of one of the services, by number.
    ServiceKilled(usize),
    ServiceFrozen(usize),
    /// No file of this service may grow.
    DiskFull(usize),
    Cut(End, NewOnes),
    Stalled(Way),
    Delayed(Way, Duration),
    /// To so many bytes a second.
    Throttled(Way, u64),
    HalfClosed(Towards),
    /// Another program has the lock of the database.
    Locked,
    /// The database's files are moved away, and back at the end.
    FileMoved,
    /// A peer sends what no client library reads, a message each so often.
    Poison(Duration),
    /// A service of another make answers on our subjects.
    ForeignService,
    /// An operator changes the stream or its consumer; nothing is put right at the end.
    StreamEdited(Edit),
    /// This service is started again with a clock that is 400 days ahead; at the end, with the right one.
    ClockAhead(usize),
}

/// What an operator does to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    ConsumerDeleted,
    HeadersOnly,
    OneAtATime,
    DiscardOld,
    ShortWindow,
}

impl Edit {
    const ALL: [Self; 5] =
        [Self::ConsumerDeleted, Self::HeadersOnly, Self::OneAtATime, Self::DiscardOld, Self::ShortWindow];
}

/// What has one fault at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Server,
    Service(usize),
    Network,
    Database,
    Strangers,
    Stream,
}

/// Which way bytes do not go as they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    One(Towards),
    Both,
}

impl Way {
    pub(crate) fn directions(self) -> Vec<Towards> {
        match self {
            Self::One(towards) => vec![towards],
            Self::Both => BOTH.to_vec(),
        }
    }

    fn draw(dice: &mut Dice) -> Self {
        match dice.one_of(0..=2) {
            0 => Self::One(Towards::Server),
            1 => Self::One(Towards::Client),
            _ => Self::Both,
        }
    }
}

impl Fault {
    fn draw(dice: &mut Dice, services: usize, stream: bool) -> Self {
        let service = usize::try_from(dice.one_of(1..=services as u64) - 1).unwrap();
        match dice.one_of(0..=if stream { 15 } else { 14 }) {
            0 => Self::ServerKilled,
            1 => Self::ServerFrozen,
            2 => Self::ServiceKilled(service),
            3 => Self::ServiceFrozen(service),
            4 => Self::DiskFull(service),
            5 => {
                let end = if dice.in_a_hundred(50) { End::Reset } else { End::Finish };
                let refused = dice.in_a_hundred(50);
                Self::Cut(end, if refused { NewOnes::Refused } else { NewOnes::Taken })
            }
            6 => Self::Stalled(Way::draw(dice)),
            7 => Self::Delayed(Way::draw(dice), Duration::from_millis(dice.one_of(5..=2500))),
            8 => Self::Throttled(Way::draw(dice), dice.one_of(500..=50_000)),
            9 => Self::HalfClosed(if dice.in_a_hundred(50) { Towards::Server } else { Towards::Client }),
            10 => Self::Locked,
            11 => Self::FileMoved,
            12 => Self::Poison(Duration::from_millis(dice.one_of(5..=500))),
            13 => Self::ForeignService,
            14 => Self::ClockAhead(service),
            _ => Self::StreamEdited(Edit::ALL[usize::try_from(dice.one_of(0..=4)).unwrap()]),
        }
    }

    /// Its kind, for counts.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ServerKilled => "server killed",
            Self::ServerFrozen => "server frozen",
            Self::ServiceKilled(_) => "service killed",
            Self::ServiceFrozen(_) => "service frozen",
            Self::DiskFull(_) => "disk full",
            Self::Cut(..) => "network cut",
            Self::Stalled(_) => "network stalled",
            Self::Delayed(..) => "network delayed",
            Self::Throttled(..) => "network throttled",
            Self::HalfClosed(_) => "network half-closed",
            Self::Locked => "file locked",
            Self::FileMoved => "file moved",
            Self::Poison(_) => "poison headers",
            Self::ForeignService => "foreign service",
            Self::StreamEdited(_) => "stream edited",
            Self::ClockAhead(_) => "clock ahead",
        }
    }

    pub(crate) const fn place(self) -> Place {
        match self {
            Self::ServerKilled | Self::ServerFrozen => Place::Server,
            Self::ServiceKilled(n) | Self::ServiceFrozen(n) | Self::DiskFull(n) | Self::ClockAhead(n) => {
                Place::Service(n)
            }
            Self::Cut(..)
            | Self::Stalled(_)
            | Self::Delayed(..)
            | Self::Throttled(..)
            | Self::HalfClosed(_) => Place::Network,
            Self::Locked | Self::FileMoved => Place::Database,
            Self::Poison(_) | Self::ForeignService => Place::Strangers,
            Self::StreamEdited(_) => Place::Stream,
        }
    }
}

/// A fault from one time to another, since the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spell {
    pub(crate) fault: Fault,
    pub(crate) from: Duration,
    pub(crate) until: Duration,
}

impl Spell {
    fn meets(&self, other: &Self) -> bool {
        (self.fault.place() == other.fault.place() || self.is_at_odds(other) || other.is_at_odds(self))
            && self.from <= other.until
            && other.from <= self.until
    }

    /// A service that starts without its file creates one, and beside a service of another make it refuses to start: both
    /// as it should.
    fn is_at_odds(&self, other: &Self) -> bool {
        matches!(self.fault, Fault::FileMoved | Fault::ForeignService)
            && matches!(other.fault, Fault::ServiceKilled(_) | Fault::ClockAhead(_))
    }
}

impl fmt::Display for Spell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (self.from.as_secs_f64(), self.until.as_secs_f64());
        write!(f, "{from:6.2} s to {until:6.2} s  {:?}", self.fault)
    }
}

/// Faults with calm between them, at times a second one beside the first, and a lock of the database beside both: then
/// no path is left. All of them are over at `length`.
pub(crate) fn draw(dice: &mut Dice, length: Duration, services: usize, stream: bool) -> Vec<Spell> {
    let mut plan: Vec<Spell> = Vec::new();
    for (calm, only) in [(50..=600, None), (100..=1500, None), (300..=4000, Some(Fault::Locked))] {
        let mut now = 200 + dice.one_of(calm.clone());
        while u128::from(now) < length.as_millis() {
            // Most are short; some outlast every time-out there is.
            let lasts = 20 + dice.one_of(1..=1600) * dice.one_of(1..=1600) / 700;
            let (from, until) = (Duration::from_millis(now), Duration::from_millis(now + lasts));
            let fault = only.unwrap_or_else(|| Fault::draw(dice, services, stream));
            let spell = Spell { fault, from, until: until.min(length) };
            if plan.iter().all(|other| !other.meets(&spell)) {
                plan.push(spell);
            }
            now += lasts + dice.one_of(calm.clone());
        }
    }
    plan.sort_by_key(|spell| spell.from);
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(20);

    #[test]
    fn a_seed_always_stands_for_the_same_plan() {
        let plan = |seed| draw(&mut Dice::new(seed), LENGTH, 2, true);
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn plans_have_every_fault_often_two_at_once_and_never_two_in_one_place() {
        let mut kinds = std::collections::BTreeMap::<&str, u32>::new();
        let mut pairs = 0;
        for seed in 0..100 {
            let plan = draw(&mut Dice::new(seed), LENGTH, 2, true);
            for (n, spell) in plan.iter().enumerate() {
                *kinds.entry(spell.fault.name()).or_default() += 1;
                assert!(spell.from < spell.until && spell.until <= LENGTH, "{spell}");
                for later in &plan[n + 1..] {
                    assert!(!spell.meets(later), "{spell} and {later}");
                    pairs += u32::from(later.from < spell.until);
                }
            }
        }
        assert_eq!(kinds.len(), 16, "{kinds:?}");
        assert!(kinds.values().all(|count| *count > 50) && pairs > 500, "{kinds:?}, {pairs} pairs");
    }
}
