use std::sync::Arc;

use super::super::context::{Context, brief};
use super::super::event::{Body, Event};
use crate::client::Stack;
use crate::op::Op;

/// #13: a line was said, at its own time. An empty one is no line, and is skipped.
pub async fn message_said<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let Body::Message { user, content } = &event.body else { return };
    if content.is_empty() {
        return;
    }
    let logged = bot.of(&event, "message_log").message_log(user, content).await;
    bot.settle(logged, format_args!("a line of {}", brief(user)));
}

/// #17, on join: what waits for the user is claimed, sent and marked. If it cannot be claimed, a warning, and
/// nothing is sent.
///
/// Claims and marks are the bot's own doing, not the event's: they happen now, under fresh ids.
pub async fn pending_messages<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let Body::UserJoin { user, .. } = &event.body else { return };
    bot.deliver(Some(user)).await;
}

/// #17, every 2 s: first the marks that failed are repeated, then what waits for the whole channel is claimed,
/// sent and marked. Nothing is claimed while the channel is lost: it could not be said.
pub async fn channel_messages<S: Stack<Op>>(bot: Context<S>) {
    bot.repay().await;
    if bot.room().online() != Some(false) {
        bot.deliver(None).await;
    }
}
