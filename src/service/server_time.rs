//! The NATS server's own time, where it tells it: in what it says of a stream, since 2.10.

use async_nats::Client;
use serde::Deserialize;

use crate::rfc3339;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stamped {
    ts: String,
}

/// The time in an answer of JetStream, in unix milliseconds.
pub(super) fn read(payload: &[u8]) -> Option<i64> {
    rfc3339::millis(&serde_json::from_slice::<Stamped>(payload).ok()?.ts)
}

/// Whether the server runs on another machine: one on this machine reads the same clock. From a container it looks like
/// another one.
pub(super) fn is_elsewhere(client: &Client) -> bool {
    client
        .server_info()
        .client_ip
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| !ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_time_is_read_to_the_millisecond() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00.5Z", 951_825_600_500),
            ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123),
        ] {
            let json = format!(r#"{{"type":"io.nats.jetstream.api.v1.stream_info_response","ts":"{text}"}}"#);
            assert_eq!(read(json.as_bytes()), Some(millis), "{text}");
        }
        for none in ["{}", "", r#"{"ts":"yesterday"}"#, r#"{"ts":"2023-13-01T00:00:00Z"}"#] {
            assert_eq!(read(none.as_bytes()), None, "{none}");
        }
    }
}
