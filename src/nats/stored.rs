//! Replies of a stream: the acknowledgement of an event, and the stream's own description.

use async_nats::Message;
use serde::Deserialize;

use crate::error::{Cause, Code};

// Error codes of JetStream: github.com/nats-io/nats-server, server/errors.json
const MESSAGE_TOO_LARGE: u64 = 10054;
const STORE_FAILED: u64 = 10077;

/// The description of our stream, which identifies its owner: a stream of the same name with another
/// description is not ours. (Stream metadata would be the natural place, but servers before 2.10 do not have
/// it.)
#[must_use]
pub fn stream_tag(service: &str, database: &str) -> String {
    format!("{service} database {database}")
}

/// The database named in a description written by [`stream_tag`].
#[must_use]
pub fn tagged_database<'a>(service: &str, description: &'a str) -> Option<&'a str> {
    description.strip_prefix(service)?.strip_prefix(" database ").filter(|id| !id.is_empty())
}

/// The reply of a stream to a publish.
#[derive(Clone, Debug, Deserialize)]
#[non_exhaustive]
pub struct PubAck {
    /// The name of the stream.
    #[serde(default)]
    pub stream: String,
    /// The sequence of the message in the stream; for a duplicate, that of the message stored before.
    #[serde(default)]
    pub seq: u64,
    /// Whether the stream considers the message a duplicate. It compares only the header `Nats-Msg-Id`.
    #[serde(default)]
    pub duplicate: bool,
    error: Option<ApiError>,
}

#[derive(Clone, Debug, Deserialize)]
struct ApiError {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl PubAck {
    /// Parses an acknowledgement, if the payload is one.
    #[must_use]
    pub fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Self>(payload)
            .ok()
            .filter(|ack| !ack.stream.is_empty() || ack.error.is_some())
    }

    /// The sequence under which the message is stored.
    ///
    /// # Errors
    /// Why the stream did not store the message. The stream says so itself, so the operation has not
    /// happened.
    pub fn stored(self) -> Result<u64, Cause> {
        let Some(error) = self.error else { return Ok(self.seq) };
        let said = &error.description;
        Err(match error.err_code {
            MESSAGE_TOO_LARGE => Cause::new(Code::TOO_LARGE, format!("larger than the stream takes: {said}")),
            STORE_FAILED => {
                Cause::new(Code::UNAVAILABLE, format!("the stream is full or cannot store: {said}"))
            }
            code => Cause::new(Code::UNAVAILABLE, format!("the stream refuses it: {said} ({code})")),
        })
    }
}

/// The part of a `$JS.API.STREAM.INFO` reply that is used here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Info {
    config: Config,
    state: State,
    created: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Config {
    description: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    consumer_count: u64,
}

/// Our stream, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamMatch {
    /// The database whose events the stream holds.
    pub(super) database: String,
    /// When the stream was created. A stream that is created again starts at sequence 1 again.
    pub(super) created: String,
}

/// Our stream, if the reply describes one whose events are going to be applied.
pub(super) fn found(service: &str, message: &Message) -> Option<StreamMatch> {
    let info: Info = serde_json::from_slice(&message.payload).ok()?;
    let database = tagged_database(service, &info.config.description)?.to_owned();
    (info.state.consumer_count > 0).then_some(StreamMatch { database, created: info.created })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    #[test]
    fn a_stream_that_refuses_has_not_stored() {
        let read = |json: &str| PubAck::read(json.as_bytes()).expect(json);
        assert_eq!(read(r#"{"stream":"SHOP","seq":7}"#).stored().expect("stored"), 7);
        assert_eq!(read(r#"{"stream":"SHOP","seq":7,"duplicate":true}"#).stored().expect("stored before"), 7);
        for (code, expected) in
            [(10054, Code::TOO_LARGE), (10077, Code::UNAVAILABLE), (10060, Code::UNAVAILABLE)]
        {
            let json =
                format!(r#"{{"error":{{"code":503,"err_code":{code},"description":"x"}},"stream":"SHOP"}}"#);
            assert_eq!(read(&json).stored().expect_err("refused").code(), expected, "{code}");
        }
        for not_one in ["", "{}", "[]", r#"{"seq":1}"#, r#"{"stream":""}"#] {
            assert!(PubAck::read(not_one.as_bytes()).is_none(), "{not_one}");
        }
    }

    #[test]
    fn a_stream_without_our_mark_is_somebody_elses() {
        assert_eq!(tagged_database("shop.db", &stream_tag("shop.db", "abc")), Some("abc"));
        for foreign in ["", "abc", "shop.db database ", "shop.other database abc"] {
            assert_eq!(tagged_database("shop.db", foreign), None, "{foreign}");
        }
    }
}
