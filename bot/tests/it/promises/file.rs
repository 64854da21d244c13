//! Nothing is acknowledged that is not in the file at the path: whatever is done to that file while a service or a bot has it
//! open.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use async_nats::HeaderMap;
use serde_json::json;

use crate::support::program::outcome as run;
use crate::support::*;

mod bot;
mod copies;
mod kept_log;
mod log;
mod names;
mod outbox;
mod overwritten;

use bot::Chat;

const LINES: &str = "SELECT count(*) FROM recent_chat";
const COUNTED: &str = "SELECT coalesce(sum(total_chat_lines), 0) FROM user_stats_now";

/// A service as a process on a file, and a peer that counts what was acknowledged.
struct World {
    server: NatsServer,
    file: DbFile,
    serve: ServeProcess,
    peer: Peer,
    acknowledged: i64,
    next: u64,
}

impl World {
    async fn core() -> Self {
        Self::on(NatsServer::start().await, DbFile::new()).await
    }

    async fn on(server: NatsServer, file: DbFile) -> Self {
        let serve = ServeProcess::start(&server, &file).await;
        let peer = Peer::connect(&server).await;
        Self { server, file, serve, peer, acknowledged: 0, next: 0 }
    }

    /// One line more over NATS, and whether it was acknowledged; else the number of the refusal.
    async fn say(&mut self) -> Result<(), Option<u16>> {
        self.next += 1;
        let said = self.offer(self.next).await;
        match said.refusal() {
            None => {
                self.acknowledged += 1;
                Ok(())
            }
            number => Err(number),
        }
    }

    async fn offer(&self, number: u64) -> Said {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("line-{number}"));
        let line = json!({"username": "alice", "message": format!("line {number}")}).to_string();
        self.peer.request_with("rosey.db.message.log", headers, line).await
    }

    async fn notices(&self) -> String {
        notices(&self.peer).await
    }

    /// Waits until the service says this of its file, without anything being sent.
    async fn noticed(&self, words: &str) {
        noticed(&self.peer, words).await;
    }

    async fn all_is_well(&self) {
        all_clear(&self.peer).await;
    }

    /// What was acknowledged is in the file at the path, once.
    async fn nothing_is_lost(&self) {
        assert_eq!(self.file.number(LINES).await, self.acknowledged, "{}", self.serve.log());
        assert_eq!(self.file.number(COUNTED).await, self.acknowledged);
        self.file.assert_verified().await;
    }

    /// The same line twice while the file is wrong, from the command line too: refused, and applied once afterwards.
    async fn nothing_is_taken(&mut self) {
        self.nothing_is_taken_with(&["--database-url", &self.file.url()]).await;
    }

    async fn nothing_is_taken_with(&mut self, database: &[&str]) {
        let (code, text) = self.send_with("while it is wrong", database);
        assert_eq!(code, Some(4), "{text}");
        assert!(!text.contains("ack="), "{text}");
        assert!(text.contains(&self.file.path().display().to_string()), "it names the file: {text}");
        let refused = self.say().await;
        assert!(refused.is_err_and(|code| code.is_some_and(|code| code >= 500)), "{refused:?}");
        let stats = self.peer.request("rosey.db.query.channel_stats", "{}").await;
        assert!(stats.refusal().is_some_and(|code| code >= 500), "nor is an answer read from it: {stats:?}");
    }

    /// What was refused is applied, once, when it is asked for again.
    async fn goes_on(&mut self) {
        self.all_is_well().await;
        assert_eq!(self.offer(self.next).await.refusal(), None);
        self.acknowledged += 1;
        assert_eq!(self.offer(self.next).await.refusal(), None, "again");
        let (code, text) = self.send("after it");
        assert!(code == Some(0) && text.contains("via=nats"), "{text}");
        self.acknowledged += 1;
        self.nothing_is_lost().await;
    }

    fn send(&self, line: &str) -> (Option<i32>, String) {
        self.send_with(line, &["--database-url", &self.file.url()])
    }

    fn send_with(&self, line: &str, database: &[&str]) -> (Option<i32>, String) {
        let payload = json!({"username": "bob", "message": line}).to_string();
        run(rosey().args(["send", "message_log", &payload, "--nats-url", &self.server.url()]).args(database))
    }

    fn beside(&self, end: &str) -> PathBuf {
        beside(&self.file.path(), end)
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", path.display()))
}

fn rosey() -> Command {
    let mut command = program::rosey(Path::new("."));
    command.env("RUST_LOG", "info");
    command
}

/// Copies the database with its log, and removes what was there, so that the copies are other files.
fn copy(from: &Path, to: &Path) {
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(beside(to, end));
    }
    for end in ["", "-wal"] {
        if beside(from, end).exists() {
            fs::copy(beside(from, end), beside(to, end)).unwrap();
        }
    }
}

fn remove(path: &Path, ends: &[&str]) {
    for end in ends {
        let _ = fs::remove_file(beside(path, end));
    }
}

/// All of it, as `rm rosey.db*` does.
const ALL: [&str; 5] = ["", "-wal", "-shm", ".lock", ".turn"];

#[tokio::test]
async fn a_file_that_is_deleted_while_nothing_is_sent_is_noticed_and_nothing_is_acknowledged_until_it_is_back()
 {
    let mut world = World::core().await;
    let (path, kept) = (world.file.path(), world.file.path().with_extension("kept"));
    for _ in 0..5 {
        world.say().await.unwrap();
    }
    copy(&path, &kept);
    remove(&path, &ALL);
    world.nothing_is_taken().await;
    world.noticed("deleted or moved away").await;
    assert!(!path.exists(), "nothing is created by accident");
    copy(&kept, &path);
    world.goes_on().await;

    // The file alone, so that the log of it stays; then as it was.
    let away = path.with_extension("away");
    fs::rename(&path, &away).unwrap();
    world.nothing_is_taken().await;
    world.noticed("deleted or moved away").await;
    assert!(!path.exists(), "nothing is created by accident");
    fs::rename(&away, &path).unwrap();
    world.goes_on().await;
    let log = world.serve.log();
    let said = log.lines().filter(|line| line.contains("ERROR") && line.contains("deleted or moved away"));
    assert_eq!(said.count(), 2, "once each time\n{log}");
}

#[tokio::test]
async fn a_folder_that_is_renamed_and_whatever_is_put_in_the_place_of_the_file_is_not_taken_for_it() {
    let mut world = World::core().await;
    world.say().await.unwrap();
    let path = world.file.path();
    let folder = path.parent().unwrap().to_owned();
    let elsewhere = folder.with_extension("elsewhere");

    fs::rename(&folder, &elsewhere).unwrap();
    world.nothing_is_taken().await;
    world.noticed("deleted or moved away").await;
    assert!(!folder.exists());
    fs::rename(&elsewhere, &folder).unwrap();
    world.goes_on().await;

    let away = path.with_extension("away");
    for (what, words) in [("link", "symbolic link"), ("folder", "no ordinary file"), ("text", "former file")]
    {
        fs::rename(&path, &away).unwrap();
        match what {
            "link" => std::os::unix::fs::symlink(&away, &path).unwrap(),
            "folder" => fs::create_dir(&path).unwrap(),
            _ => fs::write(&path, "this is no database").unwrap(),
        }
        // A command that is told of the file alone would follow the link, and find the log of the former file.
        let file = world.file.url();
        let database: &[&str] = if what == "folder" { &["--database-url", &file] } else { &[] };
        world.nothing_is_taken_with(database).await;
        world.noticed(words).await;
        if what == "folder" {
            fs::remove_dir(&path).unwrap()
        } else {
            fs::remove_file(&path).unwrap()
        }
        fs::rename(&away, &path).unwrap();
        world.goes_on().await;
    }
}

#[tokio::test]
async fn another_database_and_an_older_copy_are_refused_and_the_right_one_is_taken_without_a_restart() {
    let mut world = World::core().await;
    let path = world.file.path();
    let [older, newest, other] = ["older", "newest", "other"].map(|name| path.with_extension(name));
    for _ in 0..3 {
        world.say().await.unwrap();
    }
    copy(&path, &older);
    for _ in 0..3 {
        world.say().await.unwrap();
    }
    copy(&path, &newest);
    let foreign = format!("sqlite://{}", other.display());
    let (code, text) = run(rosey().args([
        "send",
        "message_log",
        r#"{"username":"eve","message":"elsewhere"}"#,
        "--no-nats",
        "--database-url",
        &foreign,
    ]));
    assert_eq!(code, Some(0), "{text}");
    for (wrong, words) in [(&other, "another database"), (&older, "older copy")] {
        copy(wrong, &path);
        // A command that knows the file alone would take the copy for the database.
        world.nothing_is_taken_with(&[]).await;
        world.noticed(words).await;
        assert!(world.notices().await.contains("restart"), "it says how to accept it");
        copy(&newest, &path);
        world.goes_on().await;
        copy(&path, &newest);
    }
    // Over the file as it is, as `cp` does; the log of the newer one stays beside it.
    fs::copy(&older, &path).unwrap();
    fs::copy(beside(&older, "-wal"), beside(&path, "-wal")).unwrap();
    world.noticed("is not the file that was opened").await;
    let refused = world.say().await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn an_older_copy_under_the_log_of_the_newer_file_is_refused() {
    let mut world = World::core().await;
    let path = world.file.path();
    world.say().await.unwrap();
    let [older, away] = ["older", "away"].map(|name| path.with_extension(name));
    fs::copy(&path, &older).unwrap();
    world.say().await.unwrap();
    fs::rename(&path, &away).unwrap();
    fs::rename(&older, &path).unwrap();
    world.nothing_is_taken_with(&[]).await;
    world.noticed("the log of the former file").await;
    fs::rename(&away, &path).unwrap();
    world.goes_on().await;
}

#[tokio::test]
async fn a_log_or_its_index_that_is_deleted_costs_nothing_that_was_acknowledged() {
    let mut world = World::core().await;
    let path = world.file.path();
    for ends in [&["-wal"][..], &["-shm"], &["-wal", "-shm"]] {
        for _ in 0..3 {
            world.say().await.unwrap();
        }
        remove(&path, ends);
        // At once, or after it was put right: never into a log that is not read again.
        wait_until("the service goes on", || {
            let offered = world.offer(world.next + 1);
            async { offered.await.refusal().is_none() }
        })
        .await;
        world.next += 1;
        world.acknowledged += 1;
        assert!(world.beside("-wal").exists() && world.beside("-shm").exists(), "{ends:?}");
        world.all_is_well().await;
        world.nothing_is_lost().await;
    }
    // And it is there after the end of the service.
    world.serve.kill();
    world.nothing_is_lost().await;
}

#[tokio::test]
async fn a_file_that_is_emptied_is_said_and_nothing_is_acknowledged() {
    let mut world = World::core().await;
    let path = world.file.path();
    world.say().await.unwrap();
    let kept = fs::read(&path).unwrap();
    fs::File::options().write(true).truncate(true).open(&path).unwrap();
    world.nothing_is_taken().await;
    world.noticed("emptied").await;
    fs::write(&path, kept).unwrap();
    world.goes_on().await;
}

#[tokio::test]
async fn events_wait_in_the_stream_until_the_file_is_back_and_all_of_them_are_applied_once() {
    const EVENTS: i64 = 300;
    let store = tempfile::tempdir().unwrap();
    let server = NatsServer::with_jetstream(store.path()).await;
    let mut world = World::on(server, DbFile::new()).await;
    let (path, away) = (world.file.path(), world.file.path().with_extension("away"));
    let mut sent = 0;
    // In the middle of the traffic.
    for number in 1..=EVENTS {
        assert_eq!(world.offer(number.unsigned_abs()).await.refusal(), None, "the stream has it");
        sent += 1;
        if number == EVENTS / 3 {
            fs::create_dir(&away).unwrap();
            for end in ["", "-wal", "-shm"] {
                fs::rename(beside(&path, end), away.join(format!("rosey.db{end}"))).unwrap();
            }
        }
    }
    world.noticed("deleted or moved away").await;
    assert!(!path.exists());
    for end in ["", "-wal", "-shm"] {
        fs::rename(away.join(format!("rosey.db{end}")), beside(&path, end)).unwrap();
    }
    world.all_is_well().await;
    wait_until("all are applied", || async { world.file.number(LINES).await == EVENTS }).await;
    world.acknowledged = sent;
    world.nothing_is_lost().await;
    let log = world.serve.terminate_and_log().await;
    assert!(log.contains(" 0 lost"), "{log}");
    assert_eq!(world.file.number(LINES).await, world.acknowledged);
}
/// How many lines the file has, if it has its tables.
async fn lines(file: &DbFile) -> Option<i64> {
    let mut connection = file.connect().await;
    sqlx::query_scalar(LINES).fetch_one(&mut connection).await.ok()
}
