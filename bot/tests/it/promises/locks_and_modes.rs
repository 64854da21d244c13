//! Who may read what the program writes, and what another program can do with its locks: make it say so, and no more.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::program::{outcome, rosey, rosey_through};
use crate::support::*;

const LINE: [&str; 3] = ["send", "message_log", r#"{"username":"alice","message":"hello"}"#];

fn beside(path: &Path, end: &str) -> PathBuf {
    PathBuf::from(format!("{}{end}", path.display()))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).mode() & 0o777
}

/// Takes a lock as another program would, until it is dropped.
fn take(path: &Path) -> File {
    let file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
    file.try_lock().unwrap();
    file
}

#[tokio::test]
async fn a_lock_that_another_program_keeps_is_waited_for_with_a_limit_and_named() {
    let file = DbFile::new();
    let (url, lock) = (file.url(), beside(&file.path(), ".lock"));
    assert_eq!(outcome(rosey(file.dir()).args(LINE).args(["--no-nats", "--database-url", &url])).0, Some(0));
    let (_held, holder) = (take(&lock), format!("process {}", std::process::id()));
    let outbox = file.path().with_extension("outbox").display().to_string();
    let commands: [&[&str]; 5] = [
        &["serve", "--nats-url", NOWHERE],
        &["bot", "--nats-url", NOWHERE, "--chat", "jsonl:-", "--outbox", &outbox],
        &["up", "--nats-url", NOWHERE, "--chat", "jsonl:-", "--outbox", "off"],
        &["stats", "--nats-url", NOWHERE],
        &["tell", "bob", "hello", "--nats-url", NOWHERE],
    ];
    // What only reads needs no lock.
    assert_eq!(outcome(rosey(file.dir()).args(["verify", "--database-url", &url])).0, Some(0));
    let since = Instant::now();
    let running = commands.map(|arguments| {
        let mut command = rosey(file.dir());
        (arguments, command.args(arguments).args(["--database-url", &url]).spawn().unwrap())
    });
    for (arguments, child) in running {
        let Output { status, stderr, .. } = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(4), "{arguments:?}: {text}");
        assert!(
            text.contains(&lock.display().to_string()) && text.contains("end it"),
            "{arguments:?}: {text}"
        );
        assert!(text.contains(&holder), "the process that has it is named, {arguments:?}: {text}");
    }
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
}

#[tokio::test]
async fn what_goes_over_nats_needs_no_lock_of_the_database() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let _serve = ServeProcess::start(&server, &file).await;
    let _held = take(&beside(&file.path(), ".lock"));
    let (nats, url) = (server.url(), file.url());
    for arguments in [&LINE[..], &["stats"], &["recent"], &["tell", "bob", "hello"]] {
        // With the database named, and with the usual one, which lies here.
        for database in [&["--database-url", &url][..], &[]] {
            let (code, text) =
                outcome(rosey(file.dir()).args(arguments).args(["--nats-url", &nats]).args(database));
            assert_eq!(code, Some(0), "{arguments:?}: {text}");
            assert!(!text.contains("lock"), "{arguments:?}: {text}");
        }
    }
}

#[tokio::test]
async fn a_hint_that_another_program_keeps_stops_no_writer() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let _serve = ServeProcess::start(&server, &file).await;
    let _held = take(&beside(&file.path(), ".turn"));
    let (peer, db) = (Peer::connect(&server).await, file.url());
    for n in 0..200 {
        let line = format!(r#"{{"username":"alice","message":"line {n}"}}"#);
        assert_eq!(peer.request("rosey.db.message.log", line).await.refusal(), None);
    }
    let (code, text) = outcome(rosey(file.dir()).args(LINE).args(["--no-nats", "--database-url", &db]));
    assert!(code == Some(0) && text.contains("via=db"), "{text}");
    assert_eq!(file.number("SELECT count(*) FROM recent_chat").await, 201);
}

#[test]
fn a_lock_that_is_no_file_is_refused_at_once() {
    let file = DbFile::new();
    let lock = beside(&file.path(), ".lock");
    assert!(Command::new("mkfifo").arg(&lock).status().unwrap().success());
    let (code, text) =
        outcome(rosey(file.dir()).args(LINE).args(["--no-nats", "--database-url", &file.url()]));
    assert_ne!(code, Some(0), "{text}");
    assert!(text.contains(&lock.display().to_string()) && text.contains("no ordinary file"), "{text}");
}

/// A bot with everything that it writes to: database, outbox, report, timeline. Answers their modes while it runs, and what
/// it said.
async fn modes(file: &DbFile, umask: &str, options: &[&str]) -> (Vec<(String, u32)>, String) {
    let _ = fs::remove_file(file.dir().join("rosey.log"));
    let mut bot = rosey_through(&format!("umask {umask}; exec \"$0\" \"$@\""), file.dir())
        .args(["--log", "info", "--log-file", "rosey.log"])
        .args(["bot", "--no-nats", "--database-url", &file.url(), "--chat", "jsonl:-", "--outbox", "box"])
        .args(["--report", "report.json", "--timeline", "timeline.jsonl"])
        .args(options)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let folder = file.path().parent().unwrap().to_owned();
    let names = [
        "rosey.db",
        "rosey.db-wal",
        "rosey.db-shm",
        "rosey.db.lock",
        "rosey.db.turn",
        "box",
        "box-wal",
        "box.lock",
    ];
    wait_until("all files are there", || async {
        names.iter().chain(&["timeline.jsonl"]).all(|name| folder.join(name).exists())
    })
    .await;
    let mut found: Vec<_> = names.iter().map(|name| ((*name).to_owned(), mode(&folder.join(name)))).collect();
    writeln!(bot.stdin.take().unwrap(), r#"{{"event":"message","user":"alice","content":"hello"}}"#).unwrap();
    let output = bot.wait_with_output().unwrap();
    let said = fs::read_to_string(folder.join("rosey.log")).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(mode(&folder.join("rosey.log")), 0o600, "the log is for its owner alone in any case");
    found.extend(["report.json", "timeline.jsonl"].map(|name| (name.to_owned(), mode(&folder.join(name)))));
    (found, said)
}

#[tokio::test]
async fn what_is_created_is_for_its_owner_alone_unless_something_else_is_said() {
    for umask in ["000", "022", "077"] {
        let file = DbFile::new();
        let (found, said) = modes(&file, umask, &[]).await;
        assert!(found.iter().all(|(_, mode)| *mode == 0o600), "umask {umask}: {found:?}");
        assert!(!said.contains("other users may read"), "{said}");

        let file = DbFile::new();
        let (found, _) = modes(&file, umask, &["--file-mode", "0660"]).await;
        assert!(found.iter().all(|(_, mode)| *mode == 0o660), "umask {umask}: {found:?}");

        let file = DbFile::new();
        fs::write(file.path().with_file_name("rosey.toml"), "file-mode = \"0640\"\n").unwrap();
        let (found, _) = modes(&file, umask, &[]).await;
        assert!(found.iter().all(|(_, mode)| *mode == 0o640), "umask {umask}: {found:?}");
    }

    let file = DbFile::new();
    for wrong in ["0400", "600x", "1600", "888", "0777"] {
        let (code, text) = outcome(rosey(file.dir()).args(LINE).args(["--no-nats", "--file-mode", wrong]));
        assert!(code == Some(2) && text.contains("octal"), "{wrong}: {text}");
    }
}

#[tokio::test]
async fn a_file_that_others_may_read_keeps_its_mode_and_is_said_once() {
    let file = DbFile::new();
    modes(&file, "022", &[]).await;
    fs::set_permissions(file.path(), PermissionsExt::from_mode(0o644)).unwrap();
    let (found, said) = modes(&file, "022", &[]).await;
    assert_eq!(found[0].1, 0o644);
    let warnings = said.lines().filter(|line| line.contains("other users may read"));
    assert_eq!(warnings.count(), 1, "{said}");
    assert!(said.contains("chmod 0600"), "{said}");
    let (_, said) = modes(&file, "022", &["--file-mode", "0644"]).await;
    assert!(!said.contains("other users may read"), "that is meant: {said}");
}

#[tokio::test]
async fn a_file_that_is_taken_over_is_private_from_then_on_and_that_is_said_once() {
    let file = DbFile::new();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file.path()).create_if_missing(true);
    let mut python = <sqlx::SqliteConnection as sqlx::Connection>::connect_with(&options).await.unwrap();
    let tables = include_str!("../python_files/h.sql").replace("NOW", "1790000000");
    sqlx::raw_sql(sqlx::AssertSqlSafe(tables)).execute(&mut python).await.unwrap();
    sqlx::Connection::close(python).await.unwrap();
    fs::set_permissions(file.path(), PermissionsExt::from_mode(0o644)).unwrap();
    let (found, said) = modes(&file, "022", &[]).await;
    assert!(found.iter().all(|(_, mode)| *mode == 0o600), "{found:?}");
    assert_eq!(said.matches("its mode was 0644").count(), 1, "{said}");
    let (_, said) = modes(&file, "022", &[]).await;
    assert!(!said.contains("other users may read") && !said.contains("its mode was"), "{said}");
}

#[test]
fn a_pipe_without_another_end_is_not_waited_for() {
    let file = DbFile::new();
    let url = file.url();
    let pipe = file.dir().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let run = |arguments: &[&str]| {
        // The limit is there for a program that waits.
        let mut command = rosey_through("exec timeout 30 \"$0\" \"$@\"", file.dir());
        let (code, text) = outcome(command.args(arguments));
        assert!(code.is_some_and(|code| code > 0 && code < 124), "{arguments:?}: {code:?}: {text}");
        assert!(text.contains("pipe"), "it names the file: {arguments:?}: {text}");
    };
    let database = ["--database-url", &url];
    run(&[&LINE[..], &["--nats-url", NOWHERE, "--nats-credentials", "pipe"], &database].concat());
    run(&["outbox", "list", "--outbox", "pipe"]);
    run(&[&["bot", "--no-nats", "--chat", "jsonl:-", "--outbox", "pipe"], &database[..]].concat());
    for option in ["--report", "--timeline"] {
        run(&[&["bot", "--no-nats", "--chat", "jsonl:-", "--outbox", "off", option, "pipe"], &database[..]]
            .concat());
    }
    fs::rename(&pipe, file.dir().join("box-wal")).unwrap();
    fs::write(file.dir().join("box"), "").unwrap();
    let (code, text) = outcome(rosey(file.dir()).args(["outbox", "list", "--outbox", "box"]));
    assert!(code.is_some_and(|code| code > 0), "{text}");

    // With a reader, it is as good as a file.
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut reader = File::options().read(true).write(true).open(&pipe).unwrap();
    let mut bot = rosey(file.dir());
    bot.args(["bot", "--no-nats", "--chat", "jsonl:-", "--outbox", "off", "--report", "pipe"]);
    assert_eq!(outcome(bot.args(database)).0, Some(0));
    let mut bytes = [0; 4096];
    let read = reader.read(&mut bytes).unwrap();
    assert!(String::from_utf8_lossy(&bytes[..read]).contains("summary"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_timeline_that_cannot_be_written_is_a_failure() {
    let file = DbFile::new();
    let mut bot = rosey(file.dir());
    bot.args(["bot", "--no-nats", "--chat", "jsonl:-", "--outbox", "off", "--database-url", &file.url()]);
    let mut bot = bot.args(["--timeline", "/dev/full"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = bot.stdin.take().unwrap();
    writeln!(stdin, r#"{{"event":"message","user":"alice","content":"hello"}}"#).unwrap();
    drop(stdin);
    let output = bot.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && text.contains("timeline"), "{text}");
}
