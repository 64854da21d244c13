//! Looking up, and what comes of it.

use super::Question;
use super::names::{Command, word};
use crate::op::person::same;
use crate::op::{Chatter, GetQuote, Line, Op, Quote, QuoteAdd, RoseyClient, SearchChat};
use eitherway::client::Stack;
use eitherway::clock;
use eitherway::operation::Definition;

/// How many of those who have said most are named.
const NAMED: usize = 5;
/// How many lines `last` shows at most.
const SHOWN: usize = 5;
/// How many lines are looked through for some that give no command.
const LOOKED_THROUGH: u32 = 50;

impl<S: Stack<Op>> Question<'_, S> {
    pub(super) async fn answer(&self, command: Command) {
        match command {
            Command::Help => self.help().await,
            Command::Seen => self.seen().await,
            Command::Tell => self.tell().await,
            Command::Inbox => self.inbox().await,
            Command::Stats => self.stats().await,
            Command::Top => self.top().await,
            Command::Last => self.last().await,
            Command::Quote => self.quote().await,
            Command::Forgetme => self.forgetme().await,
        }
    }

    async fn help(&self) {
        let Some(commands) = self.bot.commands() else { return };
        let forms = commands.known.iter().map(|command| {
            let (word, form) = (command.as_str(), self.language.form(*command));
            let space = if form.is_empty() { "" } else { " " };
            format!("{}{word}{space}{form}", commands.prefix)
        });
        self.reply(&forms.collect::<Vec<_>>().join(" · ")).await;
    }

    async fn seen(&self) {
        let (name, _) = word(self.rest);
        if name.is_empty() {
            return self.reply(&self.language.whom(Command::Seen)).await;
        }
        if same(name, self.user) {
            return self.reply(self.language.yourself()).await;
        }
        match self.done(self.bot.db().seen(name).await, "who was seen") {
            Some(Some(seen)) => self.reply(&self.language.seen(&seen, clock::seconds(clock::now()))).await,
            Some(None) => self.reply(&self.language.never_seen(name)).await,
            None => self.sorry().await,
        }
    }

    async fn stats(&self) {
        let (name, _) = word(self.rest);
        let name = if name.is_empty() { self.user } else { name };
        match self.done(self.bot.db().user_stats(name).await, "statistics") {
            Some(Some(stats)) => self.reply(&self.language.stats(&stats, clock::seconds(clock::now()))).await,
            Some(None) => self.reply(&self.language.never_seen(name)).await,
            None => self.sorry().await,
        }
    }

    /// Who has said most of all time, or in the last hours.
    async fn top(&self) {
        let Some(chatters) = self.chatters().await else { return self.sorry().await };
        let named: Vec<_> = chatters
            .iter()
            .take(NAMED)
            .enumerate()
            .map(|(n, chatter)| format!("{}. {} ({})", n + 1, chatter.username, chatter.chat_lines))
            .collect();
        self.reply(&if named.is_empty() {
            self.language.nothing_said().to_owned()
        } else {
            named.join(" · ")
        })
        .await;
    }

    async fn chatters(&self) -> Option<Vec<Chatter>> {
        let what = "who has said most";
        match word(self.rest).0.trim_end_matches('h').parse::<u32>() {
            Ok(hours) => {
                let since = clock::seconds(clock::now()) - i64::from(hours) * 3600;
                let since = u32::try_from(since).unwrap_or_default();
                self.done(self.bot.db().leaderboard(since, 10).await, what)
            }
            Err(_) => Some(self.done(self.bot.db().channel_stats().await, what)?.top_chatters),
        }
    }

    /// The newest lines, in private; or the newest one of a user.
    async fn last(&self) {
        let (which, _) = word(self.rest);
        let now = clock::seconds(clock::now());
        let shown = |line: &Line| {
            format!("<{}> {} ({})", line.username, line.message, self.language.ago(now - line.timestamp))
        };
        match which.parse::<usize>() {
            Err(_) if !which.is_empty() => {
                let Some(newest) = self.newest_of(which).await else { return self.sorry().await };
                self.reply(&newest.as_ref().map_or_else(|| self.language.nothing_of(which), shown)).await;
            }
            asked => {
                let Some(lines) = self.lines().await else { return self.sorry().await };
                let asked = asked.unwrap_or(1).clamp(1, SHOWN);
                let newest = &lines[lines.len().saturating_sub(asked)..];
                match newest {
                    [] => self.reply(self.language.nothing_said()).await,
                    [line] => self.reply(&shown(line)).await,
                    lines => {
                        self.reply_privately(&lines.iter().map(shown).collect::<Vec<_>>().join("\n")).await
                    }
                }
            }
        }
    }

    async fn quote(&self) {
        let (first, rest) = word(self.rest);
        if first.eq_ignore_ascii_case("add") {
            return self.keep_quote(word(rest).0).await;
        }
        let which = match first.trim_start_matches('#').parse() {
            Ok(id) => GetQuote { id: Some(id), ..GetQuote::default() },
            Err(_) => GetQuote { place: self.any_place(), ..GetQuote::default() },
        };
        let of_somebody = !first.is_empty() && which.id.is_none();
        let username = of_somebody.then(|| first.to_owned());
        match self.done(self.bot.db().quote(GetQuote { username, ..which }).await, "a quote") {
            Some(Some(Quote { id, username, message, .. })) => {
                self.reply(&format!("#{id} <{username}> {message}")).await;
            }
            Some(None) => self.reply(self.language.no_quote()).await,
            None => self.sorry().await,
        }
    }

    /// Keeps the newest line of a user.
    async fn keep_quote(&self, name: &str) {
        if name.is_empty() {
            return self.reply(&self.language.whom(Command::Quote)).await;
        }
        let Some(newest) = self.newest_of(name).await else { return self.sorry().await };
        let Some(Line { username, message, .. }) = newest else {
            return self.reply(&self.language.nothing_of(name)).await;
        };
        let quote = QuoteAdd { username, message, added_by: Some(self.user.to_owned()) };
        let db = self.bot.db().with(self.event.head(QuoteAdd::SPEC.name));
        if let Some(id) = self.done(db.quote_add(quote).await, "a new quote") {
            self.reply(&self.language.kept(id)).await;
        }
    }

    /// The newest lines that give no command, oldest first. `None` if they cannot be read.
    async fn lines(&self) -> Option<Vec<Line>> {
        let lines = self.done(self.bot.db().recent_chat(LOOKED_THROUGH).await, "the newest lines")?;
        Some(self.without_commands(lines))
    }

    /// The newest line of a user that gives no command. `None` if it cannot be read.
    async fn newest_of(&self, name: &str) -> Option<Option<Line>> {
        let username = Some(name.to_owned());
        let search = SearchChat { username, limit: LOOKED_THROUGH, ..SearchChat::default() };
        let lines = self.done(self.bot.db().chat(search).await, "the newest lines")?;
        Some(self.without_commands(lines).pop())
    }

    fn without_commands(&self, mut lines: Vec<Line>) -> Vec<Line> {
        if let Some(commands) = self.bot.commands() {
            lines.retain(|line| !line.message.starts_with(commands.prefix.as_str()));
        }
        lines
    }

    /// An unpredictable place, the same for every bot that reads this line.
    fn any_place(&self) -> u32 {
        let id = self.event.head("any place").id.to_string();
        id.bytes().fold(2_166_136_261, |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619))
    }

    pub(super) async fn sorry(&self) {
        self.reply(self.language.not_now()).await;
    }
}
