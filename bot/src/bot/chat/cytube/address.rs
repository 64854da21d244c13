//! The value of `--chat` for CyTube.

use std::path::PathBuf;

use super::super::link::address::{decoded, host_and_port};
use super::super::link::tcp::is_local;
use super::speech::is_name;

/// The longest name of a channel.
const LONGEST_CHANNEL: usize = 30;

/// A channel on a CyTube server, and how to get into it:
/// `cytube://NAME@HOST:PORT/CHANNEL`, or `cytube+http://…` without TLS, with `?login=FILE`, `?key=FILE` and `?ca=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// The server.
    pub host: String,
    /// Its port; by default 443, or 80 without TLS.
    pub port: u16,
    /// The name in the channel, which is also that of the account; the bot's name if there is none.
    pub name: Option<String>,
    /// The channel.
    pub channel: String,
    /// The file that holds the account's password; without one, the bot is a guest.
    pub login: Option<PathBuf>,
    /// The file that holds the channel's password.
    pub key: Option<PathBuf>,
    /// The file of certificates that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
}

impl Address {
    /// Parses what stands behind `cytube:` or `cytube+http:`.
    pub(in crate::bot::chat) fn parse(rest: &str, tls: bool) -> Result<Self, String> {
        let rest = rest.strip_prefix("//").ok_or("the server follows `//`")?;
        let (place, options) = rest.rsplit_once('?').unwrap_or((rest, ""));
        let (server, channel) = place.split_once('/').ok_or("the channel follows the server and a `/`")?;
        let (name, server) = match server.rsplit_once('@') {
            Some((name, server)) => (Some(decoded(name)?), server),
            None => (None, server),
        };
        if name.as_ref().is_some_and(|name| name.contains(':')) {
            return Err("a password is read from a file alone: login=FILE".to_owned());
        }
        if let Some(name) = name.as_deref().filter(|name| !is_name(name)) {
            return Err(format!("`{}` is no name on CyTube", name.escape_debug()));
        }
        let (host, port) = host_and_port(server, if tls { 443 } else { 80 })?;
        let channel = decoded(channel)?;
        // As it stands in the address of its page.
        let channel = channel.strip_prefix("r/").unwrap_or(&channel).to_owned();
        let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if channel.is_empty() || channel.len() > LONGEST_CHANNEL || !channel.chars().all(sign) {
            return Err(format!("`{}` is no channel on CyTube", channel.escape_debug()));
        }
        let mut address = Self { tls, host, port, name, channel, login: None, key: None, ca: None };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=').filter(|(_, value)| !value.is_empty()) {
                Some(("login", file)) => address.login = Some(decoded(file)?.into()),
                Some(("key", file)) => address.key = Some(decoded(file)?.into()),
                Some(("ca", file)) => address.ca = Some(decoded(file)?.into()),
                _ => return Err(format!("there is no option `{option}`")),
            }
        }
        if address.ca.is_some() && !tls {
            return Err("ca=FILE needs cytube and not cytube+http".to_owned());
        }
        if address.login.is_some() && !tls && !is_local(&address.host) {
            return Err("a password goes over cytube and not over cytube+http".to_owned());
        }
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_server_name_and_channel() {
        let address = Address::parse("//rosey@cytu.be/Lounge?login=/run/pass", true).expect("an address");
        assert_eq!((address.host.as_str(), address.port, address.tls), ("cytu.be", 443, true));
        assert_eq!((address.name.as_deref(), address.channel.as_str()), (Some("rosey"), "Lounge"));
        assert_eq!(address.login, Some("/run/pass".into()));
        let address = Address::parse("//[::1]:8080/r/lounge", false).expect("an address");
        assert_eq!((address.host.as_str(), address.port), ("::1", 8080));
        assert_eq!((address.name, address.channel.as_str()), (None, "lounge"));
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (rest, reason) in [
            ("host/c", "follows `//`"),
            ("//host", "the channel follows"),
            ("//host/", "no channel"),
            ("//host/a b", "no channel"),
            ("//host/a%0d%0ab", "no channel"),
            ("//host/r/", "no channel"),
            ("//a:b@host/c", "file alone"),
            ("//a%20b@host/c", "no name on CyTube"),
            ("///c", "no name"),
            ("//host:0/c", "port"),
            ("//host/c?loud=yes", "no option `loud=yes`"),
            ("//host/c?login=", "no option `login=`"),
            ("//host/c?login=file", "not over cytube+http"),
            ("//host/c?ca=file", "ca=FILE needs cytube"),
        ] {
            let error = Address::parse(rest, false).expect_err(rest);
            assert!(error.contains(reason), "{rest}: {error}");
        }
        assert!(Address::parse("//127.0.0.1/c?login=file", false).is_ok(), "on this machine nobody listens");
    }
}
