//! The task that asks for the lead, and gives it back.

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::super::context::Context;
use super::lease::{LONGEST, Role};
use crate::op::{Lead, Op, RoseyClient};
use eitherway::client::Stack;

/// Keeps the lead while the bot is in its room, or watches the one who has it, until `stop`.
pub(in crate::bot) async fn keep<S: Stack<Op>>(bot: Context<S>, stop: CancellationToken) {
    let lease = bot.lease();
    let Some(room) = lease.room() else { return };
    let mut told = None;
    loop {
        if bot.room().online() != Some(true) {
            if lease.may_speak() {
                give_back(&bot).await;
            }
            lease.given_back();
            tokio::select! {
                () = stop.cancelled() => return,
                () = lease.wakes.notified() => continue,
            }
        }
        let asked = lease.asking();
        match timeout(LONGEST, bot.db().lead(lead(&bot, room, asked.seconds))).await {
            Ok(Ok(leader)) => lease.answered(asked, leader),
            Ok(Err(error)) => {
                debug!("who leads is not known: {error}");
                lease.failed(asked);
            }
            Err(_) => lease.failed(asked),
        }
        let role = lease.role();
        if told != role {
            tell(room, told.as_ref(), role.as_ref());
            told = role;
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = lease.wakes.notified() => {}
            () = tokio::time::sleep(lease.pause()) => {}
        }
    }
}

fn tell(room: &str, before: Option<&Role>, now: Option<&Role>) {
    match (before, now) {
        // The usual case of a bot that is alone is no news.
        (None, Some(Role::Leads)) => debug!("leads in {room}"),
        (_, Some(Role::Leads)) => info!("leads in {room} from now on: speaks, and writes"),
        (_, Some(Role::Watches(leader))) => {
            info!("{leader} leads in {room}: this bot watches, and takes over if that one goes");
        }
        (_, Some(Role::Unknown)) => {
            warn!("the database does not say who leads in {room}: nothing is said meanwhile");
        }
        (_, None) => {}
    }
}

/// Gives the lead back, so that another one need not wait for its end.
pub(in crate::bot) async fn give_back<S: Stack<Op>>(bot: &Context<S>) {
    let Some(room) = bot.lease().room() else { return };
    if let Ok(Err(error)) = timeout(LONGEST, bot.db().lead(lead(bot, room, 0))).await {
        debug!("the lead is not given back, and ends by itself: {error}");
    }
    bot.lease().given_back();
}

fn lead<S>(bot: &Context<S>, room: &str, seconds: u32) -> Lead {
    let name = bot.identity().name.clone();
    Lead { room: room.to_owned(), bot: bot.lease().bot.clone(), name, seconds }
}
