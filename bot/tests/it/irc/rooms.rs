//! Several rooms in one process: each has its own files, and what ends one does not end another.

use std::path::{Path, PathBuf};

use eitherway::sql::{SqliteOptions, verify};
use rosey::op::Op;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;

use super::*;
use crate::endpoints::Endpoints;
use crate::support::program::{finished, outcome};

/// The two rooms: `one` is #one, and `two` is #two.
const ROOMS: [&str; 2] = ["one", "two"];

/// The texts that a query answers; none while the file is not there yet.
async fn texts(file: &Path, sql: &'static str) -> Vec<String> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let Ok(mut connection) = options.connect().await else { return Vec::new() };
    sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap_or_default()
}

/// An IRC server with NATS, and a directory for files.
struct Site {
    irc: IrcServer,
    nats: NatsServer,
    dir: tempfile::TempDir,
}

impl Site {
    async fn new() -> Self {
        let (irc, nats) = (IrcServer::ngircd().await, NatsServer::start().await);
        Self { irc, nats, dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Somebody who may throw others out of both channels.
    async fn owner(&self) -> Person {
        let mut owner = Person::connect(self.irc.port(), "ann").await;
        for room in ROOMS {
            owner.say(&format!("JOIN #{room}")).await;
        }
        owner.hears_times(" 366 ", 2).await;
        owner
    }

    /// `rosey bot` or `rosey up` in both rooms, as `rosey_one` and `rosey_two`.
    async fn bot(&self, command: &str, options: &[&str]) -> Running {
        let chats = ROOMS
            .map(|room| format!("{room}={}", self.irc.room(&format!("rosey_{room}"), &format!("#{room}"))));
        let outbox = self.file("bot.outbox").display().to_string();
        let usual = [command, "--chat", &chats[0], "--chat", &chats[1], "--nats-url", &self.nats.url()]
            .map(str::to_owned);
        // Where no database lies that it would find by itself.
        let here = self.file("here");
        std::fs::create_dir(&here).unwrap();
        let mut program = rosey(&here);
        let running = Running::start(program.args(usual).args(["--outbox", &outbox]).args(options));
        for room in ROOMS {
            running.says(&format!("in #{room} as rosey_{room}")).await;
        }
        running
    }

    /// What was said in a room is in its database, and nothing else.
    async fn holds(&self, room: &str, lines: &[&str], bot: &Running) {
        let file = self.file(&format!("{room}.db"));
        let said = || async { sorted(&texts(&file, LINES).await) };
        if !holds_within(crate::support::LIMIT, || async { said().await == lines }).await {
            assert_eq!(said().await, lines, "{room}\n{}", bot.log());
        }
    }

    async fn assert_clean(&self) {
        for room in ROOMS {
            let options = SqliteOptions::new(&format!("sqlite:{}.db", self.file(room).display())).unwrap();
            let verdict = verify::<Op>(&options, |_| {}).await.unwrap();
            assert!(verdict.is_clean(), "{room}: {:#?}", verdict.findings);
        }
    }
}

async fn told(owner: &mut Person, room: &str, text: &str) {
    owner.say(&format!("PRIVMSG #{room} :{text}")).await;
}

#[tokio::test]
async fn of_two_rooms_in_one_process_no_statistic_mixes_and_the_end_of_one_is_not_that_of_the_other() {
    let site = Site::new().await;
    let mut ann = site.owner().await;
    let database = format!("sqlite://{}", site.file("rosey.db").display());
    let mut bot = site.bot("up", &["--database-url", &database, "--listen", "127.0.0.1:0"]).await;
    let endpoints = Endpoints::of(&bot).await;
    endpoints.are_ready().await;
    for n in 0..3 {
        told(&mut ann, "one", &format!("first {n}")).await;
    }
    told(&mut ann, "two", "second").await;
    site.holds("one", &["ann: first 0", "ann: first 1", "ann: first 2"], &bot).await;
    site.holds("two", &["ann: second"], &bot).await;
    assert!(!site.file("rosey.db").exists(), "no room has it");
    // Both namespaces are served by the one process: asked where there is no file.
    for (room, text) in [("one", "first 2"), ("two", "second")] {
        let elsewhere = tempfile::tempdir().unwrap();
        let words =
            ["recent", "-n", "1", "--namespace", room, "--nats-url", &site.nats.url()].map(str::to_owned);
        let asked = finished(rosey(elsewhere.path()).args(words)).await;
        assert!(asked.out.contains(text), "{room}: {}\n{}", asked.all(), bot.log());
    }

    // Thrown out of one for good.
    ann.say("KICK #one rosey_one :once").await;
    ann.hears_times(":rosey_one!~roseyone@127.0.0.1 JOIN", 2).await;
    ann.say("KICK #one rosey_one :twice").await;
    bot.says("this room has ended: 127.0.0.1: thrown out of #one twice, at last by ann: twice; 1 room left")
        .await;
    let check = endpoints.fails("rooms").await;
    assert_eq!(check["required"], false);
    assert!(
        check["why"].as_str().unwrap().starts_with("one: 127.0.0.1: thrown out of #one twice"),
        "{check}"
    );
    assert_eq!(endpoints.alive_and_ready().await, (true, true));
    let status = endpoints.status().await;
    let (one, two) = (&status["rooms"][0], &status["rooms"][1]);
    assert_eq!((&one["room"], &one["ended"]["exit"]), (&"one".into(), &1.into()), "{status:#}");
    assert_eq!((&two["room"], &two["ended"]), (&"two".into(), &serde_json::Value::Null), "{status:#}");
    assert!(
        two["outbox"].is_null() && two["paths"]["outbox"]["file"].as_str().unwrap().ends_with("/two.outbox")
    );
    assert!(status["board"]["said"].as_str().unwrap().contains("room has ended"), "{status:#}");
    let metrics = endpoints.scrape().await;
    assert_eq!(metrics.sum("rosey_bot_runs", &[("room", "one")]), Some(0.0));
    assert_eq!(metrics.sum("rosey_bot_runs", &[("room", "two")]), Some(1.0));
    assert_eq!(metrics.sum("rosey_bot_events_total", &[("room", "two"), ("kind", "message")]), Some(1.0));
    told(&mut ann, "one", "nobody hears this").await;
    told(&mut ann, "two", "the other one goes on").await;
    site.holds("two", &["ann: second", "ann: the other one goes on"], &bot).await;

    assert_eq!(bot.terminate().await, Some(1), "one has not ended well\n{}", bot.log());
    ann.hears(":rosey_two!~roseytwo@127.0.0.1 QUIT").await;
    site.holds("one", &["ann: first 0", "ann: first 1", "ann: first 2"], &bot).await;
    for room in ROOMS {
        let status = texts(&site.file(&format!("{room}.db")), "SELECT status FROM current_status").await;
        assert_eq!(status, ["offline"], "{room}\n{}", bot.log());
    }
    // Each line of a room names it.
    for line in bot.log().lines().filter(|line| line.contains("in #one as")) {
        assert!(line.contains("namespace=one"), "{line}");
    }
    site.assert_clean().await;
}

#[tokio::test]
async fn what_no_path_takes_waits_in_the_outbox_of_its_room_and_a_stop_ends_both() {
    let mut site = Site::new().await;
    let mut ann = site.owner().await;
    ROOMS.iter().for_each(|room| std::fs::write(site.file(&format!("{room}.db")), "").unwrap());
    let dir = site.dir.path().display().to_string();
    let words = ["serve", "--nats-url", &site.nats.url(), "--namespaces-dir", &dir].map(str::to_owned);
    let mut service = ServeProcess::begin(&words.each_ref().map(String::as_str));
    service.serves().await;
    let mut bot = site.bot("bot", &[]).await;
    told(&mut ann, "one", "before").await;
    told(&mut ann, "two", "before as well").await;
    site.holds("one", &["ann: before"], &bot).await;
    site.holds("two", &["ann: before as well"], &bot).await;

    site.nats.kill();
    told(&mut ann, "one", "into the outbox of one").await;
    told(&mut ann, "two", "into the outbox of two").await;
    for room in ROOMS {
        let file = site.file(&format!("{room}.outbox"));
        let line = "message_log";
        let waits = || async {
            let listing = eitherway::outbox::list(&file).await;
            listing.is_ok_and(|listing| listing.operations.get(line).is_some_and(|rows| rows.waiting == 1))
        };
        assert!(holds_within(crate::support::LIMIT, waits).await, "{room}\n{}", bot.log());
    }
    site.nats.restart().await;
    site.holds("one", &["ann: before", "ann: into the outbox of one"], &bot).await;
    site.holds("two", &["ann: before as well", "ann: into the outbox of two"], &bot).await;

    let code = bot.terminate().await;
    // Where the service was slower than the bot, what it asked at its begin has failed: that is no success.
    if !bot.log().contains("no path yet") {
        assert_eq!(code, Some(0), "{}", bot.log());
    }
    for room in ROOMS {
        ann.hears(&format!(":rosey_{room}!~rosey{room}@127.0.0.1 QUIT")).await;
        assert!(bot.log().contains(&format!("{room}: shut down: ")), "{}", bot.log());
    }
    assert_eq!(service.terminate().await, Some(0));
    site.assert_clean().await;
}

#[test]
fn what_two_rooms_cannot_share_is_refused_before_anything_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |words: &[&str], says: &str| {
        for command in ["bot", "up"] {
            let (code, text) = outcome(rosey(dir.path()).args([&[command, "--no-nats"], words].concat()));
            assert_eq!(code, Some(2), "{words:?}: {text}");
            assert!(text.contains(says), "{words:?}: {text}");
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "{words:?}");
    };
    let (one, two) = ("irc://a@127.0.0.1/#one", "irc://a@127.0.0.1/#two");
    let named = |name: &str, chat: &str| format!("{name}={chat}");
    refused(&["--chat", one, "--chat", two], "each has a name of its own, as in lounge=irc");
    refused(&["--chat", &named("a", one), "--chat", &named("a", two)], "a stands there twice");
    refused(&["--chat", &format!("a={one},a={two}")], "a stands there twice");
    refused(&["--chat", one, "--chat", &named("a", two), "--namespace", "a"], "a stands there twice");
    refused(&["--chat", &named("a", one), "--namespace", "b"], "--namespace names another one, b");
    refused(&["--chat", "jsonl:-", "--chat", "a=jsonl:-"], "the chat of one room alone");
    refused(&["--chat", &named("A", one)], "namespace \"A\"");
    let named_as_usual = ["--chat", one, "--chat", &named("rosey", two)];
    refused(&named_as_usual, "two rooms would have the file rosey.db");
    let second = named("a", two);
    let both = |more: &[&'static str], says: &str| {
        refused(&[&["--chat", one, "--chat", &second], more].concat(), says);
    };
    both(&["--report", "r.j", "--timeline", "t.j"], "two of its files are a.j");
    both(&["--database-url", "postgres://127.0.0.1/x?schema=y"], "leave out ?schema=");
}

#[test]
fn rooms_stand_in_the_file_as_a_list_and_in_the_variable_with_commas_between() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two] = ["a=irc://127.0.0.1/#one", "b=irc://127.0.0.1/#two"];
    let both = format!("{one},{two}");
    let shown = |command: &mut std::process::Command| {
        let (code, text) = outcome(command.args(["config", "bot"]));
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains(&both), "{text}");
    };
    shown(rosey(dir.path()).env("ROSEY_CHAT", &both));
    let file = dir.path().join("rosey.toml");
    std::fs::write(&file, format!("chat = [{one:?}, {two:?}]\n")).unwrap();
    shown(&mut rosey(dir.path()));
    for (wrong, says) in [
        (format!("chat = [{one:?}, 7]"), "chat: expected a list of strings"),
        (format!("chat = [{one:?}, \"b=irc://h\"]"), "chat: b: "),
        ("name = [\"x\"]".to_owned(), "found a value of type array"),
    ] {
        std::fs::write(&file, wrong).unwrap();
        let (code, text) = outcome(rosey(dir.path()).args(["config", "bot"]));
        assert!(code == Some(2) && text.contains(says), "{text}");
    }
}
