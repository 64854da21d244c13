//! `rosey doctor`: what it finds wrong, and that it changes nothing.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use crate::promises::permissions::server;
use crate::support::program::{Ran, finished, json_lines, rosey, write};
use crate::support::*;

/// What it says of each thing that it looks at.
struct Report(Value);

impl Report {
    async fn of(command: &mut Command) -> (Self, Option<i32>) {
        let Ran { code, out, err } = finished(command.args(["doctor", "--json"])).await;
        assert!(matches!(code, Some(0 | 1)), "{code:?}: {out}{err}");
        let report = Self(json_lines(&out).remove(0));
        assert_eq!(code == Some(0), report.0["failures"] == 0, "{}", report.0);
        (report, code)
    }

    fn finding(&self, name: &str) -> &Value {
        let found = self.0["findings"].as_array().unwrap().iter().find(|finding| finding["name"] == name);
        found.unwrap_or_else(|| panic!("nothing is said of {name}: {:#}", self.0))
    }

    /// What is said, and what is advised, of something in this state.
    fn says(&self, name: &str, state: &str) -> String {
        let finding = self.finding(name);
        assert_eq!(finding["state"], state, "{:#}", self.0);
        assert_eq!(finding["advice"].is_string(), state != "ok", "what is wrong has an advice: {finding:#}");
        format!("{} {}", finding["said"], finding["advice"])
    }
}

/// In the directory of a file, about that.
fn doctor(file: &DbFile, server: &str) -> Command {
    let mut command = rosey(file.dir());
    command.env("ROSEY_DATABASE_URL", file.url()).env("ROSEY_NATS_URL", server);
    command
}

#[tokio::test]
async fn where_everything_is_as_it_should_be_nothing_is_wrong_and_nothing_is_changed() {
    let (dir, file) = (tempfile::tempdir().unwrap(), DbFile::new());
    let server = NatsServer::with_jetstream(dir.path()).await;
    let service = ServeProcess::start(&server, &file).await;
    let nats = recognised(&server).await;
    nats_only(&nats).user_joined("alice".to_owned()).await.unwrap();
    wait_until("it is applied", || async { file.applied().await == 1 }).await;
    let before = std::fs::read_dir(file.dir()).unwrap().count();
    let (report, code) = Report::of(&mut doctor(&file, &server.url())).await;
    assert_eq!(code, Some(0), "{:#}", report.0);
    for name in
        ["program", "nats", "service subjects", "client subjects", "service", "jetstream", "stream", "clock"]
    {
        report.says(name, "ok");
    }
    for name in ["database", "dead letters", "database mode", "database disk", "open files"] {
        report.says(name, "ok");
    }
    assert!(report.says("database", "ok").contains("the ids of 1 operation"), "{:#}", report.0);
    assert_eq!(std::fs::read_dir(file.dir()).unwrap().count(), before, "it makes no file");
    assert_eq!((file.applied().await, file.dead_letters().await), (1, 0), "it does no operation");
    service.terminate_and_log().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_and_a_password_that_is_wrong_are_told_as_such_and_without_it() {
    let file = DbFile::new();
    let (report, code) = Report::of(&mut doctor(&file, NOWHERE)).await;
    assert_eq!(code, Some(1));
    report.says("nats", "failure");
    let server = NatsServer::with_config("authorization { user: me, password: right-one }").await;
    let with_password = server.url().replace("nats://", "nats://me:wrong-one@");
    let (report, _) = Report::of(&mut doctor(&file, &with_password)).await;
    let said = report.says("nats", "failure");
    assert!(said.to_lowercase().contains("authorization"), "{said}");
    assert!(!report.0.to_string().contains("wrong-one"), "{:#}", report.0);
}

#[tokio::test]
async fn each_permission_that_is_missing_is_named() {
    let file = DbFile::new();
    let server = NatsServer::with_config(
        r#"authorization { users: [ { user: me, password: secret99, permissions: {
             publish: { deny: ["rosey.db.query.user_stats"] }
             subscribe: { deny: ["rosey.db.user.joined", "rosey.db.stats.>"] } } } ] }"#,
    )
    .await;
    let url = server.url().replace("nats://", "nats://me:secret99@");
    let (report, _) = Report::of(&mut doctor(&file, &url)).await;
    let said = report.says("service subjects", "warning");
    assert!(said.contains("rosey.db.user.joined") && said.contains("rosey.db.stats.high_water"), "{said}");
    assert!(!said.contains("rosey.db.user.left"), "what is allowed is not named: {said}");
    let said = report.says("client subjects", "warning");
    assert!(said.contains("rosey.db.query.user_stats") && !said.contains("channel_stats"), "{said}");
}

#[tokio::test]
async fn the_users_of_the_deployed_server_have_what_they_need_and_are_told_what_they_are() {
    let (dir, file) = (tempfile::tempdir().unwrap(), DbFile::new());
    let server = server(dir.path(), None, "").await;
    let user = |name: &str| {
        let mut command = doctor(&file, &server.url().replace("nats://", &format!("nats://{name}:x@")));
        command.env("ROSEY_NATS_INBOX_PREFIX", format!("_INBOX.{name}"));
        command
    };
    for (name, other, says) in [
        ("service", "client subjects", "no bot can run as it"),
        ("bot", "service subjects", "no service can run as it"),
    ] {
        let (report, _) = Report::of(&mut user(name)).await;
        for subject in ["service subjects", "client subjects", "jetstream"] {
            report.says(subject, "ok");
        }
        let said = report.says(other, "ok");
        assert!(said.contains(says), "{name}: {said}");
    }
    let (report, _) = Report::of(&mut user("reader")).await;
    assert!(report.says("client subjects", "warning").contains("rosey.db.kv.get"), "{:#}", report.0);
}

#[tokio::test]
async fn who_hears_no_answer_is_told_of_its_inbox_and_not_that_no_service_is_there() {
    let file = DbFile::new();
    let server = NatsServer::with_config(
        r#"authorization { users: [ { user: me, password: secret99, permissions: {
             publish: ["rosey.db.>"], subscribe: ["_INBOX.bot.>"] } } ] }"#,
    )
    .await;
    let url = server.url().replace("nats://", "nats://me:secret99@");
    let (report, code) = Report::of(&mut doctor(&file, &url)).await;
    assert_eq!(code, Some(1));
    let said = report.says("service", "failure");
    assert!(said.contains("--nats-inbox-prefix"), "{said}");
    let (report, _) = Report::of(doctor(&file, &url).env("ROSEY_NATS_INBOX_PREFIX", "_INBOX.bot")).await;
    report.says("service", "warning");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_that_keeps_the_database_locked_is_named() {
    let file = DbFile::new();
    file.open().await.close().await;
    let lock = file.hold().await;
    let (report, _) = Report::of(&mut doctor(&file, NOWHERE)).await;
    let said = report.says("database lock", "warning");
    assert!(said.contains(&format!("process {} ", std::process::id())), "{said}");
    drop(lock);
}

#[tokio::test]
async fn limits_of_the_account_that_forbid_the_stream_are_told_before_a_service_starts() {
    let (dir, file) = (tempfile::tempdir().unwrap(), DbFile::new());
    let config = format!(
        "jetstream {{ store_dir: {:?}, max_file_store: 1GB }}
         accounts {{ A {{ jetstream: {{ max_mem: 1MB, max_file: 10MB, max_streams: 0 }}, users: [ {{ user: me, password: secret99 }} ] }} }}",
        dir.path()
    );
    let server = NatsServer::with_config(&config).await;
    let url = server.url().replace("nats://", "nats://me:secret99@");
    let mut command = doctor(&file, &url);
    let (report, code) = Report::of(command.env("ROSEY_STREAM_MAX_BYTES", "100000000")).await;
    assert_eq!(code, Some(1));
    let said = report.says("jetstream", "failure");
    assert!(said.contains("stream-max-bytes"), "{said}");
}

#[tokio::test]
async fn what_is_wrong_with_files_is_told_with_the_command_that_helps() {
    let file = DbFile::new();
    file.open().await.close().await;
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (report, _) = Report::of(&mut doctor(&file, NOWHERE)).await;
    let said = report.says("database mode", "warning");
    assert!(said.contains("0644") && said.contains("chmod 0600"), "{said}");
    write(&file.path(), &"this is no database ".repeat(1000));
    let (report, _) = Report::of(&mut doctor(&file, NOWHERE)).await;
    let said = report.says("database", "failure");
    assert!(said.contains("rosey restore"), "{said}");
    let (report, _) =
        Report::of(doctor(&file, NOWHERE).env("ROSEY_OUTBOX", "no/such/folder/rosey.outbox")).await;
    report.says("outbox disk", "failure");
}

#[tokio::test]
async fn dead_letters_are_told_of_and_the_options_with_where_they_come_from() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start(&server, &file).await;
    let peer = eitherway_testkit::Peer::connect(&server).await;
    peer.request("rosey.db.user.joined", r#"{"username":""}"#).await;
    service.terminate_and_log().await;
    write(&file.dir().join("rosey.toml"), "outbox = \"of-the-file.outbox\"\n");
    let (report, _) = Report::of(&mut doctor(&file, &server.url())).await;
    let said = report.says("dead letters", "warning");
    assert!(said.contains("1 message") && said.contains("rosey dead list"), "{said}");
    let said = report.says("configuration", "ok");
    assert!(said.contains("of-the-file.outbox") && said.contains("rosey.toml:1"), "{said}");
    assert!(said.contains("ROSEY_NATS_URL"), "{said}");
}

#[tokio::test]
async fn people_read_it_as_lines_and_the_exit_code_says_whether_something_fails() {
    let file = DbFile::new();
    let Ran { code, out, err } = finished(doctor(&file, NOWHERE).arg("doctor")).await;
    assert_eq!(code, Some(1), "{err}");
    assert!(out.lines().any(|line| line.starts_with("FAIL  nats")), "{out}");
    assert!(out.contains("→ start a server"), "{out}");
    let Ran { code, out, .. } = finished(doctor(&file, NOWHERE).args(["doctor", "--no-nats"])).await;
    assert_eq!(code, Some(0), "{out}");
}
