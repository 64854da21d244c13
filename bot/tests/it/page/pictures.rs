//! The pictures of the page for the handbook: `cargo xtask screenshots`.

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use serde_json::json;

use super::looks::{self, SCHEMES, WIDTHS};
use super::{bury, token};
use crate::support::browser::Browser;
use crate::support::program::{Running, rosey};
use crate::support::*;

/// Takes the page as it is now, at every width, light and dark.
async fn take(browser: &Browser, folder: &std::path::Path, name: &str) {
    for scheme in SCHEMES {
        for width in WIDTHS {
            looks::as_seen(browser, scheme, width).await;
            looks::fits(browser, name).await;
            let whole = json!({"format": "png", "captureBeyondViewport": true, "optimizeForSpeed": false});
            let height = browser.run("return document.documentElement.scrollHeight").await;
            let clip = json!({"x": 0, "y": 0, "width": width, "height": height, "scale": 1});
            let whole = json!({"clip": clip, "format": whole["format"], "captureBeyondViewport": true});
            let taken = browser.command("Page.captureScreenshot", whole).await;
            let bytes =
                base64::engine::general_purpose::STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
            std::fs::write(folder.join(format!("{name}-{scheme}-{width}.png")), bytes).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "makes the pictures of the handbook; cargo xtask screenshots"]
async fn of_the_system_well_in_an_outage_and_after_it() {
    let folder = PathBuf::from(std::env::var_os("ROSEY_SCREENSHOTS").expect("the folder for the pictures"));
    let browser = Browser::open().await.expect("a browser");
    let (dir, store, file) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), DbFile::new());
    let mut server = NatsServer::with_jetstream(store.path()).await;
    let (url, token) = (file.url(), token(dir.path()).display().to_string());
    let mut command = rosey(dir.path());
    command.args(["up", "--chat", "jsonl:-?speed=max", "--nats-url", &server.url(), "--database-url", &url]);
    command.args(["--listen", "127.0.0.1:0", "--listen-token-file", &token, "--name", "rosey"]);
    let mut up = Running::start(command.stdin(Stdio::piped()));
    let address = super::address(&up).await;
    // A lively channel, which is louder at times.
    let (mut input, ended) = (up.input(), Arc::new(AtomicBool::new(false)));
    let end = Arc::clone(&ended);
    let chat = std::thread::spawn(move || {
        for n in 0_u64.. {
            if end.load(Ordering::Relaxed) || writeln!(input, "{}", line(n)).is_err() {
                return;
            }
            std::thread::sleep(Duration::from_millis(8 + 6 * ((n / 400) % 5)));
        }
    });
    browser.go(&address).await;
    browser.shows("#verdict h1", "All is well").await;
    // Until there is something to see.
    tokio::time::sleep(Duration::from_secs(45)).await;
    take(&browser, &folder, "well").await;
    server.kill();
    browser.shows("#verdict h1", "the database serves").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    take(&browser, &folder, "outage").await;
    server.restart().await;
    browser.shows("#lately", "NATS serves, after").await;
    bury(&server, 3, &file).await;
    browser.shows("#aside", "retry").await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    take(&browser, &folder, "after").await;
    browser.click("#aside .acts a:nth-of-type(2)").await;
    take(&browser, &folder, "confirm").await;
    ended.store(true, Ordering::Relaxed);
    chat.join().unwrap();
}

fn line(n: u64) -> serde_json::Value {
    let user = format!("user{}", n % 17);
    match n % 10 {
        0 => json!({"event": "user_join", "user": user}),
        _ => json!({"event": "message", "user": user, "content": format!("line {n}")}),
    }
}
