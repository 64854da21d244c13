//! Forgetting the one who asks.

use super::Question;
use super::names::{Command, word};
use crate::op::{Forget, Op, RoseyClient};
use eitherway::client::Stack;
use eitherway::operation::Definition;

impl<S: Stack<Op>> Question<'_, S> {
    /// Says what is forgotten, or does it behind the word that confirms it.
    pub(super) async fn forgetme(&self) {
        let yes = self.language.yes();
        if !word(self.rest).0.eq_ignore_ascii_case(yes) {
            let Some(commands) = self.bot.commands() else { return };
            let command = format!("{}{} {yes}", commands.prefix, Command::Forgetme.as_str());
            return self.reply(&self.language.whether_to_forget(&command)).await;
        }
        // Behind the line that asks for it, and before the answer.
        let at = self.event.occurred_at() + 1;
        let db = self.bot.db().with(self.event.head_at(&format!("{}/0", Forget::SPEC.name), at));
        if self.done(db.forget(self.user).await, "the forgetting").is_none() {
            return self.sorry().await;
        }
        Self { at: at + 1, ..*self }.reply(self.language.forgotten()).await;
    }
}
