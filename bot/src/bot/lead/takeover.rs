//! Taking over from the bot that led before. What that one has written is asked for while the bot goes on: events are held, handlers
//! end, and a stop is heard.

use std::time::Duration;

use futures_util::future::{self, BoxFuture, FutureExt};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::super::context::Context;
use super::super::event::Event;
use super::held::{self, Held};
use super::lease::Before;
use crate::op::{Line, Op, RoseyClient, SearchChat};
use eitherway::client::Stack;

/// How long it is asked for, how soon again, and of how many lines.
const WITHIN: Duration = Duration::from_secs(20);
const AGAIN: Duration = Duration::from_millis(500);
const MOST_LINES: u32 = 10_000;

/// A takeover that is not finished; the first state is that there is none.
#[derive(Default)]
pub(in crate::bot) struct Takeover<'a> {
    /// From whom; also while this bot does not lead at the moment.
    before: Option<Before>,
    asks: Option<Asks<'a>>,
    /// Whether this bot has yet to say that it is here: when what was held is written.
    greets: bool,
}

/// What is asked, and of what was held until when.
struct Asks<'a> {
    until: Instant,
    lines: BoxFuture<'a, Option<Vec<Line>>>,
}

impl<'a> Takeover<'a> {
    /// Whether events are held for its sake.
    pub(in crate::bot) const fn goes_on(&self) -> bool {
        self.before.is_some() || self.greets
    }

    /// Another one has led, and this bot begins to. Later than another takeover, it is in its place.
    pub(in crate::bot) fn from(&mut self, before: Before) {
        (self.before, self.asks) = (Some(before), None);
    }

    /// This bot does not lead any more, or it is not known: what is asked is asked again. `by_other`: whether another one leads.
    pub(in crate::bot) fn pause(&mut self, by_other: bool) {
        self.asks = None;
        self.greets &= !by_other;
    }

    /// Asks what is written, if that is to be known and is not asked yet.
    pub(in crate::bot) fn ask<S: Stack<Op>>(&mut self, bot: &'a Context<S>, held: &Held) {
        let Some(before) = self.before.as_ref().filter(|_| self.asks.is_none()) else { return };
        let lines = match held.since(before.ahead) {
            Some(since) => timeout(WITHIN, written(bot, since)).map(Result::ok).boxed(),
            None => future::ready(Some(Vec::new())).boxed(),
        };
        self.asks = Some(Asks { until: Instant::now(), lines });
    }

    /// Waits until it is answered, or has not been in time; for ever, if nothing is asked. Cancel safe.
    pub(in crate::bot) async fn answered(&mut self) -> Option<Vec<Line>> {
        match &mut self.asks {
            Some(asks) => (&mut asks.lines).await,
            None => future::pending().await,
        }
    }

    /// What the one before has not written, of what was held until it was asked. The rest stays held.
    pub(in crate::bot) fn unwritten(&mut self, lines: Option<Vec<Line>>, held: &mut Held) -> Vec<Event> {
        let (Some(before), Some(asks)) = (self.before.take(), self.asks.take()) else { return Vec::new() };
        self.greets = true;
        let events = held.take_until(asks.until);
        let events: Vec<Event> =
            events.into_iter().filter(|event| !held::is_said_by(event, &before.name)).collect();
        match lines {
            Some(lines) => held::unwritten(events, &lines, before.ahead),
            None => {
                if !events.is_empty() {
                    warn!("{} events may be written for the second time", events.len());
                }
                events
            }
        }
    }

    /// Whether this bot is to say now that it is here. Asked once.
    pub(in crate::bot) fn greets(&mut self) -> bool {
        self.before.is_none() && std::mem::take(&mut self.greets)
    }
}

/// The lines since then. It is tried until it is dropped.
async fn written<S: Stack<Op>>(bot: &Context<S>, since: u32) -> Vec<Line> {
    loop {
        let search = SearchChat { since, limit: MOST_LINES, ..SearchChat::default() };
        match bot.count_result(bot.db().chat(search).await) {
            Ok(lines) => return lines,
            Err(error) => warn!("cannot read what the bot that led before has written: {error}"),
        }
        sleep(AGAIN).await;
    }
}
