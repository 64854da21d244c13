//! Messages from one to another.

use super::Question;
use super::names::{Command, word};
use crate::op::person::same;
use crate::op::{Op, RoseyClient, Tell, WaitingTell};
use eitherway::client::Stack;

/// How many may be told the same at once.
const MOST_RECIPIENTS: usize = 5;
/// How many messages may wait for one user before no more is accepted for the same user.
const MOST_WAITING: usize = 20;
/// How many of one's own messages are listed.
const LISTED: usize = 5;

impl<S: Stack<Op>> Question<'_, S> {
    /// `NICK[,NICK…] TEXT`; nothing for a list of one's own; `undo [NUMBER]`.
    pub(super) async fn tell(&self) {
        match word(self.rest) {
            ("", _) => self.list_own().await,
            (first, number) if first.eq_ignore_ascii_case("undo") => self.undo(number).await,
            (_, "") => self.reply(&self.language.whom(Command::Tell)).await,
            (names, text) => self.leave(names, text).await,
        }
    }

    async fn leave(&self, names: &str, text: &str) {
        let mut recipients: Vec<&str> = Vec::new();
        for name in names.split(',').filter(|name| !name.is_empty()) {
            if !recipients.iter().any(|known| same(known, name)) {
                recipients.push(name);
            }
        }
        let for_us = |name: &&str| same(name, self.user) || same(name, &self.bot.identity().name);
        if recipients.is_empty() || recipients.iter().any(for_us) {
            return self.reply(self.language.not_yourself()).await;
        }
        if recipients.len() > MOST_RECIPIENTS {
            return self.reply(&self.language.too_many(MOST_RECIPIENTS)).await;
        }
        for name in &recipients {
            let Some(waiting) = self.done(self.bot.db().tells_for(*name).await, "what waits") else {
                return self.sorry().await;
            };
            if waiting.len() >= MOST_WAITING {
                return self.reply(&self.language.full(name)).await;
            }
        }
        for (n, name) in recipients.iter().enumerate() {
            let tell = Tell {
                sender: self.user.to_owned(),
                username: (*name).to_owned(),
                content: text.to_owned(),
                privately: self.privately,
            };
            let db = self.bot.db().with(self.event.head(&format!("tell/{n}")));
            if self.done(db.tell(tell).await, "a message").is_none() {
                return self.sorry().await;
            }
            if let Some(commands) = self.bot.commands() {
                commands.something_waits(name);
            }
        }
        self.reply(&self.language.noted(&recipients.join(", "))).await;
    }

    async fn list_own(&self) {
        let Some(own) = self.own().await else { return self.sorry().await };
        let newest = &own[own.len().saturating_sub(LISTED)..];
        if newest.is_empty() {
            return self.reply(self.language.none_of_yours()).await;
        }
        let shown = |tell: &WaitingTell| format!("#{} → {}: {}", tell.id, tell.username, tell.content);
        self.reply_privately(&newest.iter().map(shown).collect::<Vec<_>>().join("\n")).await;
    }

    /// Takes back the newest of one's own, or the one of this number.
    async fn undo(&self, number: &str) {
        let Some(own) = self.own().await else { return self.sorry().await };
        let number = number.trim_start_matches('#');
        let wanted = if number.is_empty() { own.last().map(|tell| tell.id) } else { number.parse().ok() };
        let Some(id) = wanted else { return self.reply(self.language.none_of_yours()).await };
        let db = self.bot.db().with(self.event.head("tell_undo"));
        match self.done(db.tell_undo(self.user, id).await, "what was taken back") {
            Some(true) => self.reply(&self.language.taken_back(id)).await,
            Some(false) => self.reply(&self.language.not_taken_back(id)).await,
            None => {}
        }
    }

    async fn own(&self) -> Option<Vec<WaitingTell>> {
        self.done(self.bot.db().tells_of(self.user).await, "what was left")
    }

    /// Says how many messages wait for the one who asks, and delivers them.
    pub(super) async fn inbox(&self) {
        let Some(waiting) = self.done(self.bot.db().tells_for(self.user).await, "what waits") else {
            return self.sorry().await;
        };
        self.reply(&self.language.waits_for_you(waiting.len())).await;
        self.bot.deliver(Some(self.user)).await;
    }
}
