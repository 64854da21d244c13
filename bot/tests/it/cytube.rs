//! The bot on a server that speaks as CyTube does. The server writes down what everybody has seen; the database must say the same.

mod faults;
mod kryten;
mod observed;
mod speaking;

use std::collections::BTreeMap;

use crate::support::cytube::CyTube;
use crate::support::program::{Running, rosey};
use crate::support::{DbFile, NatsServer, ServeProcess, Url, holds_within, wait_until};

const LINES: &str = "SELECT username || ': ' || message FROM recent_chat ORDER BY at, op_id";
const MOVES: &str = "SELECT called || ' ' || group_concat(CASE joined WHEN 1 THEN '+' ELSE '-' END, '') \
                     FROM (SELECT *, coalesce(name, username) AS called FROM presence ORDER BY at, id) GROUP BY called";

/// A CyTube server, NATS, the service, and a bot in the channel.
struct World {
    cytube: CyTube,
    nats: NatsServer,
    service: ServeProcess,
    file: DbFile,
    bot: Bot,
}

/// `rosey bot` in the channel.
struct Bot {
    running: Running,
    _dir: tempfile::TempDir,
}

impl Bot {
    fn start(chat: &str, nats: &str, file: &DbFile) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = file.url();
        let words =
            ["bot", "--chat", chat, "--nats-url", nats, "--database-url", &url, "--outbox", "bot.outbox"];
        Self { running: Running::start(rosey(dir.path()).args(words)), _dir: dir }
    }
}

impl World {
    /// With a bot that has come into this room.
    async fn with(cytube: CyTube) -> Self {
        let (nats, file) = (NatsServer::start().await, DbFile::new());
        let service = ServeProcess::start(&nats, &file).await;
        let bot = Bot::start(&cytube.chat("rosey"), &nats.url(), &file);
        bot.running.says("in lounge as rosey, on 127.0.0.1").await;
        Self { cytube, nats, service, file, bot }
    }

    async fn moves(&self) -> BTreeMap<String, String> {
        let rows = self.file.texts(MOVES).await;
        let pair =
            |row: &String| row.split_once(' ').map(|(name, moves)| (name.to_owned(), moves.to_owned()));
        rows.iter().filter_map(pair).collect()
    }

    /// What people have said; what the bot itself says is no line.
    fn said(&self) -> Vec<String> {
        let lines = self.cytube.room().lines.clone();
        sorted(lines.into_iter().filter(|line| !line.starts_with("rosey")).collect())
    }

    /// Waits until the database has every line once.
    async fn agrees_on_lines(&self) {
        let seen = self.said();
        let agree = || async { sorted(self.file.texts(LINES).await) == seen };
        if !holds_within(crate::support::LIMIT, agree).await {
            assert_eq!(sorted(self.file.texts(LINES).await), seen, "{}", self.bot.running.log());
        }
        let counted = "SELECT coalesce(sum(total_chat_lines), 0) FROM user_stats_now";
        assert_eq!(self.file.number(counted).await, seen.len() as i64, "and counted once");
    }

    /// Ends everything in order; nothing is left that `verify` would find.
    async fn finish(self) {
        self.ends_with(0).await;
    }

    /// The same, where the bot's exit code is this one.
    async fn ends_with(mut self, code: i32) {
        assert_eq!(self.bot.running.terminate().await, Some(code), "{}", self.bot.running.log());
        let _ = self.service.terminate_and_log().await;
        self.file.assert_clean().await;
    }
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}
