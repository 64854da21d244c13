//! From a new connection to one that may join: capabilities, SASL, the nickname, what the server says of itself. Lines in,
//! lines and an outcome out.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::folding::Folding;
use super::message::Message;
use super::server::Server;

/// The capabilities that are used where they are offered.
const WANTED: [&str; 8] = [
    "batch",
    "chghost",
    CHATHISTORY,
    "message-tags",
    "multi-prefix",
    "sasl",
    "server-time",
    "userhost-in-names",
];
const CHATHISTORY: &str = "draft/chathistory";
/// A piece of what SASL says has at most so many bytes.
const PIECE: usize = 400;
/// How many other nicknames are tried.
const MOST_NICKS: usize = 20;
/// No server allows less.
const SHORTEST_NICK: usize = 9;

/// An account and its password.
pub(super) struct Login {
    pub(super) account: String,
    pub(super) password: String,
}

/// A registration that goes on.
pub(super) struct Registration {
    wanted: String,
    nick: String,
    tries: usize,
    login: Option<Login>,
    logged_in: bool,
    offered: Vec<String>,
    encrypted: bool,
    is_bot: Option<String>,
    server: Server,
}

/// How it has gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// We are in, under [`Registration::nick`].
    Done,
    /// Trying again is pointless.
    Refused(String),
    /// The server wants an encrypted connection to this port (STS), before anything is said over this one.
    Encrypt(u16),
    /// There is no login with a password. Servers do not offer it while the services that know the accounts are away.
    NoLogin(String),
    /// The server has ended the connection.
    Lost(String),
}

impl Registration {
    pub(super) fn new(host: &str, nick: &str, login: Option<Login>, encrypted: bool) -> Self {
        Self {
            wanted: nick.to_owned(),
            nick: nick.to_owned(),
            tries: 0,
            login,
            logged_in: false,
            offered: Vec::new(),
            encrypted,
            is_bot: None,
            server: Server::new(host),
        }
    }

    /// The first lines.
    pub(super) fn begin(&self) -> Vec<String> {
        let user: String = self.wanted.chars().filter(char::is_ascii_alphanumeric).take(9).collect();
        let user = if user.is_empty() { "rosey" } else { &user };
        vec![
            "CAP LS 302".to_owned(),
            format!("NICK {}", self.nick),
            format!("USER {user} 0 * :{}", self.wanted),
        ]
    }

    /// The name that the server has taken.
    pub(super) fn nick(&self) -> &str {
        &self.nick
    }

    /// What the server has said of itself.
    pub(super) fn server(&self) -> Server {
        self.server.clone()
    }

    /// What is to be said to a line, and how it has ended, if it has.
    pub(super) fn hear(&mut self, message: &Message<'_>) -> (Vec<String>, Option<Outcome>) {
        let refused =
            |what: &str| (Vec::new(), Some(Outcome::Refused(format!("{what}: {}", message.last()))));
        match message.command {
            "PING" => (vec![format!("PONG :{}", message.last())], None),
            "CAP" => match self.wants_encryption(message) {
                Some(port) => (Vec::new(), Some(Outcome::Encrypt(port))),
                None => (self.capabilities(message), None),
            },
            "AUTHENTICATE" if message.param(0) == "+" => (self.password(), None),
            "903" => {
                self.logged_in = true;
                (vec!["CAP END".to_owned()], None)
            }
            // The services that know the accounts are away: they come back.
            "906" => {
                let reason = format!("the server has broken off the login: {}", message.last());
                (Vec::new(), Some(Outcome::Lost(reason)))
            }
            "902" | "904" | "905" | "908" => refused("the server does not take the account or its password"),
            "432" => refused(&format!("the server does not take the nickname `{}`", self.nick)),
            "433" | "436" | "437" => self.other_nick(),
            "464" => refused("the server wants a password"),
            "465" => refused("the server has banned us"),
            "ERROR" => (Vec::new(), Some(Outcome::Lost(message.last().to_owned()))),
            "001" => {
                message.param(0).clone_into(&mut self.nick);
                (Vec::new(), None)
            }
            "005" => {
                message.params().iter().skip(1).for_each(|token| self.supports(token));
                (Vec::new(), None)
            }
            "376" | "422" if self.login.is_some() && !self.logged_in => {
                let reason = "the server offers no login with a password (SASL PLAIN)".to_owned();
                (Vec::new(), Some(Outcome::NoLogin(reason)))
            }
            "376" | "422" => {
                let mode = self.is_bot.as_ref().map(|mode| format!("MODE {} +{mode}", self.nick));
                (mode.into_iter().collect(), Some(Outcome::Done))
            }
            _ => (Vec::new(), None),
        }
    }

    /// The port of the policy that a server has in the list of its capabilities, which only counts where nobody can have changed
    /// it on the way, or where it makes things safer.
    fn wants_encryption(&self, message: &Message<'_>) -> Option<u16> {
        if self.encrypted || message.param(1) != "LS" {
            return None;
        }
        let policy = message.last().split(' ').find_map(|offer| offer.strip_prefix("sts="))?;
        policy.split(',').find_map(|key| key.strip_prefix("port="))?.parse().ok().filter(|port| *port > 0)
    }

    fn capabilities(&mut self, message: &Message<'_>) -> Vec<String> {
        match message.param(1) {
            "LS" => {
                let known = |offer: &&str| WANTED.contains(&offer.split('=').next().unwrap_or_default());
                for offer in message.last().split(' ').filter(known) {
                    let name = offer.split('=').next().unwrap_or_default();
                    // A server that lists its mechanisms, and not this one, need not be asked.
                    let mechanisms = offer.split_once('=').map(|(_, mechanisms)| mechanisms);
                    let plain = mechanisms.is_none_or(|m| m.split(',').any(|m| m == "PLAIN"));
                    let useful = name != "sasl" || (self.login.is_some() && plain);
                    if useful && !self.offered.iter().any(|known| known == name) {
                        self.offered.push(name.to_owned());
                    }
                }
                match message.param(2) {
                    "*" if message.params().len() > 3 => Vec::new(),
                    _ if self.offered.is_empty() => vec!["CAP END".to_owned()],
                    _ => vec![format!("CAP REQ :{}", self.offered.join(" "))],
                }
            }
            "ACK" => self.granted(message.last()),
            "NAK" => vec!["CAP END".to_owned()],
            _ => Vec::new(),
        }
    }

    fn granted(&mut self, granted: &str) -> Vec<String> {
        let has = |name: &str| granted.split(' ').any(|granted| granted == name);
        self.server.keeps_lines = has("batch") && has(CHATHISTORY);
        vec![if has("sasl") { "AUTHENTICATE PLAIN" } else { "CAP END" }.to_owned()]
    }

    /// Account and password, in pieces; a last piece that is full is followed by an empty one.
    fn password(&self) -> Vec<String> {
        let Some(Login { account, password }) = &self.login else { return vec!["AUTHENTICATE *".to_owned()] };
        let encoded = BASE64_STANDARD.encode(format!("\0{account}\0{password}"));
        let pieces = encoded.as_bytes().chunks(PIECE).map(String::from_utf8_lossy);
        let mut lines: Vec<_> = pieces.map(|piece| format!("AUTHENTICATE {piece}")).collect();
        if encoded.len().is_multiple_of(PIECE) {
            lines.push("AUTHENTICATE +".to_owned());
        }
        lines
    }

    /// The name is taken, by our own ghost perhaps: another one, no longer than servers allow.
    fn other_nick(&mut self) -> (Vec<String>, Option<Outcome>) {
        self.tries += 1;
        if self.tries > MOST_NICKS {
            return (Vec::new(), Some(Outcome::Lost(format!("`{}` and its like are taken", self.wanted))));
        }
        let end = if self.tries < 3 { "_".repeat(self.tries) } else { self.tries.to_string() };
        let room = self.wanted.len().max(SHORTEST_NICK) - end.len();
        let begin = &self.wanted[..self.wanted.floor_char_boundary(room)];
        self.nick = format!("{begin}{end}");
        (vec![format!("NICK {}", self.nick)], None)
    }

    fn supports(&mut self, token: &str) {
        let (name, value) = token.split_once('=').unwrap_or((token, ""));
        match name {
            "CASEMAPPING" => self.server.folding = Folding::named(value),
            "NETWORK" if !value.is_empty() => value.clone_into(&mut self.server.network),
            "PREFIX" => {
                if let Some((_, signs)) = value.split_once(')') {
                    signs.clone_into(&mut self.server.ranks);
                }
            }
            "BOT" if value.len() == 1 => self.is_bot = Some(value.to_owned()),
            _ => {}
        }
    }
}
