use std::sync::Arc;

use super::super::context::{Context, brief};
use super::super::event::{Body, Event};
use crate::op::{Op, RoseyClient, UserJoined, UserLeft};
use eitherway::client::Stack;

/// #11: records that a user joined. [`pending_messages`](super::pending_messages) follows.
pub async fn user_joined<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let Body::UserJoin { user, .. } = &event.body else { return };
    let joined = bot.of::<UserJoined>(&event).user_joined(user).await;
    bot.record_result(joined, format_args!("the join of {}", brief(user)));
}

/// #12: records that a user left.
pub async fn user_left<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let Body::UserLeave { user } = &event.body else { return };
    let left = bot.of::<UserLeft>(&event).user_left(user).await;
    bot.record_result(left, format_args!("the leave of {}", brief(user)));
}
