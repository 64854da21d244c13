//! The task that asks for the lead, and gives it back.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::super::context::Context;
use super::super::dispatch::panic_message;
use super::lease::{LONGEST, Role};
use crate::op::{Lead, Op, RoseyClient};
use eitherway::client::Stack;

/// How soon what has failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Keeps the lead while the bot is in its room, or watches the one who has it, until `stop`. A panic costs the time that the lead
/// lasts at most: it is told, and the task begins again.
pub(in crate::bot) async fn keep<S: Stack<Op>>(bot: Context<S>, stop: CancellationToken) {
    while let Err(panic) = AssertUnwindSafe(keep_on(&bot, &stop)).catch_unwind().await {
        bot.progress().handler_panic();
        let message = panic_message(&*panic);
        warn!("the task that keeps the lead panicked, and begins again: {message}");
        if timeout(AGAIN, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}

async fn keep_on<S: Stack<Op>>(bot: &Context<S>, stop: &CancellationToken) {
    let lease = bot.lease();
    let Some(room) = lease.room() else { return };
    let mut told = None;
    loop {
        let (is_inside, hears) = (bot.room().online() == Some(true), bot.sender().hears());
        if !is_inside || !hears {
            if is_inside && lease.may_speak() {
                info!("nothing is heard of {room}: the lead is given up, for another bot to take");
            }
            lease.lose();
            let is_told = !lease.may_be_held() || give_back(bot).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = lease.wakes.notified() => continue,
                () = tokio::time::sleep(AGAIN), if !is_told || !hears => continue,
            }
        }
        let asked = lease.asking();
        match timeout(LONGEST, bot.db().lead(lead(bot, room, asked.seconds))).await {
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

/// Gives the lead back, so that another one need not wait for its end. Returns whether the database knows it, or need not.
pub(in crate::bot) async fn give_back<S: Stack<Op>>(bot: &Context<S>) -> bool {
    let Some(room) = bot.lease().room() else { return true };
    bot.lease().lose();
    match timeout(LONGEST, bot.db().lead(lead(bot, room, 0))).await {
        Ok(Ok(_)) => {
            bot.lease().given_back();
            return true;
        }
        Ok(Err(error)) => debug!("the lead is not given back: {error}"),
        Err(_) => debug!("the lead is not given back in time"),
    }
    false
}

fn lead<S>(bot: &Context<S>, room: &str, seconds: u32) -> Lead {
    let name = bot.identity().name.clone();
    Lead { room: room.to_owned(), bot: bot.lease().bot.clone(), name, seconds }
}
