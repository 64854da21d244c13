//! The bot as a process of its own, and the command that looks into its outbox.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use eitherway::Db;

use super::kit::*;
use crate::support::program::{outcome, rosey};
use crate::support::*;

/// A recording of that many joins and lines, each of a user of its own.
fn recording(dir: &Path, events: u64) -> String {
    let mut text = String::new();
    for n in 0..events {
        let line = if n.is_multiple_of(2) {
            format!("{{\"event\":\"user_join\",\"user\":\"user-{n}\"}}\n")
        } else {
            format!("{{\"event\":\"message\",\"user\":\"user-{n}\",\"content\":\"line {n}\"}}\n")
        };
        text.push_str(&line);
    }
    let file = dir.join(format!("recording-{events}.jsonl"));
    std::fs::write(&file, text).unwrap();
    format!("jsonl:{}", file.display())
}

/// The ids that a bot has logged as kept, until its log ends.
fn kept_ids(stderr: std::process::ChildStderr, most: usize, bot: &mut Child) -> Vec<String> {
    let mut ids = Vec::new();
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        if line.contains("[OUTBOX]") && line.contains(" ok ") {
            let id = line.split("id=").nth(1).unwrap().split_whitespace().next().unwrap();
            ids.push(id.to_owned());
            if ids.len() == most {
                bot.kill().unwrap(); // SIGKILL; what it has logged until then is still read
            }
        }
    }
    bot.wait().unwrap();
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_killed_in_the_middle_of_storing_has_kept_everything_it_acknowledged() {
    let (kept, file) = (OutboxFile::new(), DbFile::new());
    let chat = recording(kept.dir.path(), 20_000);
    let arguments = ["--outbox", "test.outbox", "--nats-url", NOWHERE];
    let mut bot = rosey(kept.dir.path())
        .args(["bot", "--chat", &chat, "--log", "debug"])
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let stderr = bot.stderr.take().unwrap();
    let ids = tokio::task::spawn_blocking(move || kept_ids(stderr, 3000, &mut bot)).await.unwrap();
    let stored = kept.texts("SELECT id FROM waiting").await;
    let mut events = kept.texts("SELECT id FROM waiting WHERE operation <> 'status_update'").await;
    let missing = ids.iter().filter(|id| !stored.contains(id)).count();
    assert!(ids.len() >= 3000 && stored.len() < 20_000, "killed in the middle: {} of 20000", stored.len());
    assert_eq!(missing, 0, "of {} acknowledged, {} are there", ids.len(), stored.len());
    // The next start replays them before it does anything else that takes long.
    let (code, text) = outcome(
        rosey(kept.dir.path())
            .args(["bot", "--chat", "jsonl:-", "--database-url", &file.url()])
            .args(arguments),
    );
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains(&format!("{} operations wait in the outbox", stored.len())), "{text}");
    assert!(text.contains("none waiting"), "{text}");
    let mut applied = file.texts("SELECT id FROM ledger WHERE operation <> 'status_update'").await;
    applied.sort();
    events.sort();
    assert!(applied == events, "{} kept, {} applied", events.len(), applied.len());
    let effects =
        "SELECT (SELECT count(*) FROM presence) + (SELECT sum(total_chat_lines) FROM user_stats_now)";
    assert_eq!(file.number(effects).await, i64::try_from(events.len()).unwrap(), "each has one effect");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_killed_in_the_middle_of_the_replay_doubles_nothing() {
    const EVENTS: u64 = 10_000;
    let (kept, file) = (OutboxFile::new(), DbFile::new());
    let outbox = kept.open().await;
    store(&Db::new(eitherway::stack::boxed(outbox.clone())), (0..EVENTS).map(event).collect()).await;
    outbox.close().await;
    file.open().await.close().await;
    let mut interrupted = 0;
    for _ in 0..30 {
        let before = file.applied().await;
        let mut bot = rosey(kept.dir.path())
            .args(["bot", "--chat", "jsonl:-", "--outbox", "test.outbox", "--no-nats"])
            .args(["--database-url", &file.url(), "--log", "off"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("some are replayed", || async {
            file.applied().await > before + 1000 || kept.number("SELECT count(*) FROM waiting").await == 0
        })
        .await;
        bot.kill().unwrap();
        bot.wait().unwrap();
        let left = kept.number("SELECT count(*) FROM waiting").await;
        if left == 0 {
            break;
        }
        interrupted += 1;
    }
    assert!(interrupted >= 2, "killed in the middle {interrupted} times");
    let (code, text) = outcome(rosey(kept.dir.path()).args([
        "outbox",
        "--outbox",
        "test.outbox",
        "--replay",
        "--no-nats",
        "--database-url",
        &file.url(),
    ]));
    assert_eq!(code, Some(0), "{text}");
    let statuses = file.number("SELECT count(*) FROM ledger WHERE operation = 'status_update'").await;
    let applied = file.number("SELECT count(*) FROM ledger WHERE operation <> 'status_update'").await;
    eprintln!("sent {EVENTS} · applied {applied} · killed {interrupted} times · statuses {statuses}");
    assert_eq!(u64::try_from(applied).unwrap(), EVENTS, "sent = applied");
    let joins = file.number("SELECT count(*) FROM presence").await;
    let lines = file.number("SELECT sum(total_chat_lines) FROM user_stats_now").await;
    assert_eq!((joins, lines), (5000, 5000), "one effect each");
    let counted = file.number("SELECT count(*) FROM recent_chat").await;
    assert_eq!(counted, 5000);
}

#[tokio::test]
async fn a_bot_without_any_path_reads_all_the_same_and_the_next_one_delivers() {
    let (kept, file) = (OutboxFile::new(), DbFile::new());
    let chat = recording(kept.dir.path(), 40);
    let (code, text) = outcome(rosey(kept.dir.path()).args(["bot", "--chat", &chat, "--nats-url", NOWHERE]));
    assert!(text.contains("no path yet: events wait in the outbox rosey.outbox"), "{text}");
    assert!(text.contains("waiting: the next start replays them, or `rosey outbox --replay`"), "{text}");
    assert!(code.is_some(), "{text}");
    let (code, text) = outcome(rosey(kept.dir.path()).args(["outbox", "--json"]));
    let listing: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!((code, &listing["operations"]["user_joined"]["waiting"]), (Some(0), &20.into()), "{text}");
    assert_eq!(listing["operations"]["message_log"]["waiting"], 20, "{text}");
    // No path: nothing is lost by trying.
    let (code, text) = outcome(rosey(kept.dir.path()).args(["outbox", "--replay", "--nats-url", NOWHERE]));
    assert_eq!(code, Some(4), "{text}");
    assert!(text.contains("0 replayed") && text.contains("stopped: "), "{text}");
    file.open().await.close().await;
    let replay = ["outbox", "--replay", "--nats-url", NOWHERE, "--database-url", &file.url()];
    let (code, text) = outcome(rosey(kept.dir.path()).args(replay));
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(file.number("SELECT count(*) FROM presence").await, 20);
    assert_eq!(file.number("SELECT count(*) FROM recent_chat").await, 20);
    let (_, text) = outcome(rosey(kept.dir.path()).args(["outbox"]));
    assert!(text.starts_with("rosey.outbox: 0 waiting; 0 refused, 0 expired"), "{text}");
}

#[tokio::test]
async fn dropping_asks_first_and_without_a_terminal_wants_to_be_told() {
    let kept = OutboxFile::new();
    let outbox = kept.open().await;
    store(&Db::new(eitherway::stack::boxed(outbox.clone())), (0..10).map(event).collect()).await;
    // While a process holds it, it can be looked at and nothing else.
    let (code, text) = outcome(rosey(kept.dir.path()).args(["outbox", "--outbox", "test.outbox"]));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("test.outbox: 10 waiting, the oldest since "), "{text}");
    let (code, text) =
        outcome(rosey(kept.dir.path()).args(["outbox", "--outbox", "test.outbox", "--drop", "--yes"]));
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("test.outbox is held by another process"), "{text}");
    outbox.close().await;
    let (code, text) = outcome(rosey(kept.dir.path()).args(["outbox", "--outbox", "test.outbox", "--drop"]));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--yes"), "{text}");
    let refused = ["outbox", "--outbox", "test.outbox", "--drop=refused", "--yes"];
    assert!(outcome(rosey(kept.dir.path()).args(refused)).1.contains("0 operations dropped"));
    assert_eq!(kept.number("SELECT count(*) FROM waiting").await, 10);
    let (code, text) =
        outcome(rosey(kept.dir.path()).args(["outbox", "--outbox", "test.outbox", "--drop", "--yes"]));
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(kept.number("SELECT count(*) FROM waiting").await, 0);
}

#[tokio::test]
async fn a_second_bot_refuses_an_outbox_that_was_named_and_goes_on_without_the_usual_one() {
    let (kept, file) = (OutboxFile::new(), DbFile::new());
    let _holder = kept.open().await;
    let base = ["bot", "--chat", "jsonl:-", "--no-nats", "--database-url", &file.url()];
    let (code, text) = outcome(rosey(kept.dir.path()).args(base).args(["--outbox", "test.outbox"]));
    assert_eq!(code, Some(5), "{text}");
    assert!(text.contains("the outbox test.outbox is held by another process"), "{text}");
    let usual = eitherway::outbox::OutboxOptions::new(kept.dir.path().join("rosey.outbox"));
    let _other = eitherway::outbox::OutboxService::<rosey::op::Op>::open(&usual).await.unwrap();
    let (code, text) = outcome(rosey(kept.dir.path()).args(base));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("no outbox: the outbox rosey.outbox is held by another process"), "{text}");
}

#[test]
fn only_a_bot_makes_an_outbox_and_only_if_it_may() {
    let (kept, file) = (OutboxFile::new(), DbFile::new());
    let dir = kept.dir.path();
    let url = file.url();
    for arguments in [
        vec!["send", "user_joined", r#"{"username":"alice"}"#, "--no-nats", "--database-url", &url],
        vec!["stats", "--no-nats", "--database-url", &url],
        vec!["send", "user_left", r#"{"username":"alice"}"#, "--nats-url", NOWHERE],
        vec!["outbox"],
        vec!["bot", "--chat", "jsonl:-", "--outbox", "off", "--no-nats", "--database-url", &url],
    ] {
        outcome(rosey(dir).args(&arguments));
        assert_eq!(std::fs::read_dir(dir).unwrap().count(), 0, "{arguments:?}");
    }
    let mut bot = rosey(dir);
    bot.args(["bot", "--chat", "jsonl:-", "--no-nats", "--database-url", &url]);
    assert_eq!(outcome(&mut bot).0, Some(0));
    assert!(dir.join("rosey.outbox").is_file());
    // A line of the configuration says so too.
    std::fs::remove_file(dir.join("rosey.outbox")).unwrap();
    let mut config = std::fs::File::create(dir.join("rosey.toml")).unwrap();
    config.write_all(b"outbox = \"elsewhere.outbox\"\n").unwrap();
    let mut bot = rosey(dir);
    bot.args(["bot", "--chat", "jsonl:-", "--no-nats", "--database-url", &url]);
    assert_eq!(outcome(&mut bot).0, Some(0));
    assert!(dir.join("elsewhere.outbox").is_file() && !dir.join("rosey.outbox").exists());
}
