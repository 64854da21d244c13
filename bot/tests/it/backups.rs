//! `rosey backup` and `rosey restore`: what a backup holds, and what a restore leaves.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::program::{Ran, finished, json_lines, rosey};
use crate::support::*;
use eitherway_testkit::Peer;

/// Runs it on the database of a test, in the directory of that.
async fn ran(file: &DbFile, arguments: &[&str]) -> Ran {
    let url = file.url();
    finished(rosey(file.dir()).args(arguments).args(["--database-url", &url])).await
}

async fn backed_up(file: &DbFile, name: &str) -> Value {
    let Ran { code, out, err } = ran(file, &["backup", name, "--json"]).await;
    assert_eq!(code, Some(0), "{err}");
    json_lines(&out).remove(0)
}

/// One that does not ask over NATS.
async fn restored(file: &DbFile, name: &str) -> Ran {
    ran(file, &["restore", name, "--no-nats", "--json"]).await
}

/// A database in which these users have joined.
async fn with_users(count: u64) -> DbFile {
    let file = DbFile::new();
    joined(&file, 0, count).await;
    file
}

async fn joined(file: &DbFile, first: u64, count: u64) {
    let store = file.open().await;
    let db = eitherway::Db::new(store.clone());
    for n in first..first + count {
        db.user_joined(format!("user{n}")).await.unwrap();
    }
    store.close().await;
}

async fn users(file: &DbFile) -> i64 {
    file.number("SELECT count(*) FROM user_stats").await
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .unwrap()
        .map(|found| found.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn copy_of(file: &DbFile, name: &str) -> PathBuf {
    file.dir().join(name)
}

#[tokio::test]
async fn a_backup_is_one_whole_verified_file_of_its_owner() {
    let file = with_users(5).await;
    let told = backed_up(&file, "copy.db").await;
    assert_eq!((&told["operations"], &told["file"]), (&5.into(), &"copy.db".into()), "{told}");
    assert!(told["compared"].as_u64().unwrap() > 0, "{told}");
    let mode = std::fs::metadata(copy_of(&file, "copy.db")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "what was said in private is in it");
    assert!(
        !names(file.dir()).iter().any(|name| name.contains("copy.db") && name != "copy.db"),
        "{:?}",
        names(file.dir())
    );
    let copy = copy_of(&file, "copy.db").display().to_string();
    let Ran { code, out, .. } = run(&["verify", "--database-url", &copy]).await;
    assert!(code == Some(0) && out.contains("clean"), "{out}");
}

#[tokio::test]
async fn a_backup_under_load_is_a_state_that_was_and_keeps_no_writer_waiting() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start(&server, &file).await;
    let nats = recognised(&server).await;
    let mut load = Load::start(&stack(&nats, &file).await, 16);
    load.served_by_nats(300).await;
    let before = file.applied().await;
    let mut last = before;
    for n in 0..3 {
        let told = backed_up(&file, &format!("copy{n}.db")).await;
        let held = told["operations"].as_u64().unwrap();
        assert!(held >= last && held <= file.applied().await, "{held} of {last}");
        last = held;
    }
    load.served_by_nats(300).await;
    let sent = load.all_served().await;
    assert!(last > before, "operations went on between the backups");
    assert_eq!(service.terminate().await, Some(0));
    assert_exactly_once(&file, sent).await;
}

#[tokio::test]
async fn a_file_that_is_there_is_not_overwritten_and_a_failure_leaves_none() {
    let file = with_users(1).await;
    std::fs::write(copy_of(&file, "copy.db"), "notes").unwrap();
    let Ran { code, err, .. } = ran(&file, &["backup", "copy.db"]).await;
    assert!(code == Some(2) && err.contains("there already"), "{code:?}: {err}");
    assert_eq!(std::fs::read_to_string(copy_of(&file, "copy.db")).unwrap(), "notes");
    let before = names(file.dir());
    let Ran { code, err, .. } = ran(&file, &["backup", "no/such/folder/copy.db"]).await;
    assert!(code == Some(1) && err.contains("no/such/folder"), "{code:?}: {err}");
    file.execute("UPDATE user_stats SET total_chat_lines = total_chat_lines + 7").await;
    let Ran { code, err, .. } = ran(&file, &["backup", "unclean.db"]).await;
    assert!(code == Some(1) && err.contains("rosey verify"), "{code:?}: {err}");
    assert_eq!(names(file.dir()), before, "nothing is left");
}

#[tokio::test]
async fn a_restore_brings_back_what_the_backup_holds_and_keeps_what_stood_there() {
    let file = with_users(3).await;
    backed_up(&file, "copy.db").await;
    joined(&file, 3, 4).await;
    assert_eq!(users(&file).await, 7);
    let Ran { code, out, err } = restored(&file, "copy.db").await;
    assert_eq!(code, Some(0), "{err}");
    let told = json_lines(&out).remove(0);
    assert_eq!((&told["operations"], &told["newer"]), (&3.into(), &4.into()), "{told}");
    assert_eq!(users(&file).await, 3);
    file.assert_verified().await;
    // And back again.
    let before = told["before"].as_str().unwrap().to_owned();
    let Ran { code, err, .. } = restored(&file, &before).await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(users(&file).await, 7);
    assert!(copy_of(&file, "copy.db").is_file(), "a backup stays");
    // What is known again takes effect once.
    joined(&file, 0, 7).await;
    file.assert_verified().await;
}

#[tokio::test]
async fn nothing_is_restored_under_a_program_that_has_the_database_open() {
    let (server, file) = (NatsServer::start().await, with_users(2).await);
    backed_up(&file, "copy.db").await;
    joined(&file, 2, 1).await;
    let service = ServeProcess::start(&server, &file).await;
    // By the file, without asking over NATS.
    let Ran { code, err, .. } = restored(&file, "copy.db").await;
    assert_eq!(code, Some(5), "{err}");
    assert!(err.contains(&format!("process {}", service.id())), "it is named: {err}");
    // By NATS, wherever it runs: another file is named here.
    let elsewhere = DbFile::new();
    let copy = copy_of(&file, "copy.db").display().to_string();
    let Ran { code, err, .. } = ran(&elsewhere, &["restore", &copy, "--nats-url", &server.url()]).await;
    assert!(code == Some(5) && err.contains("answers on NATS"), "{code:?}: {err}");
    assert!(!elsewhere.path().exists());
    let peer = Peer::connect(&server).await;
    assert!(
        peer.request("rosey.db.user.joined", r#"{"username":"alice"}"#).await.refusal().is_none(),
        "it serves"
    );
    assert_eq!(service.terminate().await, Some(0));
    assert_eq!(restored(&file, "copy.db").await.code, Some(0), "when it has ended");
    assert_eq!(users(&file).await, 2);
}

#[tokio::test]
async fn a_damaged_or_missing_database_is_restored_and_no_old_log_is_read_into_the_backup() {
    let file = with_users(3).await;
    backed_up(&file, "copy.db").await;
    // A log with more in it, of a process that was killed.
    joined(&file, 3, 1).await;
    let wal = file.path().with_extension("db-wal");
    let service = file.open().await;
    eitherway::Db::new(service.clone()).user_joined("late".to_owned()).await.unwrap();
    let log = std::fs::read(&wal).unwrap_or_default();
    service.close().await;
    assert!(!log.is_empty(), "what was new was in the log {}", wal.display());
    std::fs::write(
        file.path(),
        "this is no database any more, but a long enough text to be one: ".repeat(100),
    )
    .unwrap();
    std::fs::write(&wal, &log).unwrap();
    let Ran { code, err, .. } = restored(&file, "copy.db").await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(users(&file).await, 3);
    std::fs::remove_file(file.path()).unwrap();
    std::fs::write(&wal, &log).unwrap();
    let Ran { code, err, .. } = restored(&file, "copy.db").await;
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(users(&file).await, 3);
    file.assert_verified().await;
}

#[tokio::test]
async fn what_is_no_backup_of_this_database_is_not_put_in_its_place() {
    let (file, other) = (with_users(2).await, with_users(1).await);
    backed_up(&other, "copy.db").await;
    let foreign = copy_of(&other, "copy.db").display().to_string();
    let Ran { code, err, .. } = restored(&file, &foreign).await;
    assert!(code == Some(5) && err.contains("another database"), "{code:?}: {err}");
    std::fs::write(copy_of(&file, "notes.db"), "no database").unwrap();
    let Ran { code, err, .. } = restored(&file, "notes.db").await;
    assert_eq!(code, Some(4), "{err}");
    let Ran { code, err, .. } = restored(&file, "nothing.db").await;
    assert!(code == Some(2) && err.contains("no such database"), "{code:?}: {err}");
    let itself = file.path().display().to_string();
    let Ran { code, err, .. } = restored(&file, &itself).await;
    assert!(code == Some(2) && err.contains("itself"), "{code:?}: {err}");
    assert_eq!(users(&file).await, 2);
}

/// Only root may give a file away; for any other user the file belongs to that user before and after.
#[tokio::test]
async fn a_restored_database_belongs_to_the_user_and_group_of_the_file_that_it_replaces() {
    let file = with_users(1).await;
    backed_up(&file, "copy.db").await;
    let _ = chown(file.path(), Some(4_321), Some(4_322));
    let owners = || std::fs::metadata(file.path()).map(|file| (file.uid(), file.gid())).unwrap();
    let before = owners();
    let Ran { code, err, .. } = restored(&file, "copy.db").await;
    assert_eq!((code, owners()), (Some(0), before), "{err}");
}

#[tokio::test]
async fn an_operator_is_told_what_to_do_about_the_stream() {
    let file = with_users(1).await;
    backed_up(&file, "copy.db").await;
    let Ran { code, out, err } = ran(&file, &["restore", "copy.db", "--no-nats"]).await;
    assert_eq!(code, Some(0), "{err}");
    for said in ["is restored", "before-", "two minutes", "start the service"] {
        assert!(out.contains(said), "{said:?} is not in\n{out}");
    }
}

#[tokio::test]
async fn for_a_server_its_own_tools_are_named() {
    let arguments = ["backup", "copy.dump", "--database-url", "postgres://rosey@127.0.0.1:1/rosey"];
    let Ran { code, err, .. } = run(&arguments).await;
    assert!(code == Some(2) && err.contains("pg_dump"), "{code:?}: {err}");
}

/// What takes the newest changes of schema back: the file is as a program of before has left it.
const TAKE_BACK: &str = "
    DROP TRIGGER user_is_no_key; DROP TRIGGER presence_is_of_no_key; DROP TRIGGER presence_inserted; DROP TRIGGER server_spoke;
    DROP VIEW user_stats_now; DROP TABLE derived; DROP INDEX user_actions_person;
    ALTER TABLE user_stats DROP COLUMN named; ALTER TABLE speakers DROP COLUMN named; ALTER TABLE lines_waiting DROP COLUMN name;
    ALTER TABLE presence DROP COLUMN name; ALTER TABLE recent_chat DROP COLUMN person; ALTER TABLE user_actions DROP COLUMN person;
    ALTER TABLE outbound_messages DROP COLUMN name; ALTER TABLE outbound_messages DROP COLUMN sender_name;
    ALTER TABLE channel_quotes DROP COLUMN name; ALTER TABLE channel_quotes DROP COLUMN added_by_name;
    CREATE TRIGGER presence_inserted AFTER INSERT ON presence BEGIN SELECT 1; END;
    CREATE TRIGGER server_spoke AFTER INSERT ON recent_chat BEGIN SELECT 1; END;
    CREATE VIEW user_stats_now AS SELECT 1;
    DROP TABLE leases; DROP TABLE forgotten; DROP TABLE forgotten_events;
    DROP INDEX outbound_username; DROP INDEX outbound_left_by;
    DROP INDEX channel_quotes_username; DROP INDEX channel_quotes_added_by;
    ALTER TABLE user_actions DROP COLUMN at;
    DELETE FROM _sqlx_migrations WHERE version >= 18";

const SCHEMA: &str = "SELECT max(version) FROM _sqlx_migrations";

#[tokio::test]
async fn a_database_of_an_older_schema_is_copied_as_it_is_and_restored_to_the_schema_of_this_program() {
    let file = with_users(3).await;
    let newest = file.number(SCHEMA).await;
    file.execute(TAKE_BACK).await;
    let older = file.number(SCHEMA).await;
    assert!(older < newest);
    let report = finished(rosey(file.dir()).args(["doctor", "--database-url", &file.url()])).await;
    assert!(report.out.contains("`rosey backup` it first"), "{}", report.all());
    let told = backed_up(&file, "copy.db").await;
    assert_eq!((&told["operations"], &told["older"]), (&3.into(), &true.into()), "{told}");
    assert_eq!(file.number(SCHEMA).await, older, "a backup changes nothing");
    let copy = DbFile::new();
    std::fs::copy(copy_of(&file, "copy.db"), copy.path()).unwrap();
    assert_eq!(copy.number(SCHEMA).await, older, "a program of before can go back to it");
    joined(&file, 3, 2).await;
    assert_eq!((users(&file).await, file.number(SCHEMA).await), (5, newest));
    let Ran { code, out, err } = restored(&file, "copy.db").await;
    assert_eq!(code, Some(0), "{err}");
    let told = json_lines(&out).remove(0);
    assert_eq!((&told["newer"], &told["older"]), (&2.into(), &false.into()), "{told}");
    assert_eq!((users(&file).await, file.number(SCHEMA).await), (3, newest));
    file.assert_verified().await;
}

#[tokio::test]
async fn a_database_that_is_newer_is_told_with_the_way_back() {
    let file = with_users(1).await;
    file.execute("INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'newer', 1, x'', 0)").await;
    for command in [&["serve"][..], &["backup", "copy.db"], &["verify"]] {
        let Ran { code, err, .. } = ran(&file, command).await;
        assert!(code == Some(5) && err.contains("`rosey restore`"), "{command:?}: {code:?}: {err}");
    }
}
