//! Headers that the client library cannot read. Such a header ends the whole connection or panics in the task
//! behind it, and the message never reaches this crate. Code that receives a message by another route (for
//! example from the stream's API) validates its header block here first.

use std::str::FromStr;
use std::time::{Duration, Instant};

use async_nats::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;

const VERSION: &str = "NATS/1.0";

/// Reads a header block as strictly as the client library's connection does.
///
/// # Errors
/// The reason why the library would not read the block.
pub(crate) fn read(block: &[u8]) -> Result<HeaderMap, String> {
    let text = std::str::from_utf8(block).map_err(|e| format!("it is not UTF-8: {e}"))?;
    let mut lines = text.lines().peekable();
    let version = lines.next().ok_or("it is empty")?;
    let status =
        version.strip_prefix(VERSION).ok_or_else(|| format!("it does not begin with {VERSION}"))?.trim();
    let status = status.split_once(' ').map_or(status, |(status, _)| status.trim());
    if !status.is_empty() && status.parse::<StatusCode>().is_err() {
        return Err(format!("its status {} is not valid", shown(status)));
    }
    let mut headers = HeaderMap::new();
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (name, value) =
            line.split_once(':').ok_or_else(|| format!("the line {} has no colon", shown(line)))?;
        let name = HeaderName::from_str(name)
            .map_err(|_| format!("the name {} of a header is not valid", shown(name)))?;
        let mut value = value.trim_start().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        // The library does not return an error here: it panics.
        let value = HeaderValue::from_str(value.trim_end())
            .map_err(|_| format!("the value of {} has a carriage return", shown(name.as_ref())))?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// Returns the lines of a block that [`read`] refuses which are valid headers on their own.
pub(crate) fn salvage(block: &[u8]) -> Vec<(String, String)> {
    let lines = block.split(|byte| *byte == b'\n').skip(1);
    let header = |line: &[u8]| {
        let line = std::str::from_utf8(line).ok()?;
        let (name, value) = line.trim_end_matches('\r').split_once(':')?;
        HeaderName::from_str(name).ok()?;
        HeaderValue::from_str(value.trim()).ok()?;
        Some((name.to_owned(), value.trim().to_owned()))
    };
    lines.filter_map(header).collect()
}

/// Escapes and shortens input from a peer, for use in an error message.
fn shown(word: &str) -> String {
    let begin: String = word.chars().take(40).collect();
    format!("{begin:?}{}", if begin.len() < word.len() { "…" } else { "" })
}

/// Why a connection of this process ended last. The library reports this only through its log.
static END: Mutex<Option<(Instant, String)>> = Mutex::new(None);

/// How long after the library's log line the event for the lost connection may arrive.
const SOON: Duration = Duration::from_secs(2);

/// Records that a connection ends because of the data it received, so that the service can name the cause. The client
/// library reports it only in its log (target `async_nats`, level `DEBUG`, `disconnected` with an `error`): a program's
/// subscriber passes it on.
pub fn ends(cause: String) {
    *END.lock() = Some((Instant::now(), cause));
}

/// Whether a connection was lost just now because of data that it received.
pub(super) fn has_just_ended() -> bool {
    let end = END.lock();
    end.as_ref().is_some_and(|(at, _)| at.elapsed() < SOON)
}

/// Why a connection was lost just now, if the cause is data that it received.
pub(crate) fn ended() -> Option<String> {
    let end = END.lock().take();
    end.filter(|(at, _)| at.elapsed() < SOON).map(|(_, cause)| cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_library_refuses_is_refused_and_what_it_takes_is_taken() {
        for good in [
            "NATS/1.0\r\n\r\n",
            "NATS/1.0\r\nA: b\r\n\r\n",
            "NATS/1.0 503\r\n\r\n",
            "NATS/1.0 408 Request Timeout\r\nA:b\r\n\r\n",
            "NATS/1.0\r\n: no name\r\n\r\n",
            "NATS/1.0\r\nA: über\r\n folded\r\n\r\n",
            "NATS/1.0\r\nA: ends in\r\r\n\r\n",
            "NATS/1.0\nA: b\n",
        ] {
            assert!(read(good.as_bytes()).is_ok(), "{good:?}: {:?}", read(good.as_bytes()));
        }
        for bad in [
            &b""[..],
            b"NATS/1.0\r\nX: caf\xe9\r\n\r\n",
            b"NATS/1.0\r\nTrace Id: 17\r\n\r\n",
            b"NATS/1.0\r\nno colon\r\n\r\n",
            b"NATS/2.0\r\nA: b\r\n\r\n",
            b"NATS/1.0 abc\r\n\r\n",
            b"NATS/1.0 99\r\n\r\n",
            b"NATS/1.0\r\nA: b\rc\r\n\r\n",
            "NATS/1.0\r\nÜ: b\r\n\r\n".as_bytes(),
            b"NATS/1.0\r\n leading: b\r\n\r\n",
        ] {
            assert!(read(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn what_can_be_read_of_a_broken_block_is() {
        let block = b"NATS/1.0\r\nNats-Msg-Id: 7\r\nX: caf\xe9\r\nTrace Id: 17\r\nno colon\r\nA:  b \r\nB: c\rd\r\n\r\n";
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(salvage(block), [pair("Nats-Msg-Id", "7"), pair("A", "b")]);
    }
}
