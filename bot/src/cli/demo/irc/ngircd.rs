//! An ngircd of the demo's own.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time;

use super::super::process::{Process, free_port};
use crate::cli::exit::{Exit, Failure};
use crate::cli::files;

/// How long it may take to open its port.
const OPEN: Duration = Duration::from_secs(10);

/// The server, which is killed when this is dropped.
pub(super) struct Ngircd {
    port: u16,
    _process: Process,
}

impl Ngircd {
    /// Starts it on a free port of this machine, with its files in `dir`.
    pub(super) async fn start(program: &Path, dir: &Path) -> Result<Self, Failure> {
        let port = free_port()?;
        let config = dir.join("ngircd.conf");
        let written = files::begin(&config, files::PRIVATE);
        written
            .and_then(|mut file| file.write_all(Self::config(port).as_bytes()))
            .map_err(|e| Failure::new(Exit::Failed, format!("{}: {e}", config.display())))?;
        let mut command = Command::new(program);
        command.args(["-n", "-f"]).arg(&config).stdin(Stdio::null()).stdout(Stdio::null());
        if let Some(libraries) = libraries(program) {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let mut process = Process::start("ngircd", &mut command, dir)?;
        let opened = async {
            while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
                time::sleep(Duration::from_millis(10)).await;
            }
        };
        let why = tokio::select! {
            opened = time::timeout(OPEN, opened) => match opened {
                Ok(()) => return Ok(Self { port, _process: process }),
                Err(_) => format!("did not open its port within {} s", OPEN.as_secs()),
            },
            ended = process.ended() => ended?.to_string(),
        };
        Err(Failure::new(Exit::Failed, format!("ngircd: {why}; see ngircd.log")))
    }

    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// Without a limit for each address: all guests come from one. An ngircd that root starts stays root, because it needs the
    /// demo's directory.
    fn config(port: u16) -> String {
        let root =
            if rustix::process::geteuid().is_root() { "ServerUID = root\nServerGID = root\n" } else { "" };
        format!(
            "[Global]\nName = demo.irc.local\nInfo = the demo of rosey\nAdminEMail = demo@demo.irc.local\n\
             Listen = 127.0.0.1\nPorts = {port}\nMotdPhrase = The demo of rosey\n{root}\
             [Limits]\nMaxConnectionsIP = 0\nConnectRetry = 1\n\
             [Options]\nDNS = no\nIdent = no\nPAM = no\nMorePrivacy = no\n\
             [Channel]\nName = {}\nTopic = a bot that remembers: try !help\n",
            super::CHANNEL
        )
    }
}

/// Where the libraries are of one that was unpacked and not installed: beside it.
fn libraries(program: &Path) -> Option<OsString> {
    let root = program.ancestors().nth(3).filter(|root| *root != Path::new("/"))?;
    let place = |place: &str| root.join(place).join(format!("{}-linux-gnu", std::env::consts::ARCH));
    std::env::join_paths(["usr/lib", "lib"].map(place)).ok()
}

/// The program: the one that is named, else the one in `PATH` or where Debian installs it.
pub(super) fn find(named: Option<&Path>) -> Result<PathBuf, Failure> {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let installed = || {
        let dirs = std::env::split_paths(&paths).chain([PathBuf::from("/usr/sbin")]);
        dirs.map(|dir| dir.join("ngircd")).find(|file| file.is_file())
    };
    let found = named.map(Path::to_owned).or_else(installed).filter(|file| file.is_file());
    let advice = "no ngircd found: name one with --ngircd, or let `cargo xtask demo --irc` fetch one";
    found.ok_or_else(|| Failure::new(Exit::Usage, advice))
}
