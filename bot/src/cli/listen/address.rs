//! Where the endpoints listen: an address of TCP, or the path of a socket.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

const EXPECTED: &str =
    "expected an address with its port, such as 127.0.0.1:7677 or [::1]:7677, or unix:PATH";

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// Reads `--listen`. A name would have to be resolved, to addresses that the operator has not seen.
pub(in crate::cli) fn parse(text: &str) -> Result<Address, String> {
    let text = text.trim();
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path.is_empty() || path.ends_with('/') {
            true => Err(format!("the path of the socket is missing; {EXPECTED}")),
            false => Ok(Address::Unix(path.into())),
        };
    }
    if text.contains("://") {
        return Err(format!("no scheme stands in front; {EXPECTED}"));
    }
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    match local.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)) {
        Some(address) => Ok(Address::Tcp(address)),
        None => text.parse().map(Address::Tcp).map_err(|_| EXPECTED.to_owned()),
    }
}

impl Address {
    /// Whether other machines may reach it.
    pub(super) fn is_public(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().to_canonical().is_loopback())
    }

    /// The port; the usual one for a path.
    pub(super) const fn port(&self) -> u16 {
        match self {
            Self::Tcp(address) => address.port(),
            Self::Unix(_) => 7677,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_tcp_or_a_path_and_nothing_that_must_be_guessed() {
        for (text, shown) in [
            ("127.0.0.1:7677", "127.0.0.1:7677"),
            ("localhost:0", "127.0.0.1:0"),
            ("[::1]:80", "[::1]:80"),
            ("unix:/run/rosey/rosey.sock", "unix:/run/rosey/rosey.sock"),
            ("unix:///run/rosey.sock", "unix:/run/rosey.sock"),
            ("unix:rosey.sock", "unix:rosey.sock"),
        ] {
            assert_eq!(parse(text).map(|address| address.to_string()).as_deref(), Ok(shown));
        }
        for wrong in
            ["7677", ":7677", "host:7677", "127.0.0.1", "http://127.0.0.1:1", "unix:", "unix:/run/", ""]
        {
            assert!(parse(wrong).expect_err(wrong).contains("expected an address"), "{wrong}");
        }
    }

    #[test]
    fn only_what_no_other_machine_reaches_is_not_public() {
        for (text, public) in [
            ("127.0.0.1:1", false),
            ("127.9.9.9:1", false),
            ("[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", false),
            ("unix:x", false),
            ("0.0.0.0:1", true),
            ("[::]:1", true),
            ("10.0.0.1:1", true),
            ("[::ffff:10.0.0.1]:1", true),
        ] {
            assert_eq!(parse(text).expect(text).is_public(), public, "{text}");
        }
    }
}
