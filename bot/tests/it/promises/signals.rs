//! Signals and closed outputs: what reloads, what ends, and what does neither.

mod closed;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::program::{Ran, Running, json_lines, rosey, rosey_through, write};
use crate::support::*;

/// `serve` in this directory, with this configuration file.
fn serve(dir: &Path, server: &impl Url, config: &str) -> Command {
    let urls = format!("nats-url = \"{}\"\ndatabase-url = \"sqlite://rosey.db\"\n", server.url());
    write(&dir.join("rosey.toml"), &(urls + config));
    let mut command = rosey(dir);
    command.arg("serve");
    command
}

fn change(dir: &Path, from: &str, to: &str) {
    let file = dir.join("rosey.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains(from));
    std::fs::write(file, text.replace(from, to)).unwrap();
}

#[tokio::test]
async fn sighup_applies_what_can_change_and_names_what_needs_a_restart() {
    let (server, dir) = (NatsServer::start().await, tempfile::tempdir().unwrap());
    let process = Running::start(&mut serve(dir.path(), &server, "log = \"info\"\nkeep = \"chat=1h\"\n"));
    process.says("serving").await;
    process.signal("-USR1");
    process.signal("-HUP");
    process.says("rosey.toml reloaded; no changes").await;

    change(dir.path(), "chat=1h", "chat=2h");
    change(dir.path(), "log = \"info\"", "log = \"debug\"");
    process.signal("-HUP");
    process.says("rosey.toml reloaded; applied: log; requires a restart: keep").await;
    // What is logged from debug on is logged now: that a signal has no meaning, say.
    assert!(!process.err().contains("DEBUG"));
    process.signal("-USR1");
    process.says("DEBUG").await;
    // It still needs the restart, and is still told so.
    process.signal("-HUP");
    process.says_times("requires a restart: keep", 2).await;
    process.signal("-TERM");
    assert_eq!(process.ends().await.0, Some(0));
}

#[tokio::test]
async fn a_configuration_that_is_wrong_at_sighup_is_an_error_and_the_previous_one_stays() {
    let (server, dir) = (NatsServer::start().await, tempfile::tempdir().unwrap());
    let process = Running::start(&mut serve(dir.path(), &server, "log = \"info\"\n"));
    process.says("serving").await;
    for (times, wrong) in [
        "keep = \"hunter2",
        "log-format = \"hunter2\"",
        "nats-urk = \"nats://a:hunter2@b\"",
        "log = \"a=b=c\"",
    ]
    .into_iter()
    .enumerate()
    {
        change(dir.path(), "log = \"info\"", wrong);
        process.signal("-HUP");
        process.says_times("the previous configuration stays in force", times + 1).await;
        change(dir.path(), wrong, "log = \"info\"");
    }
    process.signal("-HUP");
    process.says("reloaded; no changes").await;
    let peer = Peer::connect(&server).await;
    assert_eq!(peer.request("rosey.db.user.joined", r#"{"username":"alice"}"#).await.refusal(), None);
    process.signal("-TERM");
    let (code, _, err) = process.ends().await;
    assert!(code == Some(0) && !err.contains("hunter2"), "{err}");
}

#[tokio::test]
async fn a_configuration_file_that_is_gone_at_sighup_changes_nothing_and_is_said() {
    let (server, dir) = (NatsServer::start().await, tempfile::tempdir().unwrap());
    let process = Running::start(&mut serve(dir.path(), &server, "log = \"info\"\n"));
    process.says("serving").await;
    let (file, aside) = (dir.path().join("rosey.toml"), dir.path().join("aside.toml"));
    std::fs::rename(&file, &aside).unwrap();
    process.signal("-HUP");
    process.says("rosey.toml is not there any more; the previous configuration stays in force").await;
    // A folder, and several mistakes at once: one line each.
    std::fs::create_dir(&file).unwrap();
    process.signal("-HUP");
    process.says_times("the previous configuration stays in force", 2).await;
    std::fs::remove_dir(&file).unwrap();
    write(&file, "one = 1\ntwo = 2\n");
    process.signal("-HUP");
    process.says("2 settings are wrong: ").await;
    process
        .says("rosey.toml:2:1: two: there is no such option; the previous configuration stays in force")
        .await;
    std::fs::rename(&aside, &file).unwrap();
    process.signal("-HUP");
    process.says("rosey.toml reloaded; no changes").await;
    process.signal("-TERM");
    let (code, _, err) = process.ends().await;
    assert_eq!(code, Some(0), "{err}");
    let lines = err.lines().filter(|line| line.contains("SIGHUP: "));
    assert!(
        lines.clone().count() == 4
            && lines.clone().all(|line| line.contains("ERROR") || line.contains("INFO")),
        "{err}"
    );
}

#[tokio::test]
async fn a_limit_on_the_size_of_files_refuses_what_does_not_fit_and_ends_nothing() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let script = "ulimit -S -f 600; exec \"$0\" \"$@\"";
    let command = |name: &str| {
        let mut command = rosey_through(script, file.dir());
        command.args([name, "--database-url", &file.url()]).env("RUST_LOG", "info");
        command
    };
    let serve = Running::start(command("serve").args(["--nats-url", &server.url()]));
    serve.says("serving").await;
    let peer = Peer::connect(&server).await;
    let line = serde_json::json!({"username": "alice", "message": "m".repeat(20_000)}).to_string();
    let mut refused = None;
    for _ in 0..200 {
        refused = peer.request("rosey.db.message.log", line.clone()).await.refusal();
        if refused.is_some() {
            break;
        }
    }
    assert!(refused.is_some_and(|code| code >= 500), "{refused:?}: {}", serve.err());
    serve.says("ulimit").await;
    let notices = async || peer.request("rosey.db.ping", "{}").await.json()["notices"].to_string();
    wait_until("it is a notice", || async { notices().await.contains("nothing can be written") }).await;
    assert_eq!(peer.request("rosey.db.query.channel_stats", "{}").await.refusal(), None, "it still answers");

    // Its events go to the outbox, which is full as well at last.
    let outbox = OutboxFile::new();
    let mut bot = command("bot");
    bot.args(["--no-nats", "--chat", "jsonl:-", "--outbox"]).arg(outbox.path()).stdin(Stdio::piped());
    let mut bot = Running::start(&mut bot);
    let line = serde_json::json!({"event": "message", "user": "alice", "content": "m".repeat(20_000)});
    let input = (format!("{line}\n")).repeat(60);
    let mut stdin = bot.input();
    std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    bot.says("ulimit").await;
    assert!(bot.ended().is_none());
    serve.limit_files(None);
    wait_until("no notice is left", || async { notices().await == "[]" }).await;
    assert_eq!(peer.request("rosey.db.user.joined", r#"{"username":"bob"}"#).await.refusal(), None);
    serve.signal("-TERM");
    let (code, _, err) = serve.ends().await;
    assert_eq!(code, Some(0), "{err}");
}

#[tokio::test]
async fn a_signal_that_comes_before_the_configuration_is_read_ends_no_command_that_stays() {
    for command in ["serve", "bot", "up"] {
        let file = DbFile::new();
        let dir = file.path().parent().unwrap().to_owned();
        let config = dir.join("config");
        assert!(Command::new("mkfifo").arg(&config).status().unwrap().success());
        let mut line = rosey(&dir);
        line.args(["--config", "config", command]).stdin(Stdio::piped());
        let mut process = Running::start(&mut line);
        let chat = process.input();
        // It can be opened once the process reads: it waits for the first line of its configuration.
        let open = config.clone();
        let mut writer =
            tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(open).unwrap())
                .await
                .unwrap();
        for signal in ["-HUP", "-USR1", "-USR2", "-HUP"] {
            process.signal(signal);
        }
        let text = format!(
            "nats-url = \"nats://127.0.0.1:1\"\ndatabase-url = \"{}\"\nchat = \"jsonl:-\"\n",
            file.url()
        );
        writer.write_all(text.as_bytes()).unwrap();
        drop(writer);
        wait_until("it has read its configuration", || async { !process.err().is_empty() }).await;
        // What came meanwhile is heard: the file is read again.
        let again = tokio::task::spawn_blocking(move || std::fs::write(config, text));
        process.says("SIGHUP: config reloaded; no changes").await;
        again.await.unwrap().unwrap();
        assert!(process.runs(), "{command}: {}", process.err());
        drop(chat);
        process.signal("-TERM");
        let (code, signal, err) = process.ends().await;
        assert!(signal.is_none() && matches!(code, Some(0 | 1)), "{command}: {code:?} {signal:?} {err}");
    }
}

#[tokio::test]
async fn the_log_file_is_private_and_opened_again_after_a_rename() {
    let (server, dir) = (NatsServer::start().await, tempfile::tempdir().unwrap());
    let log = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    let process = Running::start(serve(dir.path(), &server, "").args(["--log-file", "rosey.log"]));
    wait_until("it serves", || async { log("rosey.log").contains("serving") }).await;
    let mode = std::fs::metadata(dir.path().join("rosey.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    std::fs::rename(dir.path().join("rosey.log"), dir.path().join("rosey.log.1")).unwrap();
    process.signal("-HUP");
    wait_until("a new file", || async { log("rosey.log").contains("SIGHUP") }).await;
    // Also when the configuration is wrong: after logrotate the old file is about to be compressed.
    std::fs::rename(dir.path().join("rosey.log"), dir.path().join("rosey.log.2")).unwrap();
    write(&dir.path().join("rosey.toml"), "keep = ");
    process.signal("-HUP");
    wait_until("a new file", || async { log("rosey.log").contains("stays in force") }).await;
    process.signal("-TERM");
    let (code, _, err) = process.ends().await;
    assert_eq!(code, Some(0), "{err}");
    assert!(log("rosey.log").contains("stopped: "), "{}", log("rosey.log"));
    assert!(!err.contains("serving"), "{err}");
}

#[tokio::test]
async fn a_log_file_that_is_no_file_is_refused_and_one_that_cannot_be_written_loses_no_line() {
    let file = DbFile::new();
    let dir = file.path().parent().unwrap().to_owned();
    assert!(Command::new("mkfifo").arg(dir.join("pipe")).status().unwrap().success());
    std::fs::create_dir(dir.join("folder")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.join("socket")).unwrap();
    for (name, says) in [
        ("pipe", "that is a named pipe"),
        ("folder", "that is a folder"),
        ("socket", "that is a socket"),
        ("no/such/log", "there is no folder no/such"),
        ("pipe/log", "Not a directory"),
    ] {
        let mut process = Running::start(rosey(&dir).args([
            "stats",
            "--log-file",
            name,
            "--nats-url",
            "nats://127.0.0.1:1",
        ]));
        wait_until("it ends", || {
            let runs = process.runs();
            async move { !runs }
        })
        .await;
        let (code, _, err) = process.ends().await;
        assert!(
            code == Some(2) && err.contains(&format!("the log file {name}: ")) && err.contains(says),
            "{name}: {err}"
        );
    }
    for (format, first) in [("text", "rosey: the log file /dev/full cannot be written: "), ("json", "{")] {
        let chat =
            ["bot", "--chat", "jsonl:-", "--no-nats", "--outbox", "off", "--database-url", &file.url()];
        let ran = Ran::of(rosey(&dir).args(chat).args(["--log-file", "/dev/full", "--log-format", format]));
        assert_eq!(ran.code, Some(0), "{}", ran.all());
        assert!(ran.err.starts_with(first) && ran.err.contains("[DB] is serving"), "{}", ran.err);
        assert_eq!(ran.err.matches("cannot be written").count(), 1, "{}", ran.err);
        if format == "json" {
            json_lines(&ran.err);
        }
    }
    // A device is an honest place for it.
    let ran = Ran::of(rosey(&dir).args(["config", "serve", "--log-file", "/dev/null"]));
    assert_eq!(ran.code, Some(0), "{}", ran.all());
}

#[tokio::test]
async fn no_signal_but_those_that_end_it_ends_a_service_at_any_time() {
    let (mut server, file) = (NatsServer::down(), DbFile::new());
    let dir = file.path().parent().unwrap().to_owned();
    let harmless = ["-HUP", "-USR1", "-USR2", "-HUP", "-HUP"];
    // While it waits for its server, with the end right behind.
    let process = Running::start(&mut serve(&dir, &server, ""));
    process.says("no NATS server answers").await;
    harmless.iter().for_each(|signal| process.signal(signal));
    process.signal("-TERM");
    let (code, _, err) = process.ends().await;
    assert!(code == Some(0) && err.contains("stopped: 0 requests served, 0 lost"), "{err}");

    // While it serves, and while it drains: what was taken waits for a lock.
    server.restart().await;
    let process = Running::start(&mut serve(&dir, &server, ""));
    process.says("serving").await;
    harmless.iter().for_each(|signal| process.signal(signal));
    process.says("SIGHUP").await;
    let held = file.hold().await;
    let peer = Peer::connect(&server).await;
    peer.publish("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    peer.flush().await;
    process.says("the database fails").await;
    process.signal("-TERM");
    process.says("shutting down").await;
    harmless.iter().for_each(|signal| process.signal(signal));
    held.release().await;
    let (code, signal, err) = process.ends().await;
    assert_eq!((code, signal), (Some(0), None), "{err}");
    assert_eq!(file.number("SELECT count(*) FROM presence").await, 1, "{err}");
}

#[tokio::test]
async fn sighup_ends_neither_a_bot_nor_both_in_one() {
    for command in ["bot", "up"] {
        let file = DbFile::new();
        let mut process = Running::start(
            rosey(file.path().parent().unwrap())
                .args([
                    command,
                    "--chat",
                    "jsonl:-",
                    "--no-nats",
                    "--outbox",
                    "off",
                    "--database-url",
                    &file.url(),
                ])
                .stdin(Stdio::piped()),
        );
        let mut chat = process.input();
        writeln!(chat, r#"{{"event":"message","user":"alice","content":"one"}}"#).unwrap();
        wait_until("it works", || async {
            file.path().exists() && std::fs::metadata(file.path()).unwrap().len() > 0
        })
        .await;
        process.signal("-HUP");
        process.says("SIGHUP: no configuration file; no changes").await;
        process.signal("-HUP");
        process.says_times("SIGHUP", 2).await;
        assert!(process.runs());
        writeln!(chat, r#"{{"event":"message","user":"alice","content":"two"}}"#).unwrap();
        drop(chat);
        let (code, _, err) = process.ends().await;
        assert_eq!(code, Some(0), "{err}");
        assert_eq!(file.number("SELECT count(*) FROM recent_chat").await, 2, "{err}");
    }
}
