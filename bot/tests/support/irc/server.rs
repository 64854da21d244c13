//! A real IRC server, to be killed, frozen and started again: ngircd, which knows RFC 2812 and nothing else, or inspircd, which
//! knows IRCv3.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::super::{LIMIT, Port, holds_within};
use super::services::{NAME, PASSWORD};

/// A server on a port of its own; it is killed when this is dropped.
pub(crate) struct IrcServer {
    port: Port,
    links: Port,
    tls: Port,
    child: Option<Child>,
    program: PathBuf,
    arguments: Vec<String>,
    dir: tempfile::TempDir,
}

impl IrcServer {
    /// ngircd, alone.
    pub(crate) async fn ngircd() -> Self {
        let mut server = Self::prepare("NGIRCD_BIN", "ngircd");
        server.write("conf", &server.ngircd_config("one.irc.test", ""));
        server.run(&["-n", "-f"], "conf").await;
        server
    }

    /// Two of them, which are one network. The second one connects to the first.
    pub(crate) async fn linked() -> (Self, Self) {
        let (mut hub, mut leaf) =
            (Self::prepare("NGIRCD_BIN", "ngircd"), Self::prepare("NGIRCD_BIN", "ngircd"));
        let peer = |name: &str, more: &str| {
            format!("[Server]\nName = {name}\nMyPassword = pw\nPeerPassword = pw\n{more}")
        };
        hub.write("conf", &hub.ngircd_config("hub.irc.test", &peer("leaf.irc.test", "Passive = yes\n")));
        let to = format!("Host = 127.0.0.1\nPort = {}\n", hub.links.number);
        leaf.write("conf", &leaf.ngircd_config("leaf.irc.test", &peer("hub.irc.test", &to)));
        hub.run(&["-n", "-f"], "conf").await;
        leaf.run(&["-n", "-f"], "conf").await;
        (hub, leaf)
    }

    /// ngircd with TLS beside the usual port, with this certificate and key.
    pub(crate) async fn with_tls(certificate: &str, key: &str) -> Self {
        let mut server = Self::prepare("NGIRCD_BIN", "ngircd");
        let (cert, key) = (server.write("cert.pem", certificate), server.write("key.pem", key));
        let tls = format!(
            "[SSL]\nCertFile = {}\nKeyFile = {}\nPorts = {}\n",
            cert.display(),
            key.display(),
            server.tls.number
        );
        server.write("conf", &server.ngircd_config("tls.irc.test", &tls));
        server.run(&["-n", "-f"], "conf").await;
        server
    }

    /// inspircd, whose network is named `TestNet`.
    pub(crate) async fn inspircd() -> Self {
        Self::inspircd_with(|_| String::new()).await
    }

    /// The same, which repeats the lines of a channel of mode `H` to those who enter it.
    pub(crate) async fn repeating() -> Self {
        let module = |name| format!("<module name=\"{name}\">\n");
        let more = "<chanhistory maxduration=\"1w\" maxlines=\"50\" prefixmsg=\"no\" bots=\"yes\" enableumode=\"no\">\n";
        Self::inspircd_with(|_| module("ircv3_batch") + &module("chanhistory") + more).await
    }

    /// The same, which wants everybody to come over TLS (STS), with this certificate and key.
    pub(crate) async fn wanting_tls(certificate: &str, key: &str) -> Self {
        Self::inspircd_with(|server| {
            let (cert, key, port) =
                (server.write("cert.pem", certificate), server.write("key.pem", key), server.tls.number);
            format!(
                "<module name=\"ssl_gnutls\">\n<module name=\"ircv3_sts\">\n\
                 <sslprofile name=\"tls\" provider=\"gnutls\" certfile=\"{}\" keyfile=\"{}\">\n\
                 <bind address=\"127.0.0.1\" port=\"{port}\" type=\"clients\" sslprofile=\"tls\">\n\
                 <sts host=\"*\" duration=\"1h\" port=\"{port}\">\n",
                cert.display(),
                key.display()
            )
        })
        .await
    }

    /// The same with TLS beside the usual port, with this certificate and key. [`Services`](super::Services) may link, and with them
    /// there is a login.
    pub(crate) async fn inspircd_with_login(certificate: &str, key: &str) -> Self {
        Self::inspircd_with(|server| {
            let (cert, key) = (server.write("cert.pem", certificate), server.write("key.pem", key));
            let modules = ["services_account", "sasl", "spanningtree", "ssl_gnutls"];
            let modules: String =
                modules.iter().map(|name| format!("<module name=\"{name}\">\n")).collect();
            let (tls, links) = (server.tls.number, server.links.number);
            format!(
                "{modules}<sslprofile name=\"own\" provider=\"gnutls\" certfile=\"{}\" keyfile=\"{}\">\n\
                 <bind address=\"127.0.0.1\" port=\"{tls}\" type=\"clients\" sslprofile=\"own\">\n\
                 <bind address=\"127.0.0.1\" port=\"{links}\" type=\"servers\">\n\
                 <link name=\"{NAME}\" ipaddr=\"127.0.0.1\" port=\"1\" allowmask=\"127.0.0.0/8\" sendpass=\"{PASSWORD}\" \
                 recvpass=\"{PASSWORD}\">\n<uline server=\"{NAME}\" silent=\"yes\">\n\
                 <sasl target=\"{NAME}\">\n",
                cert.display(),
                key.display(),
            )
        })
        .await
    }

    async fn inspircd_with(more: impl FnOnce(&Self) -> String) -> Self {
        let mut server = Self::prepare("INSPIRCD_BIN", "inspircd");
        let config = server.inspircd_config() + &more(&server);
        server.write("conf", &config);
        server.run(&["--nofork", "--runasroot", "--nolog", "--config"], "conf").await;
        server
    }

    /// Its address for a bot of this name.
    pub(crate) fn chat(&self, nick: &str) -> String {
        format!("irc://{nick}@127.0.0.1:{}/#lounge", self.port.number)
    }

    /// The same in another channel.
    pub(crate) fn room(&self, nick: &str, channel: &str) -> String {
        format!("irc://{nick}@127.0.0.1:{}/{channel}", self.port.number)
    }

    /// The port of TLS.
    pub(crate) const fn tls(&self) -> u16 {
        self.tls.number
    }

    /// The port of other servers.
    pub(super) const fn links(&self) -> u16 {
        self.links.number
    }

    /// Its port.
    pub(crate) const fn port(&self) -> u16 {
        self.port.number
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts it, again on the same port, and returns when it takes connections.
    pub(crate) async fn restart(&mut self) {
        self.kill();
        let log = std::fs::File::create(self.dir.path().join("log")).unwrap();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        // One that was unpacked and not installed has its libraries beside it.
        if let Some(root) = self.program.ancestors().nth(3).filter(|root| *root != Path::new("/")) {
            let places = ["usr/lib", "lib"]
                .map(|place| root.join(place).join(format!("{}-linux-gnu", std::env::consts::ARCH)));
            command.env("LD_LIBRARY_PATH", std::env::join_paths(places).unwrap());
        }
        self.child = Some(command.spawn().unwrap());
        let port = self.port.number;
        let ready =
            holds_within(LIMIT, || async move { TcpStream::connect(("127.0.0.1", port)).is_ok() }).await;
        let log = std::fs::read_to_string(self.dir.path().join("log"));
        assert!(ready, "{} does not start: {log:?}", self.program.display());
    }

    fn prepare(variable: &str, name: &str) -> Self {
        let (port, links, tls) = (Port::reserve(), Port::reserve(), Port::reserve());
        let (program, dir) = (found(variable, name), tempfile::tempdir().unwrap());
        Self { port, links, tls, child: None, program, arguments: Vec::new(), dir }
    }

    async fn run(&mut self, options: &[&str], config: &str) {
        self.arguments = options.iter().map(ToString::to_string).collect();
        let config = self.dir.path().join(config).display().to_string();
        match self.arguments.last_mut() {
            Some(option) if option.starts_with("--config") => *option = format!("--config={config}"),
            _ => self.arguments.push(config),
        }
        self.restart().await;
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn ngircd_config(&self, name: &str, more: &str) -> String {
        let (dir, port, links) = (self.dir.path().display(), self.port.number, self.links.number);
        format!(
            "[Global]\nName = {name}\nInfo = test\nAdminEMail = a@irc.test\nListen = 127.0.0.1\nPorts = {port},{links}\n\
             ServerUID = root\nServerGID = root\nMotdPhrase = hello\nPidFile = {dir}/pid\n\
             [Limits]\nMaxConnections = 0\nMaxConnectionsIP = 0\nMaxJoins = 0\nConnectRetry = 1\n\
             [Options]\nDNS = no\nIdent = no\nPAM = no\nMorePrivacy = no\n{more}"
        )
    }

    fn inspircd_config(&self) -> String {
        let (dir, port) = (self.dir.path().display(), self.port.number);
        let root = self.program.ancestors().nth(3).unwrap().join("usr/lib/inspircd/modules");
        let modules = [
            "cap",
            "ircv3",
            "ircv3_ctctags",
            "ircv3_msgid",
            "ircv3_servertime",
            "ircv3_chghost",
            "ircv3_capnotify",
            "namesx",
            "uhnames",
            "botmode",
        ];
        let modules: String = modules.iter().map(|name| format!("<module name=\"{name}\">\n")).collect();
        format!(
            "<server name=\"irc.test\" description=\"test\" network=\"TestNet\" id=\"001\">\n\
             <admin name=\"a\" nick=\"a\" email=\"a@irc.test\">\n\
             <bind address=\"127.0.0.1\" port=\"{port}\" type=\"clients\">\n\
             <connect allow=\"*\" timeout=\"60\" pingfreq=\"60\" hardsendq=\"10M\" softsendq=\"1M\" recvq=\"100K\" \
             threshold=\"1000\" commandrate=\"1000000\" fakelag=\"no\" localmax=\"1000\" globalmax=\"1000\">\n\
             <options prefixquit=\"Quit: \">\n<performance nouserdns=\"yes\" somaxconn=\"256\">\n\
             <path moduledir=\"{}\" datadir=\"{dir}\" logdir=\"{dir}\" runtimedir=\"{dir}\">\n\
             <files motd=\"/dev/null\">\n<pid file=\"{dir}/pid\">\n{modules}",
            root.display()
        )
    }
}

impl Drop for IrcServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The program that the variable names, or else the one in `PATH` or where Debian installs it.
fn found(variable: &str, name: &str) -> PathBuf {
    if let Some(named) = std::env::var_os(variable).filter(|named| !named.is_empty()) {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = dirs.map(|dir| dir.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| {
        panic!("there is no {name}: run `cargo xtask test`, or set {variable} to its path")
    })
}
