//! What is known of the time beside the system's clock: the last time that a file was told, the time that has passed since
//! then, and the time of a server. One clock that disagrees with them may say what time it is, and removes nothing.

use std::fmt;
use std::time::Instant;

use crate::clock;

/// From how many milliseconds on two clocks disagree.
pub(crate) const FAR: i64 = 3_600_000;
/// For how long a clock must run evenly before it is believed against the last known time.
const STEADY: i64 = 86_400_000;

/// The system's clock, and how long this machine has been running, both in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) clock: i64,
    /// The time that has passed, which no one can set: since the machine was started, asleep or not.
    pub(crate) up: i64,
    /// Which start of the machine.
    pub(crate) boot: String,
}

impl Reading {
    /// Reads both.
    pub(crate) fn now() -> Self {
        static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        let begun = BEGUN.get_or_init(Instant::now);
        let read = |file| std::fs::read_to_string(file).ok();
        let up = read("/proc/uptime").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        #[allow(clippy::cast_possible_truncation)] // saturates
        let system = up.map(|seconds| (seconds * 1000.0) as i64).zip(read("/proc/sys/kernel/random/boot_id"));
        let (up, boot) = system.unwrap_or_else(|| {
            (i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX), String::new())
        });
        Self { clock: clock::now(), up, boot: boot.trim().to_owned() }
    }

    /// The kernel that this process runs on, if it has a name: two processes with the same one share a clock.
    #[cfg_attr(not(feature = "nats"), allow(dead_code))]
    pub(crate) fn machine() -> String {
        Self::now().boot
    }
}

/// A time that was known when the machine had been running for `up`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) at: i64,
    pub(crate) up: i64,
    pub(crate) boot: String,
}

impl Mark {
    fn new(at: i64, now: &Reading) -> Self {
        Self { at, up: now.up, boot: now.boot.clone() }
    }

    /// What time it is at least: what has passed since then is added, if that is known.
    fn by(&self, now: &Reading) -> i64 {
        let same = !self.boot.is_empty() && self.boot == now.boot;
        self.at.saturating_add(if same { now.up.saturating_sub(self.up).max(0) } else { 0 })
    }

    /// As a file keeps it.
    pub(crate) fn to_text(&self) -> String {
        format!("{} {} {}", self.at, self.up, self.boot)
    }

    /// As a file has kept it.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split(' ');
        let mut number = || parts.next()?.parse().ok();
        let (at, up) = (number()?, number()?);
        Some(Self { at, up, boot: parts.next().unwrap_or_default().to_owned() })
    }
}

/// What is known of the time.
#[derive(Debug, Default)]
pub(crate) struct KnownTime {
    last: Option<Mark>,
    server: Option<(Mark, bool)>,
    /// By how much the clock is ahead of the time that has passed, and since when that is so.
    steady: Option<(i64, i64)>,
    trusted: bool,
}

/// Why the clock is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockSkew {
    /// By how many milliseconds it is ahead of what is known; less than zero if it is behind.
    pub(crate) ahead: i64,
    /// Whether it is the server that says otherwise.
    pub(crate) server: bool,
}

/// What is to be made of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It agrees with what is known.
    Agrees,
    /// It disagrees with what was known, and has run evenly for so long that it is believed from now on.
    Outlasted,
    /// It disagrees.
    Doubtful(ClockSkew),
}

impl KnownTime {
    /// The last time that the file was told.
    pub(crate) fn begin(&mut self, last: Mark, now: &Reading) {
        self.last = Some(Mark::new(last.by(now), now));
    }

    /// Whether anything is known at all.
    pub(crate) const fn is_known(&self) -> bool {
        self.last.is_some()
    }

    /// What a server says. `other`: it is on another machine, so that its clock is another one.
    #[cfg_attr(not(feature = "nats"), allow(dead_code))]
    pub(crate) fn witness(&mut self, at: i64, other: bool, now: &Reading) {
        // One on this machine tells nothing new, but may know better.
        if other || self.server.as_ref().is_none_or(|(_, known)| !known) {
            self.server = Some((Mark::new(at, now), other));
        }
    }

    /// A person says that the clock is right now.
    pub(crate) fn trust(&mut self, now: &Reading) {
        self.last = Some(Mark::new(now.clock, now));
        self.trusted = true;
    }

    /// The last known time, moved on.
    pub(crate) fn last(&self, now: &Reading) -> Option<Mark> {
        self.last.as_ref().map(|last| Mark::new(last.by(now), now))
    }

    /// Whether the clock is to be believed; learns from it if it is.
    pub(crate) fn judge(&mut self, now: &Reading) -> Judgement {
        let offset = now.clock.saturating_sub(now.up);
        let since = match self.steady {
            Some((steady, since)) if near(steady, offset) => since,
            _ => {
                self.steady = Some((offset, now.up));
                now.up
            }
        };
        let server = self.server.as_ref().map(|(mark, other)| (mark.by(now), *other));
        if let Some((server, other)) = server.filter(|_| !self.trusted) {
            if !near(server, now.clock) {
                return Judgement::Doubtful(ClockSkew {
                    ahead: now.clock.saturating_sub(server),
                    server: true,
                });
            }
            if other {
                self.last = Some(Mark::new(now.clock, now));
                return Judgement::Agrees;
            }
        }
        let Some(last) = self.last.as_ref().map(|last| last.by(now)) else {
            self.last = Some(Mark::new(now.clock, now));
            return Judgement::Agrees;
        };
        if near(last, now.clock) {
            self.last = Some(Mark::new(last.max(now.clock), now));
            Judgement::Agrees
        } else if now.up.saturating_sub(since) >= STEADY {
            self.last = Some(Mark::new(now.clock, now));
            Judgement::Outlasted
        } else {
            Judgement::Doubtful(ClockSkew { ahead: now.clock.saturating_sub(last), server: false })
        }
    }
}

const fn near(one: i64, other: i64) -> bool {
    one.saturating_sub(other).saturating_abs() <= FAR
}

impl fmt::Display for ClockSkew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.ahead.saturating_abs() / 1000;
        let (unit, of) = match seconds {
            0..7_200 => ("minutes", 60),
            7_200..172_800 => ("hours", 3_600),
            _ => ("days", 86_400),
        };
        let many = (seconds + of / 2) / of;
        let way = if self.ahead > 0 { "ahead of" } else { "behind" };
        let whom =
            if self.server { "the time of the NATS server" } else { "the last known time of this file" };
        write!(f, "the clock of this machine is {many} {unit} {way} {whom}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const T: i64 = 1_700_000_000_000;

    fn at(clock: i64, up: i64) -> Reading {
        Reading { clock, up, boot: "one".to_owned() }
    }

    fn known(last: i64, up: i64) -> KnownTime {
        let mut known = KnownTime::default();
        known.begin(Mark { at: last, up, boot: "one".to_owned() }, &at(0, up));
        known
    }

    fn doubtful(ahead: i64, server: bool) -> Judgement {
        Judgement::Doubtful(ClockSkew { ahead, server })
    }

    #[test]
    fn a_clock_that_has_leapt_in_either_direction_is_doubted_until_it_is_right_again() {
        for leap in [400 * DAY, -400 * DAY, FAR + 1, -FAR - 1] {
            let mut known = known(T, 0);
            assert_eq!(known.judge(&at(T + 1000, 1000)), Judgement::Agrees);
            assert_eq!(known.judge(&at(T + 2000 + leap, 2000)), doubtful(leap, false));
            assert_eq!(known.judge(&at(T + DAY + leap, DAY)), doubtful(leap, false));
            assert_eq!(
                known.judge(&at(T + DAY + 1, DAY + 1)),
                Judgement::Agrees,
                "and nothing was learnt from it"
            );
        }
    }

    #[test]
    fn time_that_has_passed_on_this_machine_is_no_leap_and_a_machine_that_was_off_is_one() {
        assert_eq!(
            known(T, 0).judge(&at(T + 60 * DAY, 60 * DAY)),
            Judgement::Agrees,
            "it was asleep, or nothing ran"
        );
        let mut off = KnownTime::default();
        off.begin(Mark { at: T, up: 0, boot: "another".to_owned() }, &at(T + 60 * DAY, 60 * DAY));
        assert_eq!(off.judge(&at(T + 60 * DAY, 60 * DAY)), doubtful(60 * DAY, false));
    }

    #[test]
    fn what_is_doubted_is_believed_after_a_steady_day() {
        let mut known = known(T, 0);
        let leap = 60 * DAY;
        assert_eq!(known.judge(&at(T + leap, 0)), doubtful(leap, false));
        assert_eq!(known.judge(&at(T + leap + DAY - 1, DAY - 1)), doubtful(leap, false));
        assert_eq!(known.judge(&at(T + leap + DAY, DAY)), Judgement::Outlasted);
        assert_eq!(known.judge(&at(T + leap + DAY + 1, DAY + 1)), Judgement::Agrees);
        assert_eq!(known.judge(&at(T + DAY + 2, DAY + 2)), doubtful(-leap, false), "and begins anew");
    }

    #[test]
    fn a_server_on_another_machine_confirms_and_one_that_says_otherwise_holds_it_back() {
        let (mut confirmed, mut denied, mut same) = (known(T, 0), known(T, 0), known(T, 0));
        let now = at(T + 60 * DAY, 0);
        confirmed.witness(now.clock + 5, true, &now);
        assert_eq!(confirmed.judge(&now), Judgement::Agrees);
        denied.witness(T, true, &now);
        assert_eq!(denied.judge(&now), doubtful(60 * DAY, true));
        same.witness(now.clock, false, &now);
        assert_eq!(same.judge(&now), doubtful(60 * DAY, false), "one clock, asked twice");
        denied.trust(&now);
        assert_eq!(denied.judge(&now), Judgement::Agrees, "a person has said so");
        assert_eq!(denied.judge(&at(T + 90 * DAY, 1)), doubtful(30 * DAY - 1, false), "of now, not for ever");
    }

    #[test]
    fn a_mark_survives_its_file() {
        let mark = Mark { at: T, up: 17, boot: "0b-1".to_owned() };
        assert_eq!(Mark::from_text(&mark.to_text()), Some(mark));
        assert_eq!(Mark::from_text(""), None);
        assert_eq!(Mark::from_text("x 1"), None);
    }

    #[test]
    fn a_doubt_says_by_how_much() {
        let said = ClockSkew { ahead: 400 * DAY, server: false }.to_string();
        assert_eq!(said, "the clock of this machine is 400 days ahead of the last known time of this file");
        let said = ClockSkew { ahead: -2 * FAR, server: true }.to_string();
        assert_eq!(said, "the clock of this machine is 2 hours behind the time of the NATS server");
    }
}
