use std::sync::Arc;

use super::super::context::Context;
use super::super::event::{Body, Event};
use crate::op::{HighWater, Op, RoseyClient, UserCount};
use eitherway::client::Stack;

/// #14: records the user count in the history. A network that does not count connections has at least as many
/// connections as users.
pub async fn users_counted<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let Body::UserCount { usercount, connected } = event.body else { return };
    let counted = bot.of::<UserCount>(&event).user_count(usercount, connected.unwrap_or(usercount)).await;
    bot.record_result(counted, format_args!("a count of {usercount} users"));
}

/// #15: records the user count as a possible high-water mark.
pub async fn high_water<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let Body::UserCount { usercount, connected } = event.body else { return };
    let noted = bot.of::<HighWater>(&event).high_water(usercount, connected).await;
    bot.record_result(noted, format_args!("a high water of {usercount} users"));
}
