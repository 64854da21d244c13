//! The NATS server's own time, where it tells it: in what it says of a stream, since 2.10.

use async_nats::Client;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stamped {
    ts: String,
}

/// The time in an answer of JetStream, in unix milliseconds.
pub(super) fn read(payload: &[u8]) -> Option<i64> {
    from_rfc3339(&serde_json::from_slice::<Stamped>(payload).ok()?.ts)
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

/// `2026-01-31T12:34:56.789Z`, and nothing but UTC.
fn from_rfc3339(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let mut next = || date.next()?.ok();
    let (year, month, day) = (next()?, next()?, next()?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.splitn(3, ':').map(str::parse::<i64>);
    let mut next = || time.next()?.ok();
    let (hour, minute, second) = (next()?, next()?, next()?);
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let sane = (1970..10_000).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !sane {
        return None;
    }
    // Days since 1970, with years that begin in March: then the leap day is the last of its year.
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days =
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + millis)
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
