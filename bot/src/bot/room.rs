//! The state of the channel: the users in it, their number, and since when the bot has been watching.
//!
//! The first handler of every event updates it. That handler is synchronous, and chains are
//! started in the order of events, so the room always reflects the last event that was read.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::{Mutex, MutexGuard};

use super::event::{Body, Event, UserData};
use crate::op::person::key;

/// The channel as the last event left it.
#[derive(Debug, Default)]
pub struct ChannelState {
    state: Mutex<State>,
    turns: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Each as it was written last.
    users: BTreeMap<String, String>,
    counts: Option<Counts>,
    online: Option<bool>,
    /// Whether the bot sees every join and leave: from a user list until the channel is lost.
    watching: bool,
    /// The last event seen while watching, in unix milliseconds.
    watched_until: Option<i64>,
    /// The value of `watched_until` when the last user list came.
    before_list: Option<i64>,
    /// User lists that are not reconciled yet, and who has joined since the first of them.
    lists: usize,
    joined: BTreeSet<String>,
}

/// The turn of a user list to be reconciled, until it is dropped.
pub(super) struct Turn<'a> {
    room: &'a ChannelState,
    _turn: tokio::sync::MutexGuard<'a, ()>,
}

impl Turn<'_> {
    /// Whether this user has joined since the list came, if only to leave again.
    pub(super) fn has_joined(&self, user: &str) -> bool {
        self.room.state().joined.contains(key(user).as_ref())
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.room.state();
        state.lists = state.lists.saturating_sub(1);
        if state.lists == 0 {
            state.joined.clear();
        }
    }
}

/// The number of users and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Users in the chat.
    pub chat: u32,
    /// Connections, if the network counts them.
    pub connected: Option<u32>,
}

impl ChannelState {
    /// Whether the bot is in the channel; `None` before the first event about it.
    pub fn online(&self) -> Option<bool> {
        self.state().online
    }

    /// Whether this user is in the channel, as far as is known, however the name is written.
    pub fn has(&self, user: &str) -> bool {
        self.state().users.contains_key(key(user).as_ref())
    }

    /// The network's own count, or else the number of known users; `None` if neither is known.
    pub fn counts(&self) -> Option<Counts> {
        let state = self.state();
        let known = u32::try_from(state.users.len()).unwrap_or(u32::MAX);
        state.counts.or((known > 0).then_some(Counts { chat: known, connected: None }))
    }

    /// Until when this process had been watching when the last user list came, in unix milliseconds; `None`
    /// if that list was its first. A user whose leave the bot did not see counts as present until then.
    pub(super) fn watched_before_list(&self) -> Option<i64> {
        self.state().before_list
    }

    /// Waits until the user lists before this one are reconciled. Each list takes one turn. Cancel safe.
    pub(super) async fn turn(&self) -> Turn<'_> {
        Turn { _turn: self.turns.lock().await, room: self }
    }

    /// So many lists are not reconciled: another bot has done it.
    pub(super) fn leave_out(&self, lists: usize) {
        let mut state = self.state();
        state.lists = state.lists.saturating_sub(lists);
        if state.lists == 0 {
            state.joined.clear();
        }
    }

    /// The list of users as it is now, to be reconciled by a bot that has only watched until now; `None` if it is not known.
    pub(super) fn list(&self) -> Option<Body> {
        let mut state = self.state();
        if !state.watching {
            return None;
        }
        state.lists += 1;
        state.before_list = None;
        Some(Body::UserList { users: state.users.values().map(UserData::named).collect() })
    }

    /// Updates the state.
    pub(super) fn observe(&self, event: &Event) {
        self.state().apply(event);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic halfway through a change, so poisoning is ignored.
        self.state.lock()
    }
}

impl State {
    fn apply(&mut self, event: &Event) {
        if self.watching
            && !matches!(event.body, Body::Connect | Body::UserList { .. } | Body::History { .. })
        {
            self.watched_until = self.watched_until.max(Some(event.occurred_at()));
        }
        match &event.body {
            Body::Connect => (self.online, self.watching) = (Some(true), false),
            Body::Disconnect { .. } | Body::Kicked { .. } => {
                // Who had joined may have left unseen.
                let Self { watched_until, lists, .. } = std::mem::take(self);
                *self = Self { online: Some(false), watched_until, lists, ..Self::default() };
            }
            Body::UserJoin { user, .. } => {
                self.online = Some(true);
                self.users.insert(key(user).into_owned(), user.clone());
                if self.lists > 0 {
                    self.joined.insert(key(user).into_owned());
                }
            }
            Body::UserLeave { user } => {
                self.online = Some(true);
                self.users.remove(key(user).as_ref());
            }
            Body::UserCount { usercount, connected } => {
                self.online = Some(true);
                self.counts = Some(Counts { chat: *usercount, connected: *connected });
            }
            Body::UserList { users } => {
                (self.online, self.watching) = (Some(true), true);
                self.lists += 1;
                self.users =
                    users.iter().map(|u| (key(&u.username).into_owned(), u.username.clone())).collect();
                self.before_list = self.watched_until;
                self.watched_until = self.watched_until.max(Some(event.occurred_at()));
            }
            Body::Message { .. } | Body::Pm { .. } => self.online = Some(true),
            Body::History { .. } | Body::Error { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bot::event::Stamp;

    fn after(events: &[(i64, Body)]) -> ChannelState {
        let room = ChannelState::default();
        for (at, body) in events {
            room.state().apply(&Event::new(body.clone(), Stamp::at(*at)));
        }
        room
    }

    fn list(names: &[&str]) -> Body {
        Body::UserList { users: names.iter().map(|name| UserData::named(*name)).collect() }
    }

    fn leave(user: &str) -> Body {
        Body::UserLeave { user: user.into() }
    }

    #[test]
    fn a_network_that_counts_is_believed_and_else_the_known_users_are_counted() {
        assert_eq!(after(&[]).counts(), None);
        let counts = |events: &[(i64, Body)]| after(events).counts().expect("counts");
        assert_eq!(counts(&[(1, list(&["a", "b"]))]), Counts { chat: 2, connected: None });
        let counted = Body::UserCount { usercount: 7, connected: Some(9) };
        assert_eq!(counts(&[(1, list(&["a", "b"])), (2, counted)]), Counts { chat: 7, connected: Some(9) });
    }

    #[test]
    fn a_user_is_one_however_the_name_is_written() {
        let join = Body::UserJoin { user: "ANN".into(), user_data: UserData::named("ANN") };
        let room = after(&[(1, list(&["Ann", "bob"])), (2, join)]);
        assert_eq!(room.counts(), Some(Counts { chat: 2, connected: None }));
        assert!(room.has("ann") && !after(&[(1, list(&["Ann"])), (2, leave("aNN"))]).has("Ann"));
    }

    #[test]
    fn a_lost_channel_is_empty_until_the_next_list() {
        let lost = [(1, list(&["a"])), (2, Body::Disconnect { reason: None })];
        let room = after(&lost);
        assert_eq!((room.online(), room.counts(), room.has("a")), (Some(false), None, false));
    }

    #[tokio::test]
    async fn who_has_joined_since_a_list_is_known_until_it_is_reconciled_though_he_left_again() {
        let join = |user: &str| Body::UserJoin { user: user.into(), user_data: UserData::named(user) };
        let events = [(1, list(&["a"])), (2, join("b")), (3, leave("b")), (4, list(&["a"]))];
        let room = after(&events);
        let first = room.turn().await;
        assert_eq!((first.has_joined("b"), first.has_joined("a")), (true, false));
        drop(first);
        assert!(room.turn().await.has_joined("b"), "the second list was waiting");
        assert!(!room.turn().await.has_joined("b"));
    }

    #[test]
    fn the_time_of_watching_ends_with_the_disconnect_and_not_with_what_comes_before_the_next_list() {
        let room = after(&[
            (1, list(&["a"])),
            (5, leave("a")),
            (6, Body::Disconnect { reason: None }),
            (90, Body::Connect),
            (91, leave("b")),
            (92, list(&[])),
        ]);
        assert_eq!(room.watched_before_list(), Some(6));
        assert_eq!(after(&[(1, Body::Connect), (2, leave("a")), (3, list(&[]))]).watched_before_list(), None);
    }
}
