//! The value of `--chat` for Kryten.

use std::path::PathBuf;

use super::super::cytube::channel::folded;
use super::super::cytube::speech::is_name;
use super::super::link::address::{decoded, host_and_port};

/// A channel that a Kryten robot is in, and the NATS server on which it tells so:
/// `kryten://ROBOT@NATSHOST:PORT/DOMAIN/CHANNEL` or `kryten+tls://…`, with `?credentials=FILE` and `?ca=FILE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether the connection to NATS is encrypted.
    pub tls: bool,
    /// The NATS server.
    pub host: String,
    /// Its port; by default 4222.
    pub port: u16,
    /// The robot's name in the channel; the bot's name if there is none.
    pub name: Option<String>,
    /// The CyTube site, as the robot calls it.
    pub domain: String,
    /// The channel.
    pub channel: String,
    /// The file of NATS credentials.
    pub credentials: Option<PathBuf>,
    /// The file of certificates that are trusted instead of the system's.
    pub ca: Option<PathBuf>,
}

impl Address {
    /// Parses what stands behind `kryten:` or `kryten+tls:`.
    pub(in crate::bot::chat) fn parse(rest: &str, tls: bool) -> Result<Self, String> {
        let rest = rest.strip_prefix("//").ok_or("the NATS server follows `//`")?;
        let (place, options) = rest.rsplit_once('?').unwrap_or((rest, ""));
        let mut parts = place.splitn(3, '/');
        let (Some(server), Some(domain), Some(channel)) = (parts.next(), parts.next(), parts.next()) else {
            return Err("the CyTube site and the channel follow the NATS server, each after a `/`".to_owned());
        };
        let (name, server) = match server.rsplit_once('@') {
            Some((name, server)) => (Some(decoded(name)?), server),
            None => (None, server),
        };
        if name.as_ref().is_some_and(|name| name.contains(':')) {
            return Err("a password is read from a file alone: credentials=FILE".to_owned());
        }
        if let Some(name) = name.as_deref().filter(|name| !is_name(name)) {
            return Err(format!("`{}` is no name on CyTube", name.escape_debug()));
        }
        let (host, port) = host_and_port(server, 4222)?;
        let (domain, channel) = (folded(&decoded(domain)?), decoded(channel)?);
        if domain.is_empty() || domain.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(format!("`{}` is no CyTube site", domain.escape_debug()));
        }
        // It is a part of a subject.
        let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if channel.is_empty() || !channel.chars().all(sign) {
            return Err(format!("`{}` is no channel on CyTube", channel.escape_debug()));
        }
        let mut address = Self { tls, host, port, name, domain, channel, credentials: None, ca: None };
        for option in options.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=').filter(|(_, value)| !value.is_empty()) {
                Some(("credentials", file)) => address.credentials = Some(decoded(file)?.into()),
                Some(("ca", file)) => address.ca = Some(decoded(file)?.into()),
                _ => return Err(format!("there is no option `{option}`")),
            }
        }
        if address.ca.is_some() && !tls {
            return Err("ca=FILE needs kryten+tls".to_owned());
        }
        Ok(address)
    }

    /// The address of the NATS server.
    pub(super) fn url(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("{}://{host}:{}", if self.tls { "tls" } else { "nats" }, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_nats_robot_site_and_channel() {
        let address = Address::parse("//robot@nats.test/CyTu.be/Lounge?credentials=/run/creds", true)
            .expect("an address");
        assert_eq!((address.url().as_str(), address.domain.as_str()), ("tls://nats.test:4222", "cytu.be"));
        assert_eq!((address.name.as_deref(), address.channel.as_str()), (Some("robot"), "Lounge"));
        assert_eq!(address.credentials, Some("/run/creds".into()));
        let address = Address::parse("//[::1]:4333/127.0.0.1:8080/lounge", false).expect("an address");
        assert_eq!(
            (address.url().as_str(), address.domain.as_str()),
            ("nats://[::1]:4333", "127.0.0.1:8080")
        );
    }

    #[test]
    fn what_is_wrong_with_an_address_is_said() {
        for (rest, reason) in [
            ("host/site/c", "follows `//`"),
            ("//host", "the CyTube site and the channel follow"),
            ("//host/site", "the CyTube site and the channel follow"),
            ("//host//c", "no CyTube site"),
            ("//host/site/", "no channel"),
            ("//host/site/a.b", "no channel"),
            ("//host/site/%3e", "no channel"),
            ("//a:b@host/site/c", "file alone"),
            ("//a%20b@host/site/c", "no name on CyTube"),
            ("//host:0/site/c", "port"),
            ("//host/site/c?loud=yes", "no option `loud=yes`"),
            ("//host/site/c?ca=file", "ca=FILE needs kryten+tls"),
        ] {
            let error = Address::parse(rest, false).expect_err(rest);
            assert!(error.contains(reason), "{rest}: {error}");
        }
    }
}
