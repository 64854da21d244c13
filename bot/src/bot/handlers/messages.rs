use std::sync::Arc;

use super::super::context::{Context, brief};
use super::super::event::{Body, Event};
use crate::op::{MessageLog, Op, RoseyClient};
use eitherway::client::Stack;

/// #13: logs a chat line at its own time, also one that was said before the bot came. An empty line is skipped.
pub async fn message_said<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let (Body::Message { user, content } | Body::History { user, content }) = &event.body else { return };
    if content.is_empty() {
        return;
    }
    let logged = bot.of::<MessageLog>(&event).message_log(user, content).await;
    bot.record_result(logged, format_args!("a line of {}", brief(user)));
}

/// #17, on join: claims the messages that wait for the user, sends them and marks them. If the claim fails,
/// the bot logs a warning and sends nothing.
///
/// Claims and marks are operations of the bot, not of the event: they happen now, with fresh ids.
pub async fn pending_messages<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let Body::UserJoin { user, .. } = &event.body else { return };
    bot.deliver(Some(user)).await;
}

/// #17, every 2 s: repeats the marks that failed, then claims, sends and marks the messages for the whole
/// channel. Claims nothing after the bot has lost the channel, because nothing could be said there.
pub async fn channel_messages<S: Stack<Op>>(bot: Context<S>) {
    bot.retry_pending_marks().await;
    if bot.room().online() != Some(false) {
        bot.deliver_doubted().await;
        bot.deliver(None).await;
        bot.deliver_waiting().await;
    }
}
