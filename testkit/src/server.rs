//! A real nats-server, to be killed, frozen and started again.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{LIMIT, Port, Url, holds_within, nats_server, proc};

/// A server on a port of its own; it is killed when this is dropped.
#[derive(Debug)]
pub struct NatsServer {
    port: Port,
    child: Option<Child>,
    arguments: Vec<String>,
    dir: tempfile::TempDir,
}

impl Url for NatsServer {
    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port.number)
    }
}

impl NatsServer {
    /// Without JetStream. Returns when it takes connections.
    ///
    /// # Panics
    /// There is no nats-server, or it does not start: the message says what to do, or what it logged.
    pub async fn start() -> Self {
        Self::with(Vec::new(), "").await
    }

    /// With JetStream, its files in `dir`.
    pub async fn with_jetstream(dir: &Path) -> Self {
        Self::with(vec!["-js".to_owned(), "-sd".to_owned(), dir.display().to_string()], "").await
    }

    /// With lines of a configuration file.
    pub async fn with_config(config: &str) -> Self {
        Self::with(Vec::new(), config).await
    }

    /// A server that is not running yet, on a port that no other process takes.
    pub fn down() -> Self {
        Self::prepare(Vec::new(), "")
    }

    async fn with(arguments: Vec<String>, config: &str) -> Self {
        let mut server = Self::prepare(arguments, config);
        server.restart().await;
        server
    }

    pub(crate) fn prepare(arguments: Vec<String>, config: &str) -> Self {
        let (port, dir) = (Port::reserve(), tempfile::tempdir().unwrap());
        let mut server = Self { port, child: None, arguments, dir };
        let configuration = server.configuration(config);
        server.arguments.extend(configuration);
        server
    }

    /// Starts it, again on the same port, and returns when it takes connections.
    pub async fn restart(&mut self) {
        self.kill();
        let program = nats_server().unwrap_or_else(|e| panic!("{e}"));
        let child = Command::new(&program)
            .args(["-a", "127.0.0.1", "-p", &self.port.number.to_string(), "--name", &self.name()])
            .arg("-l")
            .arg(self.dir.path().join("log"))
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        self.child = Some(child);
        let ready = holds_within(LIMIT, || {
            let (port, name) = (self.port.number, self.name());
            async move { tokio::task::spawn_blocking(move || greets(port, &name)).await.unwrap() }
        });
        assert!(ready.await, "nats-server does not start:\n{}", self.log());
    }

    /// The same with another configuration, whatever it was started with before; without JetStream where that names none.
    pub async fn restart_with(&mut self, config: &str) {
        self.arguments = self.configuration(config);
        self.restart().await;
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// SIGTERM, and waits until it has ended in order: it hands over what it leads in a cluster.
    pub async fn stop(&mut self) {
        self.signal("-TERM");
        self.lame_duck_ended().await;
    }

    /// With JetStream from its next start on.
    pub fn will_offer_jetstream(&mut self, dir: &Path) {
        self.arguments.extend(["-js".to_owned(), "-sd".to_owned(), dir.display().to_string()]);
    }

    /// SIGHUP, with other lines in its configuration file.
    pub fn reload(&self, config: &str) {
        self.configure(config);
        self.signal("-HUP");
    }

    /// The arguments for a configuration file with these lines, which is written.
    fn configuration(&self, lines: &str) -> Vec<String> {
        if lines.is_empty() {
            return Vec::new();
        }
        self.configure(lines);
        vec!["-c".to_owned(), self.dir.path().join("nats.conf").display().to_string()]
    }

    /// The name stands there too: a server that finds another one than it has reloads nothing.
    fn configure(&self, config: &str) {
        let named = format!("server_name: {:?}\n{config}", self.name());
        std::fs::write(self.dir.path().join("nats.conf"), named).unwrap();
    }

    /// SIGUSR2: it says that it is about to stop, closes its connections one by one, and ends.
    pub fn begin_lame_duck(&self) {
        self.signal("-USR2");
    }

    /// Waits until it has ended by itself.
    pub async fn lame_duck_ended(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        let ended = holds_within(LIMIT, || {
            let ended = child.try_wait().unwrap().is_some();
            async move { ended }
        });
        assert!(ended.await, "the server does not end:\n{}", self.log());
    }

    /// Its process.
    ///
    /// # Panics
    /// It does not run.
    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// SIGSTOP: its connections stay, and nothing moves.
    pub fn freeze(&self) {
        self.signal("-STOP");
        proc::wait_until_frozen(self.id());
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        proc::signal(self.id(), signal);
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The name by which it greets: another server on the port has another one.
    pub fn name(&self) -> String {
        format!("test-{}-{}", std::process::id(), self.port.number)
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether the server of this name says its first line, `INFO {…}`.
fn greets(port: u16, name: &str) -> bool {
    let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let mut line = String::new();
    stream.set_read_timeout(Some(Duration::from_secs(2))).is_ok()
        && BufReader::new(stream).read_line(&mut line).is_ok()
        && line.starts_with("INFO {")
        && line.contains(name)
}
