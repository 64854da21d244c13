use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tracing::warn;

use super::super::context::{Context, brief};
use super::super::event::{Body, Event};
use crate::op::person::key;
use crate::op::{Op, RoseyClient, Session, UserJoined, UserLeft};
use eitherway::client::Stack;
use eitherway::operation::Definition;

/// The largest number of operations of one list in flight.
const AT_ONCE: usize = 32;

/// #11 and #12 for joins and leaves that the bot did not see: reconciles the user list with the open sessions.
///
/// A listed user without a session joins now, and gets any waiting messages. A user with a session who is not
/// listed left at the last moment at which a bot was watching, but not before joining.
///
/// When the sessions cannot be read, every listed user joins: a join credits an open session and continues
/// it, so no time is counted twice. No user leaves then, until the next list.
pub async fn users_listed<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let Body::UserList { users } = &event.body else { return };
    let watched_here = bot.room().watched_before_list();
    // A list finds the sessions that the list before it has opened.
    let turn = bot.room().turn().await;
    let present = users.iter().map(|user| (key(&user.username), user.username.as_str()));
    let present: BTreeMap<Cow<'_, str>, &str> = present.collect();
    let watched_before = bot.last_heartbeat().await.map(|seconds| seconds.saturating_mul(1000));
    let sessions = bot.count_result(bot.db().open_sessions().await).inspect_err(|error| {
        warn!("cannot read the open sessions; all listed users join, and no user leaves: {error}");
    });
    let sessions = sessions.unwrap_or_default();
    let open: BTreeSet<Cow<'_, str>> = sessions.iter().map(|session| key(&session.username)).collect();

    let watched_until = watched_here.or(watched_before);
    let mut moves = FuturesUnordered::new();
    // Who came right behind the list, in the same second: a session's time is no finer.
    let is_new = |session: &Session| {
        session.since.saturating_mul(1000).saturating_add(999) >= event.occurred_at()
            && turn.has_joined(&session.username)
    };
    let gone =
        sessions.iter().filter(|session| !present.contains_key(&key(&session.username)) && !is_new(session));
    let left = gone
        .filter_map(|session| left_at(session, watched_until, event.occurred_at()).map(|at| (session, at)));
    let joined = present.iter().filter(|(key, _)| !open.contains(*key)).map(|(_, user)| *user);
    let all = left
        .map(|(session, at)| Move { user: &session.username, left_at: Some(at) })
        .chain(joined.map(|user| Move { user, left_at: None }));
    for one in all {
        if moves.len() == AT_ONCE {
            moves.next().await;
        }
        moves.push(one.make(&bot, &event));
    }
    while moves.next().await.is_some() {}
}

struct Move<'a> {
    user: &'a str,
    left_at: Option<i64>,
}

impl Move<'_> {
    async fn make<S: Stack<Op>>(self, bot: &Context<S>, event: &Event) {
        let user = self.user;
        match self.left_at {
            Some(at) => {
                let db = bot.db().with(event.head_at(&format!("{}/{user}", UserLeft::SPEC.name), at));
                bot.record_result(db.user_left(user).await, format_args!("the leave of {}", brief(user)));
            }
            None => {
                let db = bot.db().with(event.head(&format!("{}/{user}", UserJoined::SPEC.name)));
                bot.record_result(db.user_joined(user).await, format_args!("the join of {}", brief(user)));
                bot.deliver(Some(user)).await;
            }
        }
    }
}

/// When a user left whose leave the bot did not see, in unix milliseconds; `None` if the user joined after
/// the list.
///
/// The session's times are whole seconds, rounded down, so the join may be as late as the end of its second:
/// a leave one second later is surely after the join. The leave is not after the list, because the list does
/// not contain the user.
fn left_at(session: &Session, watched_until: Option<i64>, listed_at: i64) -> Option<i64> {
    let since = session.since.saturating_mul(1000);
    if since > listed_at {
        return None;
    }
    let watched_until = watched_until.unwrap_or(session.watched_until.saturating_mul(1000));
    Some(watched_until.max(since.saturating_add(1000)).min(listed_at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(since: i64, watched_until: i64) -> Session {
        Session { username: "ann".into(), since, watched_until }
    }

    #[test]
    fn who_left_unseen_left_when_the_watching_ended() {
        assert_eq!(left_at(&session(100, 150), None, 900_000), Some(150_000));
        assert_eq!(left_at(&session(100, 150), Some(130_500), 900_000), Some(130_500));
    }

    #[test]
    fn nobody_leaves_before_he_came_nor_after_the_list_that_misses_him() {
        assert_eq!(
            left_at(&session(100, 100), None, 900_000),
            Some(101_000),
            "joins within second 100 are before"
        );
        assert_eq!(left_at(&session(100, 50), Some(60_000), 900_000), Some(101_000));
        assert_eq!(left_at(&session(100, 2_000), None, 900_000), Some(900_000));
        assert_eq!(left_at(&session(100, 100), None, 100_400), Some(100_400), "the same second");
        assert_eq!(left_at(&session(901, 950), None, 900_000), None, "came after the list");
    }
}
