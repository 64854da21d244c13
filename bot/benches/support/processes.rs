//! A nats-server and database services as processes of their own, as in production.

use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A line of chat.
pub(crate) const LINE: &str =
    "a line of about eighty characters, as they are said in a channel on an evening, all in all";

/// A child process that is killed on drop.
pub(crate) struct Ended(pub(crate) Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a server that keeps its streams in this directory. Returns its URL too.
pub(crate) fn nats_server(dir: &Path) -> (Ended, String) {
    let server = std::env::var_os("NATS_SERVER_BIN").expect("run it with `cargo xtask bench`");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(server);
    command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"]).arg(dir.join("jetstream"));
    (Ended(command.stderr(Stdio::null()).spawn().unwrap()), format!("nats://127.0.0.1:{port}"))
}

/// Starts a service over the file `served.db` in this directory, with further flags.
pub(crate) fn serve(url: &str, dir: &Path, flags: &[&str]) -> Ended {
    let file = format!("sqlite://{}", dir.join("served.db").display());
    let mut command = Command::new(env!("CARGO_BIN_EXE_rosey"));
    command
        .args(["serve", "--bundles", "--log", "warn", "--nats-url", url, "--database-url", &file])
        .args(flags);
    Ended(command.stderr(Stdio::null()).spawn().unwrap())
}
