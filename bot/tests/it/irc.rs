//! The bot on real IRC servers. An observer in the channel writes down what it sees; the database must say the same.

mod commands;
mod crowd;
mod faults;
mod hangs;
mod netsplit;
mod observed;
mod offered;
mod rooms;
mod sasl;
mod speaking;
mod two_bots;

use std::collections::BTreeMap;

use crate::support::irc::{IrcServer, Person, Record};
use crate::support::program::{Running, rosey};
use crate::support::{DbFile, NatsServer, ServeProcess, Url, holds_within, wait_until};

const LINES: &str = "SELECT username || ': ' || message FROM recent_chat ORDER BY at, op_id";
const MOVES: &str = "SELECT called || ' ' || group_concat(CASE joined WHEN 1 THEN '+' ELSE '-' END, '') \
                     FROM (SELECT *, coalesce(name, username) AS called FROM presence ORDER BY at, id) GROUP BY called";
const COUNTED: &str =
    "SELECT username || ' ' || total_chat_lines FROM user_stats_now WHERE total_chat_lines > 0";

/// An IRC server, NATS, the service, and a bot in the channel.
struct World {
    irc: IrcServer,
    nats: NatsServer,
    service: ServeProcess,
    file: DbFile,
    bot: Bot,
}

/// `rosey bot` in a channel.
struct Bot {
    running: Running,
    _dir: tempfile::TempDir,
}

impl Bot {
    /// Alone, as far as it is told.
    fn start(chat: &str, nats: &str, file: &DbFile) -> Self {
        Self::with(&[], chat, nats, file)
    }

    /// Where other bots may be, too.
    fn sharing(chat: &str, nats: &str, file: &DbFile) -> Self {
        Self::with(&["--several-bots"], chat, nats, file)
    }

    fn with(options: &[&str], chat: &str, nats: &str, file: &DbFile) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = file.url();
        let words =
            ["bot", "--chat", chat, "--nats-url", nats, "--database-url", &url, "--outbox", "bot.outbox"];
        Self { running: Running::start(rosey(dir.path()).args(words).args(options)), _dir: dir }
    }
}

impl World {
    /// With a user in the channel who was there before the bot.
    async fn with_observer(irc: IrcServer) -> (Self, Person) {
        Self::with(irc, Bot::start).await
    }

    /// The same, of a bot that may share the channel.
    async fn shared_with_observer(irc: IrcServer) -> (Self, Person) {
        Self::with(irc, Bot::sharing).await
    }

    async fn with(irc: IrcServer, start: fn(&str, &str, &DbFile) -> Bot) -> (Self, Person) {
        let observer = Person::join(irc.port(), "observer").await;
        let (nats, file) = (NatsServer::start().await, DbFile::new());
        let service = ServeProcess::start(&nats, &file).await;
        let bot = start(&irc.chat("rosey"), &nats.url(), &file);
        bot.running.says("in #lounge as rosey").await;
        observer.hears(":rosey!").await;
        (Self { irc, nats, service, file, bot }, observer)
    }

    /// Waits until the database says what the observer has seen, and fails with both if it does not. A byte of Latin-1 is a letter
    /// there, and a `/me` is as it was typed.
    async fn agrees_with(&self, observer: &mut Person) {
        self.agrees_on_lines(observer).await;
        let seen = Record::of(observer);
        let agree = || async { self.moves().await == seen.moves };
        if !holds_within(crate::support::LIMIT, agree).await {
            assert_eq!(self.moves().await, seen.moves, "{}", self.bot.running.log());
        }
        let most = "SELECT count FROM high_water WHERE kind = 'chat'";
        wait_until("the most users are told", || async { self.file.number(most).await == seen.most as i64 })
            .await;
    }

    async fn agrees_on_lines(&self, observer: &mut Person) {
        observer.settle().await;
        let lines = Record::of(observer).lines;
        let read = |line: &String| {
            line.replace("caf\u{fffd}", "café").replace("\u{1}ACTION waves\u{1}", "/me waves")
        };
        let seen = sorted(&lines.iter().map(read).collect::<Vec<_>>());
        if !holds_within(crate::support::LIMIT, || async { self.sorted_lines().await == seen }).await {
            assert_eq!(self.sorted_lines().await, seen, "{}", self.bot.running.log());
        }
        // Who has changed the case of the name is one.
        let mut counted = BTreeMap::<String, usize>::new();
        for line in &seen {
            *counted.entry(line.split(": ").next().unwrap().to_lowercase()).or_default() += 1;
        }
        let counted: Vec<_> = counted.iter().map(|(name, lines)| format!("{name} {lines}")).collect();
        assert_eq!(sorted(&self.file.texts(COUNTED).await), sorted(&counted));
    }

    async fn moves(&self) -> BTreeMap<String, String> {
        let rows = self.file.texts(MOVES).await;
        rows.iter()
            .map(|row| row.split_once(' ').unwrap())
            .map(|(name, moves)| (name.to_owned(), moves.to_owned()))
            .collect()
    }

    async fn sorted_lines(&self) -> Vec<String> {
        sorted(&self.file.texts(LINES).await)
    }

    /// Ends everything in order; nothing is left that `verify` would find.
    async fn finish(mut self) {
        assert_eq!(self.bot.running.terminate().await, Some(0), "{}", self.bot.running.log());
        let _ = self.service.terminate_and_log().await;
        self.file.assert_clean().await;
    }
}

fn sorted(lines: &[String]) -> Vec<String> {
    let mut lines = lines.to_vec();
    lines.sort();
    lines
}
