//! The seven places where the bot touches its memory, numbered as in the table of `docs/bot.md`.
//!
//! | # | event | handler |
//! |---|---|---|
//! | 11 | a user joins | [`user_joined`], then [`pending_messages`] |
//! | 12 | a user leaves | [`user_left`] |
//! | 13 | a line is said | [`message_said`] |
//! | 14 | the users are counted | [`users_counted`] |
//! | 15 | the users are counted | [`high_water`] |
//! | 16 | the bot comes, goes, is thrown out | [`status_changed`] |
//! | 17 | a user joins; every 2 s | [`pending_messages`], [`channel_messages`] |
//!
//! And [`users_listed`] keeps #11 and #12 true for what happened while nobody watched. An operation that fails
//! is logged with what it means, and counted; the bot goes on.

mod counts;
mod messages;
mod presence;
mod reconcile;
mod status;
#[cfg(test)]
mod tests;

pub use counts::{high_water, users_counted};
pub use messages::{channel_messages, message_said, pending_messages};
pub use presence::{user_joined, user_left};
pub use reconcile::users_listed;
pub use status::status_changed;
pub(super) use status::{heartbeat, say_offline};

use super::dispatch::Dispatcher;
use super::event::Kind;
use super::room;
use crate::client::Stack;
use crate::op::Op;

/// Registers the handlers above, in their order, behind the one that keeps the [`Room`](super::Room).
pub fn register<S: Stack<Op>>(dispatcher: &mut Dispatcher<S>) {
    for kind in Kind::ALL {
        dispatcher.on(*kind, room::observe::<S>);
    }
    dispatcher
        .on(Kind::UserJoin, user_joined::<S>)
        .on(Kind::UserJoin, pending_messages::<S>)
        .on(Kind::UserLeave, user_left::<S>)
        .on(Kind::Message, message_said::<S>)
        .on(Kind::UserCount, users_counted::<S>)
        .on(Kind::UserCount, high_water::<S>)
        .on(Kind::Connect, status_changed::<S>)
        .on(Kind::Disconnect, status_changed::<S>)
        .on(Kind::Kicked, status_changed::<S>)
        .on(Kind::UserList, users_listed::<S>);
}
