//! What people of the channel ask the bot: `!seen alice`, `!tell bob …`.
//!
//! | file | contains |
//! |---|---|
//! | `config` | which the bot takes, and what it remembers of those who give them |
//! | `names` | which commands there are, and which of them a line gives |
//! | `pace` | how often each may ask |
//! | `answers` | looking up, and what comes of it |
//! | `tells` | messages from one to another |
//! | `forgetting` | forgetting the one who asks |
//! | `language` | the words |
//!
//! An answer is put into the queue of the bot's messages, so that it is said exactly once. Its id is derived from the id of the line
//! that asks, where the network gives one: two bots in one room answer once.
//!
//! A line that is older than five minutes is not answered, nor is what the bot itself says, nor a private message of a user who is
//! not in the channel.

mod answers;
pub(super) mod config;
mod forgetting;
mod language;
pub(super) mod names;
mod pace;
mod tells;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tracing::debug;

use super::context::{Context, brief};
use super::dispatch::Dispatcher;
use super::event::{Body, Event, Kind};
use crate::op::person::same;
use crate::op::{Error, Op, OutboundEnqueue, RoseyClient};
pub use config::Commands;
use eitherway::client::Stack;
use eitherway::clock;
use eitherway::error::Code;
use eitherway::operation::Definition;
pub use language::Language;
use names::Asked;
pub use names::Command;

/// How old a line may be that is answered, in milliseconds: no user waits for an answer to an older one.
const LATEST: i64 = 5 * 60 * 1000;
/// Registers the handlers of the commands, behind all others.
pub(super) fn register<S: Stack<Op>>(dispatcher: &mut Dispatcher<S>) {
    dispatcher
        .on(Kind::Message, first_line::<S>)
        .on(Kind::Message, asked::<S>)
        .on(Kind::Pm, asked::<S>)
        .on(Kind::Disconnect, forget_heard::<S>);
}

/// A user who speaks is here: what waits is delivered, also if the bot has not seen the join.
async fn first_line<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let Body::Message { user, .. } = &event.body else { return };
    if bot.commands().is_some_and(|commands| is_recent(&event) && commands.first_heard(user)) {
        bot.deliver(Some(user)).await;
    }
}

fn forget_heard<S>(bot: Context<S>, _: Arc<Event>) {
    if let Some(commands) = bot.commands() {
        commands.forget_heard();
    }
}

fn is_recent(event: &Event) -> bool {
    event.occurred_at() >= clock::now() - LATEST
}

/// Tells a user once who asks this bot in private that another one leads: that one answers.
pub(super) async fn point_to<S: Stack<Op>>(bot: Context<S>, event: Event, leader: String) {
    let (Some(commands), Body::Pm { user, content }) = (bot.commands(), &event.body) else { return };
    let gives_one = names::read(content, &commands.prefix, &commands.known).is_some();
    let may_ask = !asks_in_vain(&bot, &event, user) && bot.room().has(user);
    if gives_one && may_ask && commands.pace.lock().allows(user) && commands.first_told(user, &leader) {
        let hint = commands.language.asks_another(&leader);
        if let Err(unsent) = bot.sender().hint(user, &hint).await {
            debug!("{} is not told who answers: {unsent}", brief(user));
        }
    }
}

/// Whether a line is not answered, whatever it is: an old one, and one of the bot's own.
fn asks_in_vain<S>(bot: &Context<S>, event: &Event, user: &str) -> bool {
    !is_recent(event) || same(user, &bot.identity().name)
}

/// Answers a line that gives a command.
async fn asked<S: Stack<Op>>(bot: Context<S>, event: Arc<Event>) {
    let (user, line, privately) = match &event.body {
        Body::Message { user, content } => (user, content, false),
        Body::Pm { user, content } => (user, content, true),
        _ => return,
    };
    let Some(commands) = bot.commands() else { return };
    let Some(Asked { command, rest }) = names::read(line, &commands.prefix, &commands.known) else { return };
    if asks_in_vain(&bot, &event, user) {
        return;
    }
    if privately && !bot.room().has(user) {
        debug!("{} asks from outside, and is not answered", brief(user));
        return;
    }
    if !commands.pace.lock().allows(user) {
        debug!("{} asks too often, and is not answered", brief(user));
        return;
    }
    let (language, at) = (commands.language, event.occurred_at());
    let question = Question { bot: &bot, event: &event, user, rest, privately, language, at };
    question.answer(command).await;
}

/// A command, who gives it, and where.
struct Question<'a, S> {
    bot: &'a Context<S>,
    event: &'a Event,
    user: &'a str,
    /// What follows the command.
    rest: &'a str,
    /// Whether it came as a private message.
    privately: bool,
    language: Language,
    /// When the answer is given, in unix milliseconds: with the question, as a rule.
    at: i64,
}

impl<S: Stack<Op>> Question<'_, S> {
    /// Puts the answer into the queue, and delivers what is in there.
    async fn reply(&self, text: &str) {
        if self.privately {
            self.reply_privately(text).await;
        } else {
            self.enqueue(None, format!("{}: {text}", self.user)).await;
        }
    }

    async fn reply_privately(&self, text: &str) {
        self.enqueue(Some(self.user), text.to_owned()).await;
    }

    async fn enqueue(&self, to: Option<&str>, text: String) {
        let head = self.event.head_at(OutboundEnqueue::SPEC.name, self.at);
        let queued = self.bot.db().with(head).outbound_enqueue(to, text).await;
        self.done(queued, "an answer");
        self.bot.deliver(to).await;
    }

    /// What came of an operation of this question. Another bot in the room may have been quicker, with other words: then it is done.
    fn done<T>(&self, result: Result<T, Error>, what: &str) -> Option<T> {
        match result {
            Err(error) if self.event.is_identified() && error.cause().code() == Code::ID_REUSED => {
                debug!("{what} for {}: another bot has given it", brief(self.user));
                None
            }
            result => self.bot.record_result(result, format_args!("{what} for {}", brief(self.user))),
        }
    }
}
