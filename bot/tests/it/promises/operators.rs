//! What the command line shows of other people's words, of times, and of what it is about to remove.

use async_nats::HeaderMap;
use serde_json::json;

use crate::support::program::{Ran, dir_of, finished, json_lines, rosey, write};
use crate::support::*;

/// Whether a text holds a character that a terminal may obey, or that is not to be seen.
fn hidden(text: &str) -> Option<char> {
    text.chars().find(|c| {
        (c.is_control() && *c != '\n')
            || matches!(*c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{3164}' | '\u{e0000}'..='\u{e0fff}')
    })
}

/// The name of a stranger: all of them.
const STRANGER: &str = "a\u{9b}31m\u{202e}b\u{2066}\u{2069}\u{200f}\u{61c}\u{2028}\u{2029}\u{200b}\u{feff}c";

#[tokio::test]
async fn what_strangers_wrote_commands_no_terminal_in_any_command() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let dir = dir_of(&file);
    let serve = ServeProcess::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    let line = json!({"username": STRANGER, "message": format!("{STRANGER}\u{1b}]0;x\u{7}")}).to_string();
    assert_eq!(peer.request("rosey.db.user.joined", line.clone()).await.refusal(), None);
    assert_eq!(peer.request("rosey.db.message.log", line.clone()).await.refusal(), None);
    // What cannot be understood is kept as it came, and the log tells of it.
    let mut headers = HeaderMap::new();
    headers.insert("X-Stranger", STRANGER);
    let garbage = format!("{{\"username\": 1, \"{STRANGER}\": \u{1b}[2J");
    assert!(peer.request_with("rosey.db.user.joined", headers, garbage).await.refusal().is_some());
    wait_until("dead letters", || async { file.dead_letters().await >= 1 }).await;

    let url = file.url();
    let db = ["--no-nats", "--database-url", &url];
    let recent = ["send", "recent_chat", r#"{"limit":5}"#];
    let mut lines: Vec<Vec<&str>> = vec![
        [&["recent"][..], &db].concat(),
        [&["stats"][..], &db].concat(),
        [&["stats", STRANGER][..], &db].concat(),
        [&["stats", "\u{202e}unknown"][..], &db].concat(),
        [&["tell", STRANGER, "hi"][..], &db].concat(),
        [&recent[..], &db].concat(),
        vec!["verify", "--database-url", &url],
        vec!["dead", "list", "--database-url", &url],
        vec!["dead", "show", "1", "--database-url", &url],
        vec!["dead", "retry", "--all", "--database-url", &url],
    ];
    // And what is wrong is told in the same way.
    lines.push(vec!["send", "user_joined", "\u{202e}", "--no-nats", "--database-url", &url]);
    lines.push(vec!["outbox", "--outbox", "\u{202e}none"]);
    lines.push(vec!["verify", "--database-url", "sqlite://\u{202e}none"]);
    for line in lines {
        for json in [&[][..], &["--json"], &["--log", "trace"]] {
            let ran = finished(rosey(&dir).args(&line).args(json)).await;
            assert_eq!(hidden(&ran.all()), None, "{line:?}: {}", ran.all().escape_debug());
            if json == ["--json"] {
                json_lines(&ran.out);
            }
        }
    }
    // JSON means what was written.
    let ran = finished(rosey(&dir).args(["recent", "--json"]).args(db)).await;
    assert_eq!(json_lines(&ran.out)[0][0]["username"], STRANGER, "{}", ran.out);
    let err = serve.terminate_and_log().await;
    assert!(err.contains("refused"), "{err}");
    assert_eq!(hidden(&err), None, "{}", err.escape_debug());
}

#[test]
fn what_a_command_line_says_commands_no_terminal_in_errors_and_help() {
    let dir = tempfile::tempdir().unwrap();
    let odd = format!("{STRANGER}\u{1b}[2J\u{85}\u{e0041}\u{3164}");
    for words in [
        vec![odd.as_str()],
        vec!["stats", "x", &odd],
        vec!["serve", "--jetstream", &odd],
        vec!["serve", "--keep", &odd],
        vec!["bot", "--chat", &odd],
        vec!["send", &odd],
        vec!["stats", "--log", &odd],
        vec!["stats", "--config", &odd],
        vec!["stats", "--log-file", "none/\u{202e}x"],
        vec!["outbox", "drop", "--outbox", &odd, "--yes"],
        vec!["outbox", "retry", &odd, "--outbox", "none"],
        vec!["dead", "show", &odd],
        vec!["completions", &odd],
        vec!["config", &odd],
        vec!["config", "bot", "--name", &odd],
    ] {
        for json in [&[][..], &["--json"]] {
            let ran = Ran::of(rosey(dir.path()).args(json).args(&words));
            assert_eq!(hidden(&ran.all()), None, "{words:?}: {}", ran.all().escape_debug());
        }
    }
    let help = Ran::of(rosey(dir.path()).args(["serve", "--help"]).env("ROSEY_LOG", &odd));
    assert_eq!(hidden(&help.all()), None, "{}", help.all().escape_debug());
    write(&dir.path().join("rosey.toml"), "nats-credentials = \"a\\u202eb\"\n\"\\u202e\" = 1\n");
    for words in [&["serve", "--help"][..], &["config"], &["stats"]] {
        let ran = Ran::of(rosey(dir.path()).args(words));
        assert_eq!(hidden(&ran.all()), None, "{words:?}: {}", ran.all().escape_debug());
    }
}

#[tokio::test]
async fn times_say_that_they_are_utc() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let dir = dir_of(&file);
    let serve = ServeProcess::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    peer.request("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    peer.request("rosey.db.message.log", r#"{"username":"alice","message":"hi"}"#).await;
    peer.request("rosey.db.user.joined", "garbage").await;
    wait_until("a dead letter", || async { file.dead_letters().await == 1 }).await;
    let url = file.url();
    let db = ["--no-nats", "--database-url", &url];
    let mut shown = Vec::new();
    for line in [&["recent"][..], &["stats", "alice"], &["stats"]] {
        shown.push(finished(rosey(&dir).args(line).args(db)).await);
    }
    for line in [["dead", "list", "-n1"], ["dead", "show", "1"]] {
        shown.push(finished(rosey(&dir).args(line).args(["--database-url", &url])).await);
    }
    for ran in &shown {
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        // Each time of day ends in UTC, or a Z.
        for word in ran.out.split("UTC") {
            let times =
                word.split_whitespace().filter(|w| w.len() == 8 && w.matches(':').count() == 2).count();
            assert!(times <= 1, "{}", ran.out);
            let rest = word.trim_end();
            assert!(times == 0 || rest.ends_with(|c: char| c.is_ascii_digit()), "{}", ran.out);
        }
    }
    assert!(shown.iter().filter(|ran| ran.out.contains(" UTC")).count() >= 4);
    let err = serve.terminate_and_log().await;
    assert!(err.lines().next().unwrap().split_whitespace().next().unwrap().ends_with('Z'), "{err}");
}

#[tokio::test]
async fn nothing_is_removed_permanently_without_a_yes_and_it_is_said_how_much_it_is() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (dir, url) = (dir_of(&file), file.url());
    let service = ServeProcess::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    for _ in 0..3 {
        peer.request("rosey.db.user.joined", "garbage").await;
    }
    wait_until("dead letters", || async { file.dead_letters().await == 3 }).await;
    assert_eq!(service.terminate().await, Some(0));
    let dead = |words: &[&str]| Ran::of(rosey(&dir).args(["dead", "--database-url", &url]).args(words));
    for words in [&["drop", "--all"][..], &["drop", "--all", "--json"]] {
        let ran = dead(words);
        assert_eq!(ran.code, Some(2), "{}", ran.all());
        assert!(ran.err.contains("3 dead letters") && ran.err.contains("--yes"), "{}", ran.err);
    }
    assert_eq!(file.dead_letters().await, 3);
    // One that is named was looked at.
    assert_eq!(dead(&["drop", "1"]).code, Some(0));
    let ran = dead(&["drop", "--all", "--yes"]);
    assert!(ran.code == Some(0) && ran.out.ends_with("2 dead letters dropped\n"), "{}", ran.all());
    assert_eq!(file.dead_letters().await, 0);
    let ran = dead(&["drop", "--all", "--json"]);
    assert_eq!((ran.code, json_lines(&ran.out)), (Some(0), vec![json!({"dropped": 0})]), "{}", ran.all());

    // Events that wait in an outbox: nothing serves, and they are kept.
    let session = dir.join("session.jsonl");
    write(&session, "{\"event\":\"message\",\"user\":\"alice\",\"content\":\"hi\",\"timestamp\":1}\n");
    let chat = format!("jsonl:{}?shift=now&speed=max", session.display());
    let bot =
        Ran::of(rosey(&dir).args(["bot", "--chat", &chat, "--nats-url", NOWHERE, "--outbox", "kept.outbox"]));
    let outbox =
        |words: &[&str]| Ran::of(rosey(&dir).args(["outbox", "--outbox", "kept.outbox"]).args(words));
    let waiting = || json_lines(&outbox(&["--json"]).out)[0]["waiting"].as_u64().unwrap();
    let kept = waiting();
    assert!(kept > 0, "{}", bot.all());
    for words in [&["--drop"][..], &["drop"], &["drop", "waiting"], &["--drop", "--json"]] {
        let ran = outbox(words);
        assert_eq!(ran.code, Some(2), "{}", ran.all());
        assert!(ran.err.contains(&format!("{kept} operations")) && ran.err.contains("--yes"), "{}", ran.err);
    }
    assert_eq!(waiting(), kept);
    assert!(outbox(&[]).out.contains(" UTC"), "{}", outbox(&[]).out);
    assert_eq!(outbox(&["drop", "--yes"]).code, Some(0));
    assert_eq!(waiting(), 0);
}

#[tokio::test]
async fn a_replay_to_a_mistyped_database_creates_none_and_the_events_still_wait() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    write(&dir.join("chat.jsonl"), "{\"event\":\"message\",\"user\":\"alice\",\"content\":\"hi\"}\n");
    let words = ["bot", "--chat", "jsonl:chat.jsonl", "--nats-url", NOWHERE, "--outbox", "kept.outbox"];
    Ran::of(rosey(dir).args(words));
    let waiting = || {
        let ran = Ran::of(rosey(dir).args(["outbox", "--outbox", "kept.outbox", "--json"]));
        json_lines(&ran.out)[0]["waiting"].as_u64().unwrap()
    };
    let before = waiting();
    assert!(before > 0);
    for way in [&["--no-nats"][..], &["--nats-url", NOWHERE]] {
        let mut replay = rosey(dir);
        replay
            .args(["outbox", "--replay", "--outbox", "kept.outbox", "--database-url", "mistyped.db"])
            .args(way);
        let ran = Ran::of(&mut replay);
        assert!(
            ran.code != Some(0) && ran.err.contains("there is no such database"),
            "{way:?}: {}",
            ran.all()
        );
        assert!(!dir.join("mistyped.db").exists(), "{way:?}");
        assert_eq!(waiting(), before, "{way:?}");
    }
}
