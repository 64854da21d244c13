//! The program as its operator meets it: exit codes, what it says, what it leaves behind.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use support::*;

/// A port on which nobody listens.
const NOWHERE: &str = "nats://127.0.0.1:1";

fn rosey(file: &DbFile) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rosey"));
    command.current_dir(file.path().parent().unwrap()).env_remove("NATS_URL").env_remove("DATABASE_URL");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
}

#[test]
fn the_exit_code_says_what_became_of_an_operation() {
    let file = DbFile::new();
    let url = file.url();
    let db = ["--nats-url", NOWHERE, "--database-url", &url];
    let (code, text) = run(rosey(&file).args(["send", "user_joined", r#"{"username":"alice"}"#]).args(db));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("{}\nvia=db ack=committed time="), "{text}");
    for (arguments, expected) in [
        (["send", "user_joined", r#"{"username":""}"#], 3),
        (["send", "no_such_thing", "{}"], 2),
        (["send", "user_joined", "[1]"], 3),
    ] {
        let (code, text) = run(rosey(&file).args(arguments).args(db));
        assert_eq!(code, Some(expected), "{arguments:?}: {text}");
    }
    let unserved =
        rosey(&file).args(["send", "user_left", r#"{"username":"alice"}"#, "--nats-url", NOWHERE]).output();
    assert_eq!(unserved.unwrap().status.code(), Some(4), "no database was named, and none is touched");
}

#[test]
fn a_question_creates_no_database_and_an_end_leaves_one_file() {
    let file = DbFile::new();
    let names = || {
        let dir = std::fs::read_dir(file.path().parent().unwrap()).unwrap();
        dir.map(|f| f.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let url = file.url();
    let (code, text) = run(rosey(&file).args(["stats", "--no-nats", "--database-url", &url]));
    assert_eq!(code, Some(2), "{text}");
    assert_eq!(names(), Vec::<String>::new());
    let (code, text) = run(rosey(&file).args(["tell", "alice", "hi", "--no-nats", "--database-url", &url]));
    assert_eq!(code, Some(0), "{text}");
    assert!(!names().iter().any(|name| name.ends_with("-wal")), "{:?}", names());
}

#[test]
fn option_environment_and_file_come_in_this_order_and_no_password_is_shown() {
    let file = DbFile::new();
    let config = file.path().with_file_name("rosey.toml");
    std::fs::write(&config, "nats-url = \"nats://me:secret@filehost\"\n").unwrap();
    let help = |command: &mut Command| run(command.args(["serve", "--help"])).1;
    assert!(!help(&mut rosey(&file)).contains("secret"));
    std::fs::write(&config, "nats-url = \"nats://filehost\"\n").unwrap();
    assert!(help(&mut rosey(&file)).contains("nats://filehost"));
    assert!(help(rosey(&file).env("NATS_URL", "nats://envhost")).contains("nats://envhost"));
    std::fs::write(&config, "nats-urk = \"x\"\n").unwrap();
    let (code, text) = run(rosey(&file).args(["stats"]));
    assert_eq!(code, Some(2));
    assert!(text.contains("nats-urk: there is no such option"), "{text}");
}

#[tokio::test]
async fn a_bot_that_knows_no_database_and_has_no_outbox_reads_nothing_until_there_is_a_path() {
    let (mut server, file) = (NatsServer::down(), DbFile::new());
    let mut bot = rosey(&file)
        .args(["bot", "--chat", "jsonl:-", "--outbox", "off", "--nats-url", &server.url()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    bot.stdin.take().unwrap().write_all(b"{\"event\":\"user_join\",\"user\":\"alice\"}\n").unwrap();
    server.restart().await;
    let _service = ServeProcess::start(&server, &file).await;
    let output = tokio::task::spawn_blocking(|| bot.wait_with_output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(file.number("SELECT count(*) FROM presence").await, 1);
}

#[tokio::test]
async fn a_wrong_password_is_said_and_not_taken_for_a_server_that_is_not_there() {
    let server = NatsServer::with_config("authorization { user: u, password: right }").await;
    let file = DbFile::new();
    let url = server.url().replace("nats://", "nats://u:wrong@");
    let arguments = ["send", "user_joined", r#"{"username":"alice"}"#, "--nats-url", &url];
    let (code, text) = run(rosey(&file).args(arguments));
    assert_eq!(code, Some(4));
    assert!(text.contains("refuses our user or password") && !text.contains("wrong@"), "{text}");
}
