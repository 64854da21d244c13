//! Why there is no connection, as a sentence that says what to do.

use std::fmt;

use async_nats::{ClientError, ConnectErrorKind, Event, ServerError};

/// What a server says to a client that it refuses follows.
pub(super) const REFUSES: &str = "it says: ";
/// Why the connection is not encrypted follows.
pub(super) const TLS: &str = "TLS: ";

/// The kinds of connection failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No server listens at the address, for example while it restarts.
    Absent,
    /// The server's host name does not resolve.
    Unnamed,
    /// The server sends no greeting.
    Silent,
    /// The connection must be encrypted, and the TLS handshake fails.
    Untrusted,
    /// The server answers, and refuses the client for another reason than its user or password.
    Refused,
    /// The peer does not speak the NATS protocol.
    Foreign,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absent => "no NATS server answers",
            Self::Unnamed => "the host name of the NATS server is not found; is its address right?",
            Self::Silent => {
                "no greeting of a NATS server comes: it cannot be reached, hangs, or what listens there is no \
                 NATS server"
            }
            Self::Untrusted => "no encrypted connection to the NATS server",
            Self::Refused => "the NATS server refuses this client",
            Self::Foreign => "what answers at the address is no NATS server",
        })
    }
}

/// Whether the server refuses the login. While connecting, the client reports it as a string.
pub(crate) fn refuses_us(event: &Event) -> bool {
    match event {
        Event::ServerError(ServerError::AuthorizationViolation) => true,
        Event::ClientError(ClientError::Other(text)) => {
            *text == ConnectErrorKind::AuthorizationViolation.to_string()
        }
        _ => false,
    }
}

/// Why the last attempt to connect failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    /// The kind and its cause, as a sentence for people.
    pub(crate) said: String,
}

impl Failure {
    /// The connection failure that an event reports, if the event reports one. The client library reports it
    /// as a string: the kind, then the cause. `look` often determines that cause, because the library does
    /// not give it.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        let Event::ClientError(ClientError::Other(text)) = event else { return None };
        let cause =
            |kind: ConnectErrorKind| Some(text.strip_prefix(&kind.to_string())?.trim_start_matches(": "));
        let of_kind = |kind: ConnectErrorKind, means| cause(kind).map(|why| (means, why));
        let (kind, why) = of_kind(ConnectErrorKind::Dns, Kind::Unnamed)
            .or_else(|| of_kind(ConnectErrorKind::TimedOut, Kind::Silent))
            .or_else(|| of_kind(ConnectErrorKind::Tls, Kind::Untrusted))
            .or_else(|| cause(ConnectErrorKind::Io).map(|why| (of_io(why), why)))?;
        let said = if why.is_empty() { kind.to_string() } else { format!("{kind} ({why})") };
        Some(Self { kind, said })
    }
}

/// The kind of an I/O error.
fn of_io(why: &str) -> Kind {
    let lower = why.to_lowercase();
    if why.starts_with(REFUSES) {
        Kind::Refused
    } else if why.starts_with(TLS) {
        Kind::Untrusted
    } else if lower.contains("lookup address") {
        // The library calls it so where several addresses are given.
        Kind::Unnamed
    } else if lower.contains("os error") || lower.contains("unexpected end") {
        Kind::Absent
    } else if ["certificate", "tls", "handshake"].iter().any(|word| lower.contains(word)) {
        Kind::Untrusted
    } else {
        Kind::Foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_to_connect_says_what_it_is() {
        for (text, kind, why) in [
            ("IO error: Connection refused (os error 111)", Kind::Absent, "Connection refused"),
            ("IO error: invalid peer certificate: UnknownIssuer", Kind::Untrusted, "UnknownIssuer"),
            ("TLS error: bad", Kind::Untrusted, "bad"),
            ("IO error: TLS: no file (os error 2)", Kind::Untrusted, "no encrypted connection"),
            ("DNS error: failed to lookup address information", Kind::Unnamed, "failed to lookup"),
            ("IO error: failed to lookup address information: x", Kind::Unnamed, "failed to lookup"),
            ("timed out", Kind::Silent, "no greeting"),
            (
                "IO error: it says: no TLS here (os error)",
                Kind::Refused,
                "refuses this client (it says: no TLS",
            ),
            ("IO error: expected INFO, got nothing", Kind::Foreign, "expected INFO"),
        ] {
            let failure = Failure::of(&Event::ClientError(ClientError::Other(text.to_owned()))).expect(text);
            assert_eq!(failure.kind, kind, "{text}");
            assert!(failure.said.contains(why), "{text}: {failure:?}");
        }
        for other in ["authorization violation", "something else"] {
            assert_eq!(
                Failure::of(&Event::ClientError(ClientError::Other(other.to_owned()))),
                None,
                "{other}"
            );
        }
    }
}
