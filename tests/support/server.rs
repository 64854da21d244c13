//! A real nats-server, to be killed, frozen and started again.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{LIMIT, Port, Url, holds_within};

pub(crate) struct NatsServer {
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
    pub(crate) async fn start() -> Self {
        Self::with(Vec::new(), "").await
    }

    /// With JetStream, its files in `dir`.
    pub(crate) async fn with_jetstream(dir: &Path) -> Self {
        Self::with(vec!["-js".to_owned(), "-sd".to_owned(), dir.display().to_string()], "").await
    }

    /// With lines of a configuration file.
    pub(crate) async fn with_config(config: &str) -> Self {
        Self::with(Vec::new(), config).await
    }

    /// A server that is not running yet, on a port that nobody else takes.
    pub(crate) fn down() -> Self {
        Self::prepare(Vec::new(), "")
    }

    async fn with(arguments: Vec<String>, config: &str) -> Self {
        let mut server = Self::prepare(arguments, config);
        server.restart().await;
        server
    }

    fn prepare(arguments: Vec<String>, config: &str) -> Self {
        let (port, dir) = (Port::reserve(), tempfile::tempdir().unwrap());
        let mut server = Self { port, child: None, arguments, dir };
        let configuration = server.configuration(config);
        server.arguments.extend(configuration);
        server
    }

    /// Starts it, again on the same port, and returns when it takes connections.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        let program = std::env::var_os("NATS_SERVER_BIN").expect("no nats-server: run `cargo xtask test`");
        let child = Command::new(&program)
            .args(["-a", "127.0.0.1", "-p", &self.port.number.to_string(), "--name", &self.name()])
            .arg("-l")
            .arg(self.dir.path().join("log"))
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| {
                panic!("no nats-server: run `cargo xtask test` ({}: {e})", program.display())
            });
        self.child = Some(child);
        let ready = holds_within(LIMIT, || {
            let (port, name) = (self.port.number, self.name());
            async move { tokio::task::spawn_blocking(move || greets(port, &name)).await.unwrap() }
        });
        assert!(ready.await, "nats-server does not start:\n{}", self.log());
    }

    /// The same with another configuration, whatever it was started with before; without JetStream where that names none.
    pub(crate) async fn restart_with(&mut self, config: &str) {
        self.arguments = self.configuration(config);
        self.restart().await;
    }

    /// SIGKILL, and waits until it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// With JetStream from its next start on.
    pub(crate) fn will_offer_jetstream(&mut self, dir: &Path) {
        self.arguments.extend(["-js".to_owned(), "-sd".to_owned(), dir.display().to_string()]);
    }

    /// SIGHUP, with other lines in its configuration file.
    pub(crate) fn reload(&self, config: &str) {
        self.configure(config);
        self.signal("-HUP");
    }

    /// Writes its configuration file. The name stands there too: a server that finds another one than it has reloads nothing.
    /// The arguments for a configuration file with these lines, which is written.
    fn configuration(&self, lines: &str) -> Vec<String> {
        if lines.is_empty() {
            return Vec::new();
        }
        self.configure(lines);
        vec!["-c".to_owned(), self.dir.path().join("nats.conf").display().to_string()]
    }

    fn configure(&self, config: &str) {
        let named = format!("server_name: {:?}\n{config}", self.name());
        std::fs::write(self.dir.path().join("nats.conf"), named).unwrap();
    }

    /// SIGUSR2: it says that it is about to stop, closes its connections one by one, and ends.
    pub(crate) fn begin_lame_duck(&self) {
        self.signal("-USR2");
    }

    /// Waits until it has ended.
    pub(crate) async fn lame_duck_ended(&mut self) {
        let mut child = self.child.take().expect("the server runs");
        let ended = holds_within(LIMIT, || {
            let ended = child.try_wait().unwrap().is_some();
            async move { ended }
        });
        assert!(ended.await, "the server does not end:\n{}", self.log());
    }

    /// SIGSTOP: its connections stay, and nothing moves.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
        super::proc::wait_until_frozen(self.child.as_ref().expect("the server runs").id());
    }

    /// SIGCONT.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        super::proc::signal(self.child.as_ref().expect("the server runs").id(), signal);
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// The name by which it greets: whoever else listens on the port has another one.
    fn name(&self) -> String {
        format!("rosey-test-{}-{}", std::process::id(), self.port.number)
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
