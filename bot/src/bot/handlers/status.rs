use std::sync::Arc;

use super::super::context::Context;
use super::super::event::{Body, Event};
use super::super::lead::Role;
use crate::op::{Op, RoseyClient, StatusData, StatusUpdate};
use eitherway::client::Stack;
use eitherway::clock;

/// The longest reason stored in the details of a status, in characters.
const LONGEST_REASON: usize = 500;

/// #16: records that the bot has connected to the channel, lost it, or was kicked.
pub async fn status_changed<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let (status, reason) = match &event.body {
        Body::Connect => ("online", None),
        Body::Disconnect { reason } => ("offline", reason.as_deref()),
        Body::Kicked { reason } => ("kicked", reason.as_deref()),
        _ => return,
    };
    let db = bot.of::<StatusUpdate>(&event);
    // Read first, because the new status overwrites it.
    bot.last_heartbeat().await;
    let mut update = changed(&bot, status, reason, matches!(event.body, Body::Connect));
    if event.is_identified() {
        // Another process that reads the same event must produce the same operation, so the start time of
        // this process is left out; the heartbeat contains it.
        update.status_data = update.status_data.map(|data| StatusData { bot_start_time: None, ..data });
    }
    bot.record_result(db.status_update(update).await, format_args!("the status {status}"));
}

/// Every 10 s: records what the bot knows about itself and the channel. Serves as a heartbeat.
pub(in crate::bot) async fn heartbeat<S: Stack<Op>>(bot: Context<S>) {
    if !bot.tells() {
        return;
    }
    bot.last_heartbeat().await;
    let counts = bot.room().counts();
    let status_data = StatusData {
        current_chat_users: counts.map(|c| Some(c.chat)),
        current_connected_users: counts.and_then(|c| c.connected).map(Some),
        ..itself(&bot, bot.room().online() == Some(true))
    };
    let update = StatusUpdate { status_data: Some(status_data), ..StatusUpdate::default() };
    bot.record_result(bot.db().status_update(update).await, format_args!("a heartbeat"));
}

/// Records that the bot is offline, unless another one is there. The last operation of a bot.
pub(in crate::bot) async fn say_offline<S: Stack<Op>>(bot: &Context<S>, why: &str) {
    if matches!(bot.lease().role(), Some(Role::Watches(_))) {
        return;
    }
    let update = changed(bot, "offline", Some(why), false);
    bot.record_result(bot.db().status_update(update).await, format_args!("the last status"));
}

fn changed<S>(bot: &Context<S>, status: &str, reason: Option<&str>, connected: bool) -> StatusUpdate {
    // Without a reason, the previous one is cleared.
    let details = reason.map(|reason| reason.chars().take(LONGEST_REASON).collect());
    StatusUpdate {
        status: Some(Some(status.to_owned())),
        details: Some(details),
        status_data: Some(itself(bot, connected)),
    }
}

fn itself<S>(bot: &Context<S>, connected: bool) -> StatusData {
    let identity = bot.identity();
    StatusData {
        bot_name: Some(Some(identity.name.clone())),
        channel_name: identity.channel.clone().map(Some),
        bot_start_time: Some(Some(clock::seconds(identity.started_at))),
        bot_connected: Some(Some(connected)),
        ..StatusData::default()
    }
}
