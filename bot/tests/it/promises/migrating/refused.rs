//! Take-overs that must not be, and what they leave behind: the file as it was.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use super::folder::Folder;
use super::*;
use crate::support::*;

const SERVE: &str = "rosey serve --database-url sqlite://bot_data.db";

/// Another program that has the file open.
struct Holder(std::process::Child);

impl Holder {
    async fn of(folder: &Folder, how: &str) -> Self {
        let command = format!("exec 3{how}bot_data.db; echo open > holds; exec sleep 600");
        let child = folder.shell(&command, None).stdout(Stdio::null()).spawn().unwrap();
        wait_until("it has the file open", || async { folder.path("holds").exists() }).await;
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_another_program_has_open_for_writing_is_refused_and_the_program_is_named() {
    for mode in ["", "PRAGMA journal_mode = WAL"] {
        let (server, folder) = (NatsServer::start().await, Folder::made_by(&[H, mode]).await);
        let bytes = folder.bytes();
        let holder = Holder::of(&folder, "<>").await;
        let (code, said) = folder.done(SERVE, Some(&server));
        assert_eq!(code, Some(5), "{said}");
        assert!(said.contains(&format!("process {} (sleep)", holder.0.id())), "{said}");
        assert!(said.contains("Stop the Python bot"), "{said}");
        assert_eq!(folder.bytes(), bytes);
        drop(holder);
        let log = folder.serve(SERVE, &server).await.terminate_and_log().await;
        assert!(log.contains("took over"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_only_reads_the_file_does_not_stop_the_take_over() {
    let (server, folder) = (NatsServer::start().await, Folder::made_by(&[H]).await);
    let _holder = Holder::of(&folder, "<").await;
    folder.serve(SERVE, &server).await.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_the_python_bots_database_service_the_file_stays_as_it_was() {
    let (server, folder) = (NatsServer::start().await, Folder::made_by(&[S4]).await);
    let bytes = folder.bytes();
    let peer = Peer::connect(&server).await;
    let python = peer.answer("rosey.db.stats.recent_chat.get", Default::default(), "[]").await;
    std::fs::write(folder.path("chat"), "").unwrap();
    for command in [SERVE, "rosey up --chat jsonl:chat --database-url sqlite://bot_data.db"] {
        let (code, said) = folder.done(command, Some(&server));
        assert_eq!(code, Some(5), "{command}: {said}");
        assert!(said.contains("Python"), "{command}: {said}");
        assert_eq!(folder.bytes(), bytes, "{command}");
        assert_eq!(folder.beside(), [""; 0], "{command}");
    }
    python.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_asks_or_sends_one_thing_takes_nothing_over() {
    let folder = Folder::made_by(&[H]).await;
    let bytes = folder.bytes();
    for command in [
        "rosey stats --no-nats",
        "rosey recent --no-nats",
        "rosey tell --channel hello --no-nats",
        "rosey send user_joined '{\"username\":\"alice\"}' --no-nats",
        "rosey verify",
    ] {
        let (code, said) = folder.done(&format!("{command} --database-url sqlite://bot_data.db"), None);
        assert_eq!(code, Some(4), "{command}: {said}");
        assert!(said.contains("`rosey serve` or `rosey up` brings it there"), "{command}: {said}");
        assert_eq!(folder.bytes(), bytes, "{command}");
        assert_eq!(folder.beside(), [""; 0], "{command}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_only_be_read_is_refused_with_what_to_do() {
    for mode in ["", "PRAGMA journal_mode = WAL"] {
        let (server, folder) = (NatsServer::start().await, Folder::made_by(&[S4, mode]).await);
        let bytes = folder.bytes();
        std::fs::set_permissions(folder.file(), std::fs::Permissions::from_mode(0o444)).unwrap();
        // without what root may do beyond others
        let program = "exec setpriv --bounding-set=-all --inh-caps=-all";
        let (code, said) = folder.done(&format!("{program} {SERVE}"), Some(&server));
        assert_eq!(code, Some(4), "{said}");
        assert!(said.contains("cannot write to the database") && said.contains("must be writable"), "{said}");
        assert_eq!(folder.bytes(), bytes);
        std::fs::set_permissions(folder.file(), std::fs::Permissions::from_mode(0o644)).unwrap();
        folder.serve(SERVE, &server).await.terminate_and_log().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bot_and_service_in_one_process_take_over_too_with_nats_and_without() {
    for option in ["", "--no-nats", "--nats-url nats://127.0.0.1:1"] {
        let (server, folder) = (NatsServer::start().await, Folder::made_by(&[H]).await);
        std::fs::write(folder.path("chat"), "").unwrap();
        let up = format!("rosey up --chat jsonl:chat --database-url sqlite://bot_data.db {option}");
        let (code, said) = folder.done(&up, Some(&server));
        assert_eq!(code, Some(0), "{option}: {said}");
        assert!(said.contains("took over bot_data.db"), "{option}: {said}");
    }
}
