//! A real browser, driven over the protocol of its driver (WebDriver), with what the tests of a page need of it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::{LIMIT, holds_within};

/// The name under which the driver hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A window. It is closed when this is dropped.
pub(crate) struct Browser {
    driver: Child,
    client: reqwest::Client,
    session: String,
    profile: tempfile::TempDir,
}

/// Where the program is: that of the variable, else one in `PATH`, else the one that xtask has fetched.
fn found(variable: &str, names: &[&str]) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable).filter(|named| !named.is_empty()) {
        return Some(named.into());
    }
    let own = std::env::current_exe().unwrap();
    let target = own.ancestors().find(|dir| dir.join("tools/browser").is_dir());
    let fetched = target.map(|target| target.join("tools/browser").join(names[0]));
    let search = std::env::var_os("PATH").unwrap_or_default();
    let mut places =
        std::env::split_paths(&search).flat_map(|dir| names.iter().map(move |name| dir.join(name)));
    places.find(|path| path.is_file()).or(fetched).filter(|path| path.is_file())
}

impl Browser {
    /// Opens one; none where there is none, which is said loudly.
    pub(crate) async fn open() -> Option<Self> {
        let browser = found("CHROMIUM_BIN", &["chromium-headless-shell", "chromium", "google-chrome"]);
        let driver = found("CHROMEDRIVER_BIN", &["chromedriver"]);
        let Some((browser, driver)) = browser.zip(driver) else {
            let said = "\nSKIPPED: there is no browser; `cargo xtask browser` fetches one, and `cargo xtask test` uses it\n";
            // Not by a macro whose words a test keeps to itself.
            std::io::stderr().write_all(said.as_bytes()).unwrap();
            return None;
        };
        // The driver makes a profile there; one of ours keeps it waiting for the browser.
        let profile = tempfile::tempdir().unwrap();
        let mut driver = Command::new(driver)
            .env("TMPDIR", profile.path())
            .args(["--port=0", "--log-level=WARNING"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(driver.stdout.take().unwrap());
        let port = tokio::task::spawn_blocking(move || {
            let lines = said.lines().map_while(Result::ok);
            let line = lines
                .into_iter()
                .find(|line| line.contains("successfully on port "))
                .expect("the driver says its port");
            line.rsplit("on port ").next().unwrap().trim_end_matches('.').to_owned()
        });
        let port = tokio::time::timeout(LIMIT, port).await.expect("the driver starts").unwrap();
        let arguments = [
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--hide-scrollbars".to_owned(),
            "--no-first-run".to_owned(),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"binary": browser, "args": arguments},
        }}});
        let client = reqwest::Client::builder().timeout(Duration::from_secs(60)).no_proxy().build().unwrap();
        let base = format!("http://127.0.0.1:{port}/session");
        let answer = client.post(&base).json(&wanted).send().await.unwrap().json::<Value>().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("no window: {answer:#}"));
        let session = format!("{base}/{id}");
        Some(Self { driver, client, session, profile })
    }

    async fn asked(&self, path: &str, body: Option<Value>) -> Value {
        let url = format!("{}/{path}", self.session);
        let request = match body {
            Some(body) => self.client.post(url).json(&body),
            None => self.client.get(url),
        };
        let answer = request.send().await.unwrap().json::<Value>().await.unwrap();
        let value = answer["value"].clone();
        assert!(value["error"].is_null(), "{path}: {value:#}");
        value
    }

    /// Goes to an address, and waits until the page is loaded.
    pub(crate) async fn go(&self, url: &str) {
        self.asked("url", Some(json!({"url": url}))).await;
    }

    /// What this script returns.
    pub(crate) async fn run(&self, script: &str) -> Value {
        self.asked("execute/sync", Some(json!({"script": script, "args": []}))).await
    }

    /// The text of the first element that this selects; none where there is none.
    pub(crate) async fn text(&self, selector: &str) -> Option<String> {
        let script = format!("return document.querySelector({selector:?})?.innerText ?? null");
        self.run(&script).await.as_str().map(str::to_owned)
    }

    /// Waits until that text holds these words.
    pub(crate) async fn shows(&self, selector: &str, words: &str) {
        let shown = || async { self.text(selector).await.is_some_and(|text| text.contains(words)) };
        assert!(
            holds_within(LIMIT, shown).await,
            "{words:?} is not shown in {selector}: {:?}",
            self.run("return document.body.innerText").await
        );
    }

    async fn element(&self, selector: &str) -> String {
        let wanted = json!({"using": "css selector", "value": selector});
        let element = self.asked("element", Some(wanted)).await;
        element[ELEMENT].as_str().unwrap().to_owned()
    }

    pub(crate) async fn click(&self, selector: &str) {
        let element = self.element(selector).await;
        self.asked(&format!("element/{element}/click"), Some(json!({}))).await;
    }

    pub(crate) async fn write(&self, selector: &str, text: &str) {
        let element = self.element(selector).await;
        self.asked(&format!("element/{element}/value"), Some(json!({"text": text}))).await;
    }

    /// What a screen reader calls it: role and name.
    pub(crate) async fn called(&self, selector: &str) -> (String, String) {
        let element = self.element(selector).await;
        let role = self.asked(&format!("element/{element}/computedrole"), None).await;
        let name = self.asked(&format!("element/{element}/computedlabel"), None).await;
        (role.as_str().unwrap_or_default().to_owned(), name.as_str().unwrap_or_default().to_owned())
    }

    /// Presses a key on the keyboard.
    pub(crate) async fn press(&self, key: char) {
        let actions = [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})];
        let keyboard = json!({"actions": [{"type": "key", "id": "keyboard", "actions": actions}]});
        self.asked("actions", Some(keyboard)).await;
    }

    /// What the console has said since it was asked last: warnings and errors, those of the policy included.
    pub(crate) async fn complaints(&self) -> Vec<String> {
        let said = self.asked("se/log", Some(json!({"type": "browser"}))).await;
        let is_one = |entry: &&Value| matches!(entry["level"].as_str(), Some("SEVERE" | "WARNING"));
        said.as_array().unwrap().iter().filter(is_one).map(|entry| entry["message"].to_string()).collect()
    }

    /// A command of the browser's own.
    pub(crate) async fn command(&self, name: &str, arguments: Value) -> Value {
        self.asked("goog/cdp/execute", Some(json!({"cmd": name, "params": arguments}))).await
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // However a driver ends, it may leave its browser behind.
        let profile = self.profile.path().display().to_string();
        let _ = Command::new("pkill").args(["-KILL", "-f", &profile]).status();
    }
}
