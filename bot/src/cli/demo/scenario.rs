//! The scenario: what breaks when, what is told of it, and what must have been seen before it goes on.

use super::super::path_stats::Window;

/// A part of the scenario.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    /// As it stands in the table.
    pub(super) name: &'static str,
    pub(super) act: Fault,
    /// What is broken, what Rosey does about it, what to look at.
    pub(super) text: &'static [&'static str],
    /// Name and text where the database is PostgreSQL, if they are others.
    on_postgres: Option<(&'static str, &'static [&'static str])>,
    /// How much of the recording it may use, in thousandths. It goes on earlier when it has shown enough, and slowly when
    /// it has not.
    pub(super) part: usize,
    /// What must have been seen before the next one begins.
    shows: &'static [Expectation],
    /// How many calls and queries may find no path.
    may_fail: u64,
}

/// How many events the bot handles at a time (`--concurrency`): no more than one call of each can be under way when
/// something is put right.
pub(super) const UNDER_WAY: u64 = 256;
/// While there is no path.
const ALL: u64 = u64::MAX;

/// What happens at the beginning of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Nothing,
    KillServer,
    StartServer,
    FreezeServer,
    ThawServer,
    KillService,
    StartService,
    BreakDatabase,
    MendDatabase,
    MendDatabaseAndStartServer,
}

impl Fault {
    /// Whether something is put right. What ends meanwhile belongs to the new phase; while something is being broken, to
    /// the old one.
    pub(super) const fn heals(self) -> bool {
        match self {
            Self::StartServer
            | Self::ThawServer
            | Self::StartService
            | Self::MendDatabase
            | Self::MendDatabaseAndStartServer => true,
            Self::Nothing
            | Self::KillServer
            | Self::FreezeServer
            | Self::KillService
            | Self::BreakDatabase => false,
        }
    }
}

/// How many operations must have ended in a certain way: the number of a thousand that the recording leads to, and at
/// least one.
type Expectation = (u64, fn(&Window) -> u64);

impl Phase {
    /// Whether what there is to see has been seen, in a recording that leads to `total` operations.
    pub(super) fn is_seen(&self, ended: &Window, total: u64) -> bool {
        self.shows.iter().all(|(permille, of)| of(ended) >= (permille * total / 1000).max(1))
    }

    /// How many operations have failed that must not in this phase.
    pub(super) const fn unexpected(&self, ended: &Window) -> u64 {
        ended.events.failed + ended.requests.failed.saturating_sub(self.may_fail)
    }
}

/// The phases, with NATS or without, over a file or over PostgreSQL.
pub(super) fn of(nats: bool, postgres: bool) -> Vec<Phase> {
    let mut phases = if nats { WITH_NATS } else { WITHOUT_NATS }.to_vec();
    for phase in phases.iter_mut().filter(|_| postgres) {
        (phase.name, phase.text) = phase.on_postgres.unwrap_or((phase.name, phase.text));
    }
    phases
}

/// What the phases have in common.
const SMOOTH: Phase =
    Phase { name: "", act: Fault::Nothing, text: &[], on_postgres: None, part: 0, shows: &[], may_fail: 0 };

/// With a server and a service.
const WITH_NATS: &[Phase] = &[
    Phase {
        name: "all well",
        act: Fault::Nothing,
        text: &[
            "Every operation goes over NATS. An event is acknowledged when it is in",
            "the server's stream, a call when the database service has answered.",
            "Look: via NATS, and how fast.",
        ],
        part: 95,
        shows: &[(70, |ended| ended.events.nats)],
        ..SMOOTH
    },
    Phase {
        name: "server killed",
        act: Fault::KillServer,
        text: &[
            "nats-server was killed (SIGKILL). What was under way goes to the database",
            "under the same id, everything after it goes there at once.",
            "Look: via DB, and the slowest: no operation waits for a time-out.",
        ],
        part: 95,
        shows: &[(70, |ended| ended.events.db)],
        ..SMOOTH
    },
    Phase {
        name: "server back",
        act: Fault::StartServer,
        text: &[
            "nats-server is started again. Bot and service find it by themselves.",
            "Look: via NATS again; only the first ones went to the database.",
        ],
        part: 95,
        // How soon the first call goes over NATS again depends on the time, not on the load.
        shows: &[(70, |ended| ended.events.nats), (0, |ended| ended.requests.nats)],
        ..SMOOTH
    },
    Phase {
        name: "server frozen",
        act: Fault::FreezeServer,
        text: &[
            "nats-server was frozen (SIGSTOP): connected, and silent. What it does not",
            "answer in 15 to 60 ms goes to the database too, under the same id.",
            "Look: the slowest. No operation waits for a time-out.",
        ],
        part: 95,
        shows: &[(70, |ended| ended.events.db)],
        ..SMOOTH
    },
    Phase {
        name: "server thawed",
        act: Fault::ThawServer,
        text: &[
            "The server goes on (SIGCONT), and delivers what it had taken before: the",
            "database has done that meanwhile. The ledger knows the ids.",
            "Look: via NATS again, and at the end nothing doubled.",
        ],
        part: 95,
        // How soon the first call goes over NATS again depends on the time, not on the load.
        shows: &[(70, |ended| ended.events.nats), (0, |ended| ended.requests.nats)],
        ..SMOOTH
    },
    Phase {
        name: "service killed",
        act: Fault::KillService,
        text: &[
            "`rosey serve` was killed (SIGKILL), the server lives. Events are still",
            "accepted, and wait in its stream. Calls need an answer: the database.",
            "Look: events via NATS, calls via DB.",
        ],
        part: 95,
        shows: &[(65, |ended| ended.events.nats), (3, |ended| ended.requests.db)],
        ..SMOOTH
    },
    Phase {
        name: "service back",
        act: Fault::StartService,
        text: &[
            "`rosey serve` is started again, and applies what waits in the stream.",
            "Look: calls via NATS again.",
        ],
        part: 95,
        shows: &[(55, |ended| ended.events.nats), (3, |ended| ended.requests.nats)],
        ..SMOOTH
    },
    Phase {
        name: "database locked",
        act: Fault::BreakDatabase,
        text: &[
            "Another program holds the lock of the file (BEGIN IMMEDIATE). The stream",
            "still accepts events. Calls fail on both paths, and the caller is told.",
            "Look: events via NATS; failed: calls alone, and soon.",
        ],
        on_postgres: Some((
            "database killed",
            &[
                "PostgreSQL was killed (SIGKILL). The stream still accepts events. Calls",
                "fail on both paths, and the caller is told.",
                "Look: events via NATS; failed: calls alone.",
            ],
        )),
        part: 95,
        shows: &[(65, |ended| ended.events.nats), (1, |ended| ended.requests.failed)],
        may_fail: ALL,
    },
    Phase {
        name: "both down",
        act: Fault::KillServer,
        text: &[
            "The file is still locked, and nats-server was killed again: there is no",
            "path. Events go to the outbox, a file of the bot's own.",
            "Look: via outbox. Calls fail, no event does.",
        ],
        on_postgres: Some((
            "both down",
            &[
                "PostgreSQL is still down, and nats-server was killed again: there is no",
                "path. Events go to the outbox, a file of the bot's own.",
                "Look: via outbox. Calls fail, no event does.",
            ],
        )),
        part: 95,
        shows: &[(65, |ended| ended.events.outbox)],
        may_fail: ALL,
    },
    Phase {
        name: "all back",
        act: Fault::MendDatabaseAndStartServer,
        text: &[
            "The lock is given back, nats-server started. The service applies what",
            "waits in the stream, the bot replays its outbox; on to the end.",
            "Look: via NATS again, and what `lost` says.",
        ],
        on_postgres: Some((
            "all back",
            &[
                "PostgreSQL and nats-server are started again. The service applies what",
                "waits in the stream, the bot replays its outbox; on to the end.",
                "Look: via NATS again, and what `lost` says.",
            ],
        )),
        part: 145,
        // How soon the first call goes over NATS again depends on the time, not on the load.
        shows: &[(55, |ended| ended.events.nats), (0, |ended| ended.requests.nats)],
        may_fail: UNDER_WAY,
    },
];

/// On the database alone.
const WITHOUT_NATS: &[Phase] = &[
    Phase {
        name: "all well",
        act: Fault::Nothing,
        text: &["Without NATS: the bot works on the database itself.", "Look: via DB, and how fast."],
        part: 350,
        shows: &[(250, |ended| ended.events.db)],
        ..SMOOTH
    },
    Phase {
        name: "database locked",
        act: Fault::BreakDatabase,
        text: &[
            "Another program holds the lock of the file (BEGIN IMMEDIATE); there is",
            "no other path. Events go to the outbox, a file of the bot's own.",
            "Look: via outbox. Calls fail, no event does.",
        ],
        on_postgres: Some((
            "database killed",
            &[
                "PostgreSQL was killed (SIGKILL); there is no other path. Events go to",
                "the outbox, a file of the bot's own.",
                "Look: via outbox. Calls fail, no event does.",
            ],
        )),
        part: 150,
        shows: &[(80, |ended| ended.events.outbox)],
        may_fail: ALL,
    },
    Phase {
        name: "all back",
        act: Fault::MendDatabase,
        text: &[
            "The lock is given back. The bot replays its outbox; on to the end.",
            "Look: via DB again, and what `lost` says.",
        ],
        on_postgres: Some((
            "all back",
            &[
                "PostgreSQL is started again. The bot replays its outbox; on to the end.",
                "Look: via DB again, and what `lost` says.",
            ],
        )),
        part: 500,
        shows: &[(250, |ended| ended.events.db), (20, |ended| ended.requests.db)],
        may_fail: UNDER_WAY,
    },
];

#[cfg(test)]
mod tests {
    use super::super::super::path_stats::Served;
    use super::*;

    fn phase(name: &str) -> Phase {
        of(true, false).into_iter().find(|phase| phase.name == name).expect("a phase")
    }

    fn all() -> impl Iterator<Item = Vec<Phase>> {
        [(true, false), (true, true), (false, false), (false, true)]
            .into_iter()
            .map(|(nats, postgres)| of(nats, postgres))
    }

    #[test]
    fn a_phase_is_over_when_its_own_path_has_served_enough_and_no_other_path_counts() {
        let killed = phase("server killed");
        let [(permille, _)] = killed.shows else { panic!("one thing to see") };
        let mut ended = Window::default();
        ended.events.nats = 5_000;
        ended.requests.db = 5_000;
        assert!(phase("all well").is_seen(&ended, 10_000));
        ended.events.db = permille * 10 - 1;
        assert!(!killed.is_seen(&ended, 10_000));
        ended.events.db += 1;
        assert!(killed.is_seen(&ended, 10_000));
    }

    #[test]
    fn a_phase_with_two_things_to_see_needs_both_and_a_short_recording_needs_one_of_each() {
        let mut ended = Window::default();
        ended.events.nats = 5_000;
        assert!(!phase("service killed").is_seen(&ended, 10), "no call has gone to the database");
        ended.requests.db = 1;
        assert!(phase("service killed").is_seen(&ended, 10));
        assert!(!phase("all well").is_seen(&Window::default(), 0));
    }

    #[test]
    fn no_event_may_fail_and_a_call_only_where_there_is_no_path() {
        let failed = Served { failed: 1, ..Served::default() };
        let (event, call) = (
            Window { events: failed, ..Window::default() },
            Window { requests: failed, ..Window::default() },
        );
        for phase in all().flatten() {
            assert_eq!(phase.unexpected(&event), 1, "{}", phase.name);
        }
        assert_eq!(phase("server frozen").unexpected(&call), 1);
        assert_eq!(phase("both down").unexpected(&call), 0);
        let under_way =
            Window { requests: Served { failed: UNDER_WAY, ..Served::default() }, ..Window::default() };
        assert_eq!(phase("all back").unexpected(&under_way), 0);
        assert_eq!(phase("all back").unexpected(&under_way.and(call)), 1);
    }

    #[test]
    fn a_phase_needs_less_than_its_part_and_all_parts_are_less_than_the_recording() {
        for phases in all() {
            assert!(phases.iter().map(|phase| phase.part).sum::<usize>() <= 1000);
            for (phase, (needed, _)) in
                phases.iter().flat_map(|phase| phase.shows.iter().map(move |shows| (phase, shows)))
            {
                // Nine of ten operations are events.
                assert!(usize::try_from(*needed).expect("small") * 5 / 4 < phase.part, "{}", phase.name);
            }
        }
    }

    #[test]
    fn what_is_said_fits_a_narrow_terminal() {
        for line in all().flatten().flat_map(|phase| phase.text) {
            assert!(line.chars().count() <= 73, "{line}");
        }
    }
}
