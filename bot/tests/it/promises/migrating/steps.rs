//! The document, followed.

use std::time::Duration;

use eitherway::sql::{Retention, SqlService, SqliteOptions};
use rosey::op::Op;

use super::folder::Folder;
use super::*;
use crate::support::*;

const DOCUMENT: &str = include_str!("../../../../../docs/migrating.md");

/// The commands of the document, in order.
fn commands() -> Vec<String> {
    fenced("sh")
}

/// What stands between ```` ```KIND ```` and ```` ``` ````.
fn fenced(kind: &str) -> Vec<String> {
    let begin = format!("```{kind}");
    let mut commands: Vec<String> = Vec::new();
    let mut inside = false;
    for line in DOCUMENT.lines() {
        match line.trim() {
            line if line == begin => {
                inside = true;
                commands.push(String::new());
            }
            "```" => inside = false,
            _ if inside => {
                let command = commands.last_mut().unwrap();
                command.push_str(line);
                command.push('\n');
            }
            _ => {}
        }
    }
    commands
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_are_followed_word_for_word_and_nothing_of_a_hundred_days_is_gone() {
    let commands = commands();
    assert!(commands.len() >= 4, "{commands:?}");
    for script in [H, S4] {
        let (server, folder) = (NatsServer::start().await, Folder::made_by(&[script, HUNDRED_DAYS]).await);
        let (before, bytes) = (folder.history().await, folder.bytes());
        assert!(before.iter().all(|rows| !rows.is_empty()), "each table holds something");

        let (mut service, mut said) = (None, String::new());
        for command in &commands {
            if command.starts_with("rosey serve") {
                service = Some(folder.serve(command, &server).await);
                continue;
            }
            let (code, text) = folder.done(command, Some(&server));
            assert_eq!(code, Some(0), "{command}: {text}");
            said.push_str(&text);
        }
        assert!(said.lines().any(|line| line.starts_with("clean: ")), "verify: {said}");
        let log = service.expect("the document starts the service").terminate_and_log().await;

        // the copy is the file as it was
        assert_eq!(std::fs::read(folder.path("before-rosey/bot_data.db")).unwrap(), bytes);
        // and again: it is not overwritten
        let copying = commands.iter().find(|command| command.contains("before-rosey")).unwrap();
        assert_ne!(folder.done(copying, None).0, Some(0));
        assert_eq!(std::fs::read(folder.path("before-rosey/bot_data.db")).unwrap(), bytes);

        assert_eq!(folder.history().await, before);
        // what the document shows of the log
        let shown = DOCUMENT.split("```text\n").nth(1).unwrap().split("```").next().unwrap();
        for line in shown.lines() {
            let begin = line.split(['…', ';', ',']).next().unwrap().trim_end_matches("api_tokens 1 of 1");
            assert!(log.contains(begin.trim_start_matches("INFO ")), "{begin:?} is not in\n{log}");
        }
        for table in ["user_stats 204", "user_count_history 203", "user_actions 201", "recent_chat 203"] {
            let (name, rows) = table.split_once(' ').unwrap();
            assert!(log.contains(&format!("{name} {rows} rows")), "{table}:\n{log}");
            assert!(log.contains(&format!("{name} {rows} of {rows}")), "{table}:\n{log}");
        }

        // later starts in this folder need nothing more, and say no more of it
        let log = folder.serve("rosey serve", &server).await.terminate_and_log().await;
        assert!(!log.contains("taking over") && !log.contains("took over"), "{log}");
        assert_eq!(folder.history().await, before);
        assert_eq!(folder.done("rosey verify", None).0, Some(0));
    }
}

/// What a service with these options for what it keeps makes of the file, in the same state a day after the take-over.
async fn a_day_later(folder: &Folder, retention: Retention) {
    folder.execute("UPDATE meta SET value = value - 86400001 WHERE key = 'taken_over'").await;
    let service = SqlService::<Op>::open(&options(folder, None)).await.unwrap();
    // Rows are of whole seconds: one that is as old as what is kept is older a second later, whenever this runs.
    service.sweep(&retention, eitherway::clock::now() + 1000).await.unwrap();
    service.close().await;
}

fn options(folder: &Folder, retention: Option<Retention>) -> SqliteOptions {
    SqliteOptions::new(folder.file().to_str().unwrap()).unwrap().retention(retention)
}

/// An operator who forgets the line `keep` has a day to notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_removed_in_the_first_day_whatever_was_said_or_not() {
    let folder = Folder::made_by(&[H, HUNDRED_DAYS]).await;
    let before = folder.history().await;
    let often = Retention::default().every(Duration::from_millis(50));
    let service = SqlService::<Op>::open(&options(&folder, Some(often))).await.unwrap();
    // Several rounds would have passed; it is the absence of something that is waited for.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(folder.history().await, before);
    service.close().await;
    // A day later what is old goes, if nothing was said.
    a_day_later(&folder, Retention::default()).await;
    assert_eq!(
        folder.rows("SELECT '' || count(*) FROM user_count_history").await,
        ["62"],
        "two a day, and two"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_the_line_keep_of_the_document_all_that_the_python_bot_kept_stays_after_that_day_too() {
    let line =
        commands().concat().lines().find_map(|line| line.strip_prefix("keep = ").map(str::to_owned)).unwrap();
    let mut retention = Retention::default();
    for part in line.trim_matches('"').split(',') {
        let (name, days) = part.split_once('=').unwrap();
        let days: u64 = days.strip_suffix('d').unwrap().parse().unwrap();
        retention = retention.keep(name, Duration::from_secs(days * 86_400));
    }
    let folder = Folder::made_by(&[H, HUNDRED_DAYS]).await;
    let before = folder.history().await;
    SqlService::<Op>::open(&options(&folder, None)).await.unwrap().close().await;
    a_day_later(&folder, retention).await;
    assert_eq!(folder.history().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_statement_of_the_document_ends_sessions_at_the_last_sign_of_life() {
    for script in [H, S4] {
        let (server, folder) = (NatsServer::start().await, Folder::made_by(&[script]).await);
        folder.execute(&fenced("sql").concat()).await;
        let service = folder.serve("rosey serve --database-url sqlite://bot_data.db", &server).await;
        let peer = Peer::connect(&server).await;
        let sessions = peer.request("rosey.db.query.open_sessions", "{}").await.json();
        assert_eq!(sessions, serde_json::json!([]));
        let alice = peer.request("rosey.db.query.user_stats", r#"{"username":"alice"}"#).await.json();
        assert_eq!(alice["total_time_connected"], 7200 + 590, "{alice}");
        service.terminate_and_log().await;
        assert_eq!(folder.done("rosey verify --database-url sqlite://bot_data.db", None).0, Some(0));
    }
}
