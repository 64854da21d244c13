//! Whether this bot leads, by its own clocks.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::op::Leader;
use eitherway::clock;

/// How long a lease is while other bots are in the room, and while there is none.
const SHORT: u32 = 6;
const LONG: u32 = 20;
/// How much earlier its holder stops: more than clocks differ in that time.
const MARGIN: Duration = Duration::from_secs(1);
/// How long an answer may take: a path has limits of its own, this is one for all of them.
pub(super) const LONGEST: Duration = Duration::from_secs(5);
/// How long no path answers until a bot that may be alone writes as if it were.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a bot is in its room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// It leads: it speaks, and writes.
    Leads,
    /// Another one leads, of this name.
    Watches(String),
    /// The database does not say who leads: nothing is said meanwhile.
    Unknown,
}

/// The right to lead.
#[derive(Debug)]
pub(in crate::bot) struct Lease {
    /// The room; `None` if no other bot can be there.
    room: Option<String>,
    /// This process.
    pub(super) bot: String,
    state: Mutex<State>,
    /// Wakes the task that keeps it.
    pub(in crate::bot) wakes: Notify,
    /// Wakes the reader: who leads has changed.
    pub(in crate::bot) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    answered: Answered,
    company: bool,
    /// Since when every attempt has failed.
    failing: Option<Instant>,
    /// Who has led since this bot has written last, and by how much that one's clock was ahead.
    led_by_other: Option<Before>,
    /// Whether what was held is not of use: the bot has slept through a time in which another one led.
    overslept: bool,
    /// Until when what happened is surely written by the one who leads.
    written_until: Option<Instant>,
    /// When this bot asked first since it came, and whether the one who leads has given no sign of life since: it may be this
    /// bot's own process of before.
    first_asked: Option<Instant>,
    silent: bool,
    /// By how much our clock was ahead, in milliseconds.
    ours: i64,
    /// Until when the database may say that this bot leads; an answer may have been lost.
    held_until: Option<Instant>,
}

/// The one who led before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::bot) struct Before {
    pub(in crate::bot) name: String,
    /// By how many milliseconds its clock is ahead of ours.
    pub(in crate::bot) ahead: i64,
}

#[derive(Debug, Default)]
enum Answered {
    #[default]
    Nothing,
    Ours(Until),
    Others(String),
}

/// A moment by two clocks: the monotonic one stands still while a machine sleeps, and the other one may be set.
#[derive(Clone, Copy, Debug)]
struct Until {
    at: Instant,
    wall: i64,
}

impl Until {
    fn lasts(self) -> bool {
        Instant::now() < self.at && clock::now() < self.wall
    }
}

/// What is to be done with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bot) enum Turn {
    Write,
    Hold,
}

/// When the database is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    at: Instant,
    wall: i64,
    pub(super) seconds: u32,
}

impl Lease {
    /// For a room in which no other bot can be.
    pub(in crate::bot) fn none() -> Self {
        Self::new(None)
    }

    pub(in crate::bot) fn new(room: Option<String>) -> Self {
        let bot = eitherway::request::OpId::new().to_string();
        Self { room, bot, state: Mutex::default(), wakes: Notify::new(), changed: Notify::new() }
    }

    pub(in crate::bot) fn room(&self) -> Option<&str> {
        self.room.as_deref()
    }

    /// Whether something may be said at this moment.
    pub(in crate::bot) fn may_speak(&self) -> bool {
        self.room.is_none() || matches!(self.state.lock().answered, Answered::Ours(until) if until.lasts())
    }

    /// What is to be done with an event that is read now.
    pub(in crate::bot) fn turn(&self) -> Turn {
        if self.room.is_none() {
            return Turn::Write;
        }
        let state = self.state.lock();
        let unreachable = state.failing.is_some_and(|since| since.elapsed() >= PATIENCE);
        match state.answered {
            Answered::Ours(until) if until.lasts() => Turn::Write,
            Answered::Others(_) if !state.silent => Turn::Hold,
            _ if unreachable => Turn::Write,
            _ => Turn::Hold,
        }
    }

    /// What this bot is, for people; `None` if no other one can be in its room.
    pub(in crate::bot) fn role(&self) -> Option<Role> {
        self.room.as_ref()?;
        Some(match &self.state.lock().answered {
            Answered::Ours(until) if until.lasts() => Role::Leads,
            Answered::Others(name) => Role::Watches(name.clone()),
            _ => Role::Unknown,
        })
    }

    /// Whether another one leads that has given a sign of life since this bot came.
    pub(in crate::bot) fn is_led_by_another(&self) -> bool {
        let state = self.state.lock();
        matches!(state.answered, Answered::Others(_)) && !state.silent
    }

    /// Who has led since this bot wrote last, if another one has. Asked once.
    pub(in crate::bot) fn take_over(&self) -> Option<Before> {
        let mut state = self.state.lock();
        let ours = state.ours;
        state.led_by_other.take().map(|before| Before { ahead: before.ahead - ours, ..before })
    }

    /// Whether what was held is of a time in which another one led and this bot slept. Asked once.
    pub(in crate::bot) fn overslept(&self) -> bool {
        std::mem::take(&mut self.state.lock().overslept)
    }

    /// Until when what happened is surely written.
    pub(in crate::bot) fn written_until(&self) -> Option<Instant> {
        self.state.lock().written_until
    }

    /// What to ask for now.
    pub(super) fn asking(&self) -> Asked {
        let mut state = self.state.lock();
        let seconds = if state.company { SHORT } else { LONG };
        let asked = Asked { at: Instant::now(), wall: clock::now(), seconds };
        if let Answered::Ours(until) = &mut state.answered {
            // The database may make it shorter, and its answer be lost.
            let asked = asked.until();
            *until = Until { at: until.at.min(asked.at), wall: until.wall.min(asked.wall) };
        }
        let ends = asked.at + LONGEST + Duration::from_secs(u64::from(seconds));
        state.held_until = state.held_until.max(Some(ends));
        asked
    }

    /// How long until it is asked again.
    pub(super) fn pause(&self) -> Duration {
        let state = self.state.lock();
        match (&state.answered, state.failing) {
            (Answered::Ours(_) | Answered::Nothing, Some(_)) => Duration::from_secs(1),
            // The one who led goes on leading, if it is there.
            (Answered::Others(_), Some(_)) => Duration::from_secs(4),
            (Answered::Ours(_), None) if !state.company => Duration::from_secs(u64::from(LONG) * 2 / 5),
            _ => Duration::from_secs(u64::from(SHORT) / 3),
        }
    }

    /// The database has answered.
    pub(super) fn answered(&self, asked: Asked, leader: Leader) {
        let mut state = self.state.lock();
        state.failing = None;
        let first = *state.first_asked.get_or_insert(asked.at);
        if leader.leads {
            state.answered = Answered::Ours(asked.until());
            (state.company, state.ours) = (leader.company, leader.skew);
        } else {
            // It led itself, and its time has ended unnoticed.
            state.overslept |= matches!(state.answered, Answered::Ours(_));
            state.held_until = None;
            state.led_by_other = Some(Before { name: leader.leader.clone(), ahead: leader.skew });
            state.company = true;
            let age = Duration::from_millis(u64::try_from(leader.age).unwrap_or_default());
            state.written_until = Instant::now().checked_sub(age);
            state.silent = asked.at.checked_sub(age).is_none_or(|sign| sign < first);
            state.answered = Answered::Others(leader.leader);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The database does not answer.
    pub(super) fn failed(&self, asked: Asked) {
        // Since it was asked; but a bot that was frozen meanwhile asks again first.
        let least = Instant::now().checked_sub(LONGEST);
        let since = least.map_or(asked.at, |least| asked.at.max(least));
        self.state.lock().failing.get_or_insert(since);
        self.changed.notify_one();
    }

    /// This bot does not count on it any more: it is not in the room, or hears nothing of it.
    pub(super) fn lose(&self) {
        let mut state = self.state.lock();
        state.answered = Answered::Nothing;
        (state.failing, state.first_asked) = (None, None);
    }

    /// Whether the database may say that this bot leads.
    pub(in crate::bot) fn may_be_held(&self) -> bool {
        self.state.lock().held_until.is_some_and(|until| Instant::now() < until)
    }

    /// The database says so no more.
    pub(super) fn given_back(&self) {
        self.state.lock().held_until = None;
    }
}

impl Asked {
    /// Until when its holder counts on it, if it is granted.
    fn until(self) -> Until {
        let lasts = Duration::from_secs(u64::from(self.seconds)) - MARGIN;
        let wall = self.wall.saturating_add(i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX));
        Until { at: self.at + lasts, wall }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(leads: bool, company: bool) -> Leader {
        Leader { leads, leader: "other".into(), age: 500, skew: 0, company }
    }

    fn lease() -> Lease {
        Lease::new(Some("irc:#lounge".into()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_ends_for_its_holder_before_it_ends_in_the_database() {
        let lease = lease();
        assert_eq!((lease.may_speak(), lease.turn()), (false, Turn::Hold), "no database has answered");
        let asked = lease.asking();
        lease.answered(asked, answer(true, true));
        assert!(lease.may_speak());
        tokio::time::advance(Duration::from_secs(u64::from(asked.seconds) - 1)).await;
        assert_eq!((lease.may_speak(), lease.turn(), lease.role()), (false, Turn::Hold, Some(Role::Unknown)));
        lease.answered(lease.asking(), answer(true, true));
        assert_eq!((lease.may_speak(), lease.take_over(), lease.asking().seconds), (true, None, SHORT));
    }

    #[tokio::test(start_paused = true)]
    async fn who_learns_that_another_one_leads_holds_and_takes_over_when_it_leads_again() {
        let lease = lease();
        lease.answered(lease.asking(), answer(true, false));
        tokio::time::advance(Duration::from_secs(1)).await;
        lease.answered(lease.asking(), answer(false, true));
        assert_eq!((lease.may_speak(), lease.turn(), lease.overslept()), (false, Turn::Hold, true));
        assert!(!lease.overslept());
        lease.failed(lease.asking());
        tokio::time::advance(PATIENCE * 2).await;
        assert_eq!(lease.turn(), Turn::Hold, "another one may write");
        lease.answered(lease.asking(), Leader { skew: 40, ..answer(false, true) });
        lease.answered(lease.asking(), Leader { skew: -2, ..answer(true, true) });
        let before = Before { name: "other".into(), ahead: 42 };
        assert_eq!((lease.turn(), lease.take_over(), lease.take_over()), (Turn::Write, Some(before), None));
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_alone_and_reaches_no_database_writes_on_after_a_while_and_says_nothing() {
        let lease = lease();
        lease.answered(lease.asking(), answer(true, false));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(lease.turn(), Turn::Hold, "it may have slept: it asks first");
        lease.failed(lease.asking());
        tokio::time::advance(PATIENCE).await;
        assert_eq!((lease.turn(), lease.may_speak()), (Turn::Write, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bot_that_comes_back_waits_for_no_process_that_gives_no_sign_of_life() {
        let lease = lease();
        tokio::time::advance(Duration::from_secs(60)).await;
        lease.answered(lease.asking(), Leader { age: 2_000, ..answer(false, true) });
        assert_eq!(
            (lease.turn(), lease.is_led_by_another()),
            (Turn::Hold, false),
            "it may be its own of before"
        );
        lease.failed(lease.asking());
        tokio::time::advance(PATIENCE).await;
        assert_eq!((lease.turn(), lease.may_speak()), (Turn::Write, false));
        lease.answered(lease.asking(), answer(false, true));
        assert_eq!((lease.turn(), lease.is_led_by_another()), (Turn::Hold, true), "it lives");
    }

    #[tokio::test(start_paused = true)]
    async fn a_leader_counts_on_no_more_than_an_answer_that_was_lost_may_have_left_it() {
        let lease = lease();
        lease.answered(lease.asking(), answer(true, true));
        lease.answered(lease.asking(), Leader { company: false, ..answer(true, true) });
        // For long, as one that is alone; then another one comes.
        lease.answered(lease.asking(), answer(true, true));
        let asked = lease.asking();
        assert_eq!(asked.seconds, SHORT);
        tokio::time::advance(Duration::from_secs(u64::from(SHORT))).await;
        assert!(!lease.may_speak(), "the database may have granted the short time, and another one may lead");
    }

    #[test]
    fn a_room_without_other_bots_needs_no_lease() {
        assert_eq!(
            (Lease::none().turn(), Lease::none().may_speak(), Lease::none().role()),
            (Turn::Write, true, None)
        );
    }
}
