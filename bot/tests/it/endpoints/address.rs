//! Where a process listens, and where not.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use super::Endpoints;
use crate::support::program::{Ran, rosey, write};
use crate::support::*;

/// `rosey serve` in an empty directory, which has nothing to serve; it ends by itself or says something.
fn begun(dir: &tempfile::TempDir) -> Command {
    let mut command = rosey(dir.path());
    command.args(["serve", "--nats-url", NOWHERE]);
    command
}

#[test]
fn an_address_that_other_machines_reach_is_refused_unless_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:7677"] {
        let Ran { code, err, .. } = Ran::of(begun(&dir).args(["--listen", address]));
        assert_eq!(code, Some(2), "{address}: {err}");
        assert!(err.contains("other machines") && err.contains("--listen-public"), "{address}: {err}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was begun");
}

#[tokio::test]
async fn a_public_address_that_was_allowed_is_told_loudly() {
    let arguments = ["serve", "--nats-url", NOWHERE, "--listen", "0.0.0.0:0", "--listen-public"];
    let process = Program::start(&arguments, &[]);
    process.says("WARN").await;
    assert!(process.log().contains("other machines can read the endpoints"), "{}", process.log());
}

#[test]
fn what_is_no_address_is_refused_with_an_example_wherever_it_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let Ran { code, err, .. } = Ran::of(begun(&dir).args(["--listen", "example.org:80"]));
    assert!(code == Some(2) && err.contains("127.0.0.1:7677"), "{code:?}: {err}");
    let Ran { code, err, .. } = Ran::of(begun(&dir).env("ROSEY_LISTEN", "7677"));
    assert!(code == Some(2) && err.contains("ROSEY_LISTEN") && err.contains("unix:PATH"), "{code:?}: {err}");
    write(&dir.path().join("rosey.toml"), "listen = \"http://127.0.0.1:1\"\n");
    let Ran { code, err, .. } = Ran::of(&mut begun(&dir));
    assert!(code == Some(2) && err.contains("rosey.toml:1") && err.contains("no scheme"), "{code:?}: {err}");
}

#[tokio::test]
async fn it_is_off_until_option_variable_or_file_says_where() {
    let file = DbFile::new();
    let url = file.url();
    let paths = ["serve", "--nats-url", NOWHERE, "--database-url", &url];
    let off = Program::start(&paths, &[]);
    off.says("retrying").await;
    assert!(!off.log().contains("endpoints"), "{}", off.log());
    let by_variable = Program::start(&paths, &[("ROSEY_LISTEN", "localhost:0")]);
    Endpoints::of(&by_variable).await;
    let config = file.dir().join("endpoints.toml");
    write(&config, "[serve]\nlisten = \"127.0.0.1:0\"\n");
    let by_file = Program::start(&[&paths[..], &["--config", config.to_str().unwrap()]].concat(), &[]);
    Endpoints::of(&by_file).await;
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_start_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let Ran { code, err, .. } = run(&["serve", "--nats-url", NOWHERE, "--listen", &address]).await;
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("another program listens there"), "{err}");
}

#[tokio::test]
async fn a_socket_is_for_user_and_group_and_gone_at_the_end() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let path = file.dir().join("rosey.sock");
    let listen = format!("unix:{}", path.display());
    let process = ServeProcess::start_with(&server, &file, &["--listen", &listen]).await;
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    Endpoints::at(&path).are_ready().await;
    let Ran { code, err, .. } = run(&["serve", "--nats-url", NOWHERE, "--listen", &listen]).await;
    assert!(code == Some(2) && err.contains("another process listens"), "{code:?}: {err}");
    Endpoints::at(&path).are_ready().await;
    assert_eq!(process.terminate().await, Some(0));
    assert!(!path.exists(), "nothing is left");
}

#[tokio::test]
async fn one_that_was_killed_leaves_no_socket_in_the_way() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let path = file.dir().join("rosey.sock");
    let listen = format!("unix:{}", path.display());
    let mut process = ServeProcess::start_with(&server, &file, &["--listen", &listen]).await;
    process.restart().await;
    Endpoints::at(&path).are_ready().await;
}

#[tokio::test]
async fn no_password_is_told() {
    let file = DbFile::new();
    let arguments = ["--nats-url", "nats://me:hunter22@127.0.0.1:1", "--database-url"];
    let url = file.url();
    let arguments = [&["serve", "--listen", "127.0.0.1:0"], &arguments[..], &[&url]].concat();
    let process = Program::start(&arguments, &[]);
    let endpoints = Endpoints::of(&process).await;
    endpoints.fails("nats").await;
    for path in ["/livez", "/readyz", "/metrics", "/status.json", "/nothing"] {
        let (_, text) = endpoints.get(path).await;
        assert!(!text.contains("hunter22"), "{path}: {text}");
    }
}

#[tokio::test]
async fn the_command_that_shows_options_shows_where_it_listens() {
    let Ran { code, out, err } = run(&["config", "bot", "--chat", "jsonl:-", "--listen", "[::1]:7677"]).await;
    assert_eq!(code, Some(0), "{err}");
    let line = out.lines().find(|line| line.starts_with("listen ")).unwrap_or_else(|| panic!("{out}"));
    assert!(line.contains("[::1]:7677") && line.contains("command line"), "{line}");
}

#[tokio::test]
async fn both_families_of_addresses_are_listened_at() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // this machine has none of the other one
    }
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let process = ServeProcess::start_with(&server, &file, &["--listen", "[::1]:0"]).await;
    Endpoints::of(&process).await.are_ready().await;
}
