//! What goes wrong, and when: drawn before anything runs, so that a seed always stands for the same schedule.

use std::time::Duration;

use crate::support::{BOTH, Dice, Direction, End, NewConnections, Schedule};

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
    Cut(End, NewConnections),
    Stalled(Directions),
    Delayed(Directions, Duration),
    /// To this many bytes a second.
    Throttled(Directions, u64),
    HalfClosed(Direction),
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
pub(crate) enum Component {
    Server,
    Service(usize),
    Network,
    Database,
    Strangers,
    Stream,
}

/// Which way bytes do not go as they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Directions {
    One(Direction),
    Both,
}

impl Directions {
    pub(crate) fn directions(self) -> Vec<Direction> {
        match self {
            Self::One(towards) => vec![towards],
            Self::Both => BOTH.to_vec(),
        }
    }

    fn draw(dice: &mut Dice) -> Self {
        match dice.one_of(0..=2) {
            0 => Self::One(Direction::Server),
            1 => Self::One(Direction::Client),
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
                Self::Cut(end, if refused { NewConnections::Refused } else { NewConnections::Taken })
            }
            6 => Self::Stalled(Directions::draw(dice)),
            7 => Self::Delayed(Directions::draw(dice), Duration::from_millis(dice.one_of(5..=2500))),
            8 => Self::Throttled(Directions::draw(dice), dice.one_of(500..=50_000)),
            9 => Self::HalfClosed(if dice.in_a_hundred(50) { Direction::Server } else { Direction::Client }),
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

    pub(crate) const fn place(self) -> Component {
        match self {
            Self::ServerKilled | Self::ServerFrozen => Component::Server,
            Self::ServiceKilled(n) | Self::ServiceFrozen(n) | Self::DiskFull(n) | Self::ClockAhead(n) => {
                Component::Service(n)
            }
            Self::Cut(..)
            | Self::Stalled(_)
            | Self::Delayed(..)
            | Self::Throttled(..)
            | Self::HalfClosed(_) => Component::Network,
            Self::Locked | Self::FileMoved => Component::Database,
            Self::Poison(_) | Self::ForeignService => Component::Strangers,
            Self::StreamEdited(_) => Component::Stream,
        }
    }
}

/// Whether both may be wrong at once. A service that starts without its file creates one, and beside a service of another make
/// it refuses to start: both as it should.
fn together(one: Fault, other: Fault) -> bool {
    let at_odds = |one, other| {
        matches!(one, Fault::FileMoved | Fault::ForeignService)
            && matches!(other, Fault::ServiceKilled(_) | Fault::ClockAhead(_))
    };
    one.place() != other.place() && !at_odds(one, other) && !at_odds(other, one)
}

/// Faults with calm between them, at times a second one beside the first, and a lock of the database beside both: then
/// no path is left. All of them are over at `length`.
pub(crate) fn draw(dice: &mut Dice, length: Duration, services: usize, stream: bool) -> Schedule<Fault> {
    let lanes = [(50..=600, None), (100..=1500, None), (300..=4000, Some(Fault::Locked))];
    lanes.into_iter().fold(Schedule::new(length), |schedule, (calm, only)| {
        let fault = |dice: &mut Dice| only.unwrap_or_else(|| Fault::draw(dice, services, stream));
        schedule.beside(dice, calm, fault, together)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(20);

    #[test]
    fn plans_have_every_fault_often_and_never_two_in_one_place() {
        let mut kinds = std::collections::BTreeMap::<&str, u32>::new();
        for seed in 0..100 {
            let plan = draw(&mut Dice::new(seed), LENGTH, 2, true);
            for (n, spell) in plan.spells().iter().enumerate() {
                *kinds.entry(spell.fault.name()).or_default() += 1;
                let later = plan.spells()[n + 1..].iter().find(|later| later.overlaps(spell));
                assert!(
                    later.is_none_or(|later| later.fault.place() != spell.fault.place()),
                    "{spell} and {later:?}"
                );
            }
        }
        assert_eq!(kinds.len(), 16, "{kinds:?}");
        assert!(kinds.values().all(|count| *count > 50), "{kinds:?}");
    }
}
