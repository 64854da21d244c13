//! `--listen`: what a process that runs for long tells of itself over HTTP, asked by a real client.

mod address;
mod board;
mod limits;
mod metrics;
mod postgres;
mod ready;
mod scrape;

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::program::Running;
use crate::support::*;
use scrape::Scrape;

/// What a process answers.
pub(crate) struct Endpoints {
    url: String,
    client: reqwest::Client,
}

impl Endpoints {
    /// Of a process that was started with `--listen 127.0.0.1:0`.
    pub(crate) async fn of(process: &Running) -> Self {
        const SAID: &str = "endpoints at http://";
        process.says(SAID).await;
        let log = process.log();
        let address = log.split(SAID).nth(1).unwrap().split(": /livez").next().unwrap();
        Self { url: format!("http://{address}"), client: reqwest::Client::new() }
    }

    /// The same over a socket.
    fn at(path: &std::path::Path) -> Self {
        let client = reqwest::Client::builder().unix_socket(path).build().unwrap();
        Self { url: "http://rosey".to_owned(), client }
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn json(&self, path: &str) -> (StatusCode, Value) {
        let (code, text) = self.get(path).await;
        (code, serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}")))
    }

    pub(crate) async fn status(&self) -> Value {
        self.json("/status.json").await.1
    }

    pub(crate) async fn scrape(&self) -> Scrape {
        let (code, text) = self.get("/metrics").await;
        assert_eq!(code, StatusCode::OK, "{text}");
        Scrape::read(&text)
    }

    /// Whether it is alive, and whether it is ready: what the codes say is what stands in the answers.
    pub(crate) async fn alive_and_ready(&self) -> (bool, bool) {
        let mut says = [false; 2];
        for (says, (path, word)) in says.iter_mut().zip([("/livez", "alive"), ("/readyz", "ready")]) {
            let (code, json) = self.json(path).await;
            *says = json[word].as_bool().unwrap();
            let expected = if *says { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            assert_eq!(code, expected, "{json}");
        }
        says.into()
    }

    /// Waits until it is ready.
    pub(crate) async fn are_ready(&self) {
        let ready = || async { self.alive_and_ready().await == (true, true) };
        assert!(holds_within(LIMIT, ready).await, "{:#}", self.json("/readyz").await.1);
    }

    /// Waits until this check is not met; it then.
    pub(crate) async fn fails(&self, check: &str) -> Value {
        let failing = || async { self.check(check).await.is_some_and(|found| found["ok"] == false) };
        assert!(holds_within(LIMIT, failing).await, "{check}: {:#}", self.json("/readyz").await.1);
        self.check(check).await.unwrap()
    }

    async fn check(&self, name: &str) -> Option<Value> {
        let (_, ready) = self.json("/readyz").await;
        ready["checks"].as_array().unwrap().iter().find(|check| check["name"] == name).cloned()
    }
}

/// `rosey serve` with endpoints.
async fn serve(server: &impl Url, file: &DbFile, more: &[&str]) -> (ServeProcess, Endpoints) {
    let options = [&["--listen", "127.0.0.1:0"], more].concat();
    let process = ServeProcess::start_with(server, file, &options).await;
    let endpoints = Endpoints::of(&process).await;
    (process, endpoints)
}

/// `rosey bot` or `rosey up` with endpoints, whose chat says nothing by itself.
async fn chat(command: &str, dir: &std::path::Path, more: &[&str]) -> (Running, Endpoints) {
    let usual = [command, "--chat", "jsonl:-?speed=max", "--listen", "127.0.0.1:0"];
    let mut program = program::rosey(dir);
    let process =
        Running::start(program.args([&usual[..], more].concat()).stdin(std::process::Stdio::piped()));
    let endpoints = Endpoints::of(&process).await;
    (process, endpoints)
}
