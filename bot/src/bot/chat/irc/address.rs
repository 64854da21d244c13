//! The value of `--chat` for IRC.

use std::path::PathBuf;

use super::super::link::address::{decoded, host_and_port};
use super::super::link::tcp::is_local;

/// A channel on an IRC network, and how to get into it:
/// `irc://NICK@HOST:PORT/#CHANNEL` or `irc+tls://…`, with `?sasl=FILE`, `?account=NAME`, `?key=FILE` and `?ca=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The server.
    pub host: String,
    /// Its port; by default 6667, or 6697 with TLS.
    pub port: u16,
    /// The nickname; the bot's name if there is none.
    pub nick: Option<String>,
    /// The channel.
    pub channel: String,
    /// The file that holds the account's password, for SASL.
    pub sasl: Option<PathBuf>,
    /// The account; by default the nickname.
    pub account: Option<String>,
    /// The file that holds the channel's key.
    pub key: Option<PathBuf>,
    /// The file of certificates that are trusted instead of the system's, also where the server wants encryption.
    pub ca: Option<PathBuf>,
}

impl Address {
    /// Parses what stands behind `irc://` or `irc+tls://`.
    pub(in crate::bot::chat) fn parse(rest: &str, tls: bool) -> Result<Self, String> {
        let rest = rest.strip_prefix("//").ok_or("the server follows `//`")?;
        let (place, options) = rest.rsplit_once('?').unwrap_or((rest, ""));
        let (server, channel) = place.split_once('/').ok_or("the channel follows the server and a `/`")?;
        let (nick, server) = match server.rsplit_once('@') {
            Some((nick, server)) => (Some(decoded(nick)?), server),
            None => (None, server),
        };
        if nick.as_ref().is_some_and(|nick| nick.contains(':')) {
            return Err("a password is read from a file alone: sasl=FILE".to_owned());
        }
        if let Some(nick) = nick.as_deref().filter(|nick| nick.is_empty() || !is_word(nick)) {
            return Err(format!("`{nick}` is no nickname"));
        }
        let (host, port) = host_and_port(server, if tls { 6697 } else { 6667 })?;
        let channel = decoded(channel)?;
        if !channel.starts_with(['#', '&', '+', '!']) || !is_word(&channel) || channel.contains(',') {
            return Err(format!("`{channel}` is no channel: one begins with `#`"));
        }
        let mut address =
            Self { tls, host, port, nick, channel, sasl: None, account: None, key: None, ca: None };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=').filter(|(_, value)| !value.is_empty()) {
                Some(("sasl", file)) => address.sasl = Some(decoded(file)?.into()),
                Some(("account", name)) => address.account = Some(decoded(name)?),
                Some(("key", file)) => address.key = Some(decoded(file)?.into()),
                Some(("ca", file)) => address.ca = Some(decoded(file)?.into()),
                _ => return Err(format!("there is no option `{option}`")),
            }
        }
        if address.sasl.is_some() && !tls && !is_local(&address.host) {
            return Err("a password goes over irc+tls alone".to_owned());
        }
        Ok(address)
    }
}

/// Whether it can be a parameter of a command.
fn is_word(text: &str) -> bool {
    !text.starts_with(':') && !text.contains([' ', '\r', '\n', '\0', '\x07'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_server_nick_and_channel() {
        let address = Address::parse("//rosey@irc.example.org/#lounge?sasl=/run/pass&account=r", true);
        let address = address.expect("an address");
        assert_eq!((address.host.as_str(), address.port), ("irc.example.org", 6697));
        assert_eq!((address.nick.as_deref(), address.channel.as_str()), (Some("rosey"), "#lounge"));
        assert_eq!((address.sasl, address.account), (Some("/run/pass".into()), Some("r".to_owned())));
        let address = Address::parse("//[::1]:7000/%23lounge", false).expect("an address");
        assert_eq!((address.host.as_str(), address.port), ("::1", 7000));
        assert_eq!((address.nick, address.channel.as_str()), (None, "#lounge"));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (rest, reason) in [
            ("host/#c", "follows `//`"),
            ("//host", "the channel follows"),
            ("//host/lounge", "no channel"),
            ("//host/#a,#b", "no channel"),
            ("//host/#a%0d%0aQUIT", "no channel"),
            ("//a:b@host/#c", "file alone"),
            ("//a%20b@host/#c", "no nickname"),
            ("//@host/#c", "no nickname"),
            ("///#c", "no name"),
            ("//host:0/#c", "port"),
            ("//host:x/#c", "port"),
            ("//host/#c?loud=yes", "no option `loud=yes`"),
            ("//host/#c?sasl=", "no option `sasl=`"),
            ("//host/#c?sasl=file", "irc+tls alone"),
        ] {
            let error = Address::parse(rest, false).expect_err(rest);
            assert!(error.contains(reason), "{rest}: {error}");
        }
        assert!(
            Address::parse("//127.0.0.1/#c?sasl=file", false).is_ok(),
            "the connection does not leave this machine"
        );
    }
}
