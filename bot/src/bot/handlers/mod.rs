//! The seven handlers through which the bot uses the database, numbered as in the table of `docs/bot.md`.
//!
//! | # | event | handler |
//! |---|---|---|
//! | 11 | a user joins | [`user_joined`], then [`pending_messages`] |
//! | 12 | a user leaves | [`user_left`] |
//! | 13 | a chat line | [`message_said`] |
//! | 14 | a user count | [`users_counted`] |
//! | 15 | a user count | [`high_water`] |
//! | 16 | the bot connects, disconnects, is kicked | [`status_changed`] |
//! | 17 | a user joins; every 2 s | [`pending_messages`], [`channel_messages`] |
//!
//! In addition, [`users_listed`] corrects #11 and #12 for joins and leaves that the bot did not see. A failed
//! operation is logged with its consequence, and counted; the bot goes on.

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
use crate::op::Op;
use eitherway::client::Stack;

/// Registers the handlers above in this order.
pub fn register<S: Stack<Op>>(dispatcher: &mut Dispatcher<S>) {
    dispatcher
        .on(Kind::UserJoin, user_joined::<S>)
        .on(Kind::UserJoin, pending_messages::<S>)
        .on(Kind::UserLeave, user_left::<S>)
        .on(Kind::Message, message_said::<S>)
        .on(Kind::History, message_said::<S>)
        .on(Kind::UserCount, users_counted::<S>)
        .on(Kind::UserCount, high_water::<S>)
        .on(Kind::Connect, status_changed::<S>)
        .on(Kind::Disconnect, status_changed::<S>)
        .on(Kind::Kicked, status_changed::<S>)
        .on(Kind::UserList, users_listed::<S>);
}
