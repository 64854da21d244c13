//! `rosey top`: what stands on the page, in a terminal.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::support::program::{Ran, finished, json_lines, rosey, shell};
use crate::support::*;

/// A service that listens at a socket, and what names that.
async fn serve(server: &impl Url, file: &DbFile) -> (ServeProcess, String) {
    let listen = format!("unix:{}", file.dir().join("rosey.sock").display());
    (ServeProcess::start_with(server, file, &["--listen", &listen]).await, listen)
}

async fn once(file: &DbFile, connect: &str) -> Ran {
    finished(rosey(file.dir()).args(["top", "--once", "--connect", connect])).await
}

#[tokio::test]
async fn it_prints_once_what_the_page_shows_and_its_code_says_whether_that_is_well() {
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, connect) = serve(&server, &file).await;
    let well = || async { once(&file, &connect).await.out.contains("● All is well") };
    assert!(holds_within(LIMIT, well).await, "{:?}", once(&file, &connect).await);
    let Ran { code, out, err } = once(&file, &connect).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for name in [
        "Operations",
        "Latency",
        "Commit",
        "Dead letters",
        "Database file",
        "● NATS → ● service → ● database",
    ] {
        assert!(out.contains(name), "{name}: {out}");
    }
    assert!(!out.contains('\u{1b}'), "plain text: {out}");
    server.kill();
    let bad = || async { once(&file, &connect).await.code == Some(1) };
    assert!(holds_within(LIMIT, bad).await);
    let Ran { out, err, .. } = once(&file, &connect).await;
    assert!(out.contains("■ NATS does not serve") && out.contains("→ See whether nats-server runs"), "{out}");
    assert!(err.contains("NATS does not serve"), "{err}");
}

#[tokio::test]
async fn as_json_it_is_the_board_of_the_status() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let options = ["--listen", "127.0.0.1:0"];
    let process = ServeProcess::start_with(&server, &file, &options).await;
    let log = process.log();
    let address =
        log.split("endpoints at http://").nth(1).unwrap().split(':').take(2).collect::<Vec<_>>().join(":");
    let top = ["top", "--json", "--connect", &address];
    let well = || async {
        let ran = finished(rosey(file.dir()).args(top)).await;
        ran.code == Some(0) && json_lines(&ran.out)[0]["said"] == "All is well"
    };
    assert!(holds_within(LIMIT, well).await);
}

#[tokio::test]
async fn one_that_does_not_answer_is_told_with_what_to_do() {
    let file = DbFile::new();
    let Ran { code, err, .. } = once(&file, "127.0.0.1:1").await;
    assert!(code == Some(4) && err.contains("--connect"), "{code:?}: {err}");
    let Ran { code, err, .. } = once(&file, "unix:nothing.sock").await;
    assert!(code == Some(4) && err.contains("unix:nothing.sock"), "{code:?}: {err}");
    // Whatever answers there is no rosey.
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in other.incoming().flatten().take(1) {
            let mut stream = stream;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
        }
    });
    let Ran { code, err, .. } = once(&file, &address).await;
    assert!(code == Some(4) && err.contains(&address), "{code:?}: {err}");
    let Ran { code, err, .. } = finished(rosey(file.dir()).args(["top", "--connect", "127.0.0.1:1"])).await;
    assert!(code == Some(2) && err.contains("--once"), "it needs a terminal: {err}");
}

#[tokio::test]
async fn in_a_terminal_of_80_columns_it_takes_the_screen_and_gives_it_back_at_a_key() {
    if !Command::new("script").arg("--version").stdout(Stdio::null()).status().is_ok_and(|ran| ran.success())
    {
        std::io::stderr().write_all(b"\nSKIPPED: there is no `script`, which makes a terminal\n").unwrap();
        return;
    }
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (_process, connect) = serve(&server, &file).await;
    let typed = file.dir().join("typed");
    let screen = format!("stty rows 24 cols 80; exec rosey top --connect '{connect}'");
    let mut command = shell(&format!("exec script -qfec \"{screen}\" {}", typed.display()), file.dir());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let shown = || async { std::fs::read_to_string(&typed).unwrap_or_default() };
    let seen = || async { shown().await.contains("q ends") && shown().await.contains("Operations") };
    assert!(holds_within(LIMIT, seen).await, "{}", shown().await);
    child.stdin.as_mut().unwrap().write_all(b"q").unwrap();
    let ended = || {
        let ended = child.try_wait().unwrap().is_some();
        async move { ended }
    };
    wait_until("it ends", ended).await;
    let shown = shown().await;
    assert!(shown.contains("\u{1b}[?1049h") && shown.contains("\u{1b}[?1049l"), "{shown:?}");
    assert!(shown.contains("\u{1b}[?25h"), "the cursor is back: {shown:?}");
}
