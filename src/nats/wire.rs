//! The wire format: headers, payloads, refusals. Client and service share this code.

mod answer;

use async_nats::header::HeaderMap;
use async_nats::{HeaderName, HeaderValue, Message};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::io::Write as _;
use std::sync::Arc;

pub use answer::{
    answer_headers, answered, cut_headers, database, is_ours, name_operation, omitted, refusal,
    refusal_within,
};
pub(super) use answer::{one_line, printable};

use crate::clock;
use crate::deadline::Deadline;
use crate::error::Cause;
use crate::headers::{self, Header};
use crate::operation::{Operation, Spec};
use crate::request::{Head, OpId, Trace};

/// The operation's id.
pub const OPERATION_ID: HeaderName = HeaderName::from_static(headers::OPERATION_ID.name);
/// What a stream deduplicates by. Our client sends its key to our stream, and otherwise the
/// operation's id. For a peer that sends no [`OPERATION_ID`], this header is the operation's id.
pub const ID: HeaderName = HeaderName::from_static(headers::MSG_ID.name);
/// When the operation happened, in unix milliseconds.
pub const OCCURRED_AT: HeaderName = HeaderName::from_static(headers::OCCURRED_AT.name);
/// Until when an answer is of use, in unix milliseconds.
pub const DEADLINE: HeaderName = HeaderName::from_static(headers::DEADLINE.name);
/// The W3C trace context.
pub const TRACEPARENT: HeaderName = HeaderName::from_static(headers::TRACEPARENT.name);
/// The W3C trace state.
pub const TRACESTATE: HeaderName = HeaderName::from_static(headers::TRACESTATE.name);
/// Marks an answer of our service.
pub const REPLY: HeaderName = HeaderName::from_static(headers::REPLY.name);
/// The id of the database that answered.
pub const DATABASE: HeaderName = HeaderName::from_static(headers::DATABASE.name);
/// The number of entries left out of a list because the answer would exceed its size limit.
pub const TRUNCATED: HeaderName = HeaderName::from_static(headers::TRUNCATED.name);
/// Marks a query that only discovers which services answer: our service answers it at once, without executing
/// it.
pub const LOOK: HeaderName = HeaderName::from_static(headers::LOOK.name);
/// Why a request was refused.
pub const ERROR: HeaderName = HeaderName::from_static("Nats-Service-Error");
/// The refusal as a number.
pub const ERROR_CODE: HeaderName = HeaderName::from_static("Nats-Service-Error-Code");
/// The code of a refusal that is the operation's own.
pub const REFUSAL: HeaderName = HeaderName::from_static(headers::REFUSAL.name);
/// The only stream that may store an event; any other stream refuses it.
pub const EXPECTED_STREAM: HeaderName = HeaderName::from_static("Nats-Expected-Stream");

/// The room for a `timestamp`, its name included.
const STAMP: usize = 34;

/// A `timestamp` of this value or more is in milliseconds.
const MILLIS_FROM: f64 = 1e11;

/// The payload as it is sent: the operation's JSON, with `timestamp` where the contract has one.
///
/// # Errors
/// `invalid`, when a check refuses the operation.
pub fn payload<O: Operation>(op: &O, occurred_at: i64) -> Result<Vec<u8>, Cause> {
    Ok(stamped(&op.encode()?, op.spec(), occurred_at))
}

/// An encoded operation with `timestamp`, where the contract has one.
pub fn stamped(json: &[u8], spec: &Spec, occurred_at: i64) -> Vec<u8> {
    let mut stamped = Vec::with_capacity(json.len() + STAMP);
    match json.split_last() {
        Some((b'}', fields)) if spec.stamped => {
            stamped.extend_from_slice(fields);
            let comma = if fields.len() > 1 { "," } else { "" };
            // Writing into a `Vec` does not fail.
            let _ = write!(stamped, "{comma}\"timestamp\":{}}}", clock::seconds(occurred_at));
        }
        _ => stamped.extend_from_slice(json),
    }
    stamped
}

/// The headers of a request.
#[must_use]
pub fn head_to_headers(head: &Head) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let id = HeaderValue::from(head.id.to_string());
    headers.insert(OPERATION_ID, id.clone());
    headers.insert(ID, id);
    headers.insert(OCCURRED_AT, head.occurred_at.to_string());
    if let Some(deadline) = head.deadline {
        headers.insert(DEADLINE, deadline.millis().to_string());
    }
    if let Some(trace) = &head.trace {
        headers.insert(TRACEPARENT, trace.parent.as_str());
        if let Some(state) = &trace.state {
            headers.insert(TRACESTATE, state.as_str());
        }
    }
    headers
}

/// The head of a request that arrived at `arrival` (unix milliseconds). All headers are optional: a peer that
/// sends none gets a fresh id, and its time from the payload's `timestamp` or from the arrival.
///
/// # Errors
/// `invalid` for a malformed id. The time is validated separately, by [`Head::check`].
pub fn head(headers: Option<&HeaderMap>, payload: &[u8], arrival: i64) -> Result<Head, Cause> {
    head_or(headers, payload, arrival, OpId::new)
}

/// As [`head`], with an id chosen by the receiver for a peer that sends none: a message that may be delivered
/// twice needs the same id each time.
///
/// # Errors
/// As [`head`].
pub fn head_or(
    headers: Option<&HeaderMap>,
    payload: &[u8],
    arrival: i64,
    id: impl FnOnce() -> OpId,
) -> Result<Head, Cause> {
    let get = |header: Header| headers.and_then(|headers| value(headers, header));
    let id = id_in(headers).map_or_else(|| Ok(id()), OpId::parse)?;
    let trace = get(headers::TRACEPARENT).and_then(|parent| Trace::new(parent, get(headers::TRACESTATE)));
    let time = |header| get(header).and_then(|text| text.trim().parse().ok());
    let occurred_at =
        time(headers::OCCURRED_AT).filter(|at| *at > 0).unwrap_or_else(|| from_timestamp(payload, arrival));
    let deadline = time(headers::DEADLINE).map(Deadline::at);
    Ok(Head { id, occurred_at, trace: trace.map(Arc::new), deadline })
}

/// Whether the headers of a request contain an id.
#[must_use]
pub fn names_id(headers: Option<&HeaderMap>) -> bool {
    id_in(headers).is_some()
}

/// Whether a query only discovers which services answer: see [`LOOK`].
#[must_use]
pub fn is_look(message: &Message) -> bool {
    message.headers.as_ref().is_some_and(|headers| value(headers, headers::LOOK).is_some())
}

fn id_in(headers: Option<&HeaderMap>) -> Option<&str> {
    let get = |header| value(headers?, header);
    get(headers::OPERATION_ID).or_else(|| get(headers::MSG_ID))
}

/// The value of a header, under its name or its former one, whatever the case: some clients change it.
pub(super) fn value(headers: &HeaderMap, header: Header) -> Option<&str> {
    let alike = |name: &str| {
        headers.iter().find(|(sent, _)| AsRef::<str>::as_ref(*sent).eq_ignore_ascii_case(name))?.1.first()
    };
    let values = |name| headers.get(HeaderName::from_static(name)).or_else(|| alike(name));
    header.names().find_map(values).map(|value| value.as_str())
}

/// The time in a payload's `timestamp`, in unix milliseconds, or the arrival if there is no such number. A
/// time in seconds means the beginning of that second, so that every path and every attempt yields the same
/// time; operations within one second are ordered by their ids.
fn from_timestamp(payload: &[u8], arrival: i64) -> i64 {
    #[derive(Deserialize)]
    struct Stamped<'a> {
        #[serde(borrow)]
        timestamp: Option<&'a RawValue>,
    }
    let stamped = serde_json::from_slice::<Stamped<'_>>(payload).ok();
    let number = stamped.and_then(|s| s.timestamp).and_then(|raw| raw.get().parse::<f64>().ok());
    #[allow(clippy::cast_possible_truncation)] // saturates; both extremes are refused or clamped later
    match number {
        Some(millis) if millis >= MILLIS_FROM => millis as i64,
        // The first second of 1970 would yield 0, which is not a valid time.
        Some(seconds) if seconds > 0.0 => ((seconds.floor() as i64) * 1000).max(1),
        _ => arrival,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    const NOW: i64 = 1_700_000_000_500;

    fn at(payload: &str) -> i64 {
        head(None, payload.as_bytes(), NOW).expect(payload).occurred_at
    }

    #[test]
    fn a_peer_without_headers_is_timed_by_its_timestamp() {
        assert_eq!(
            at(r#"{"timestamp":1700000000}"#),
            1_700_000_000_000,
            "whenever in that second it arrives"
        );
        assert_eq!(at(r#"{"timestamp":1600000000}"#), 1_600_000_000_000);
        assert_eq!(at(r#"{"timestamp":1700000003}"#), 1_700_000_003_000);
        assert_eq!(at(r#"{"timestamp":0.5}"#), 1);
        assert_eq!(at(r#"{"timestamp":1700000000123}"#), 1_700_000_000_123, "milliseconds");
        assert_eq!(at(r#"{"timestamp":1600000000.25}"#), 1_600_000_000_000);
    }

    #[test]
    fn a_header_is_known_in_any_case() {
        for (id, at) in [
            ("Eitherway-Operation-Id", "Eitherway-Occurred-At"),
            ("eitherway-operation-id", "EITHERWAY-OCCURRED-AT"),
            ("nats-msg-id", "eitherway-occurred-at"),
            ("Rosey-Operation-Id", "Rosey-Occurred-At"),
            ("rosey-operation-id", "ROSEY-OCCURRED-AT"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(id, "one");
            headers.insert(at, "1600000000123");
            let head = head(Some(&headers), b"{}", NOW).expect(id);
            assert_eq!((head.id.to_string().as_str(), head.occurred_at), ("one", 1_600_000_000_123), "{id}");
            assert!(names_id(Some(&headers)), "{id}");
        }
    }

    #[test]
    fn a_timestamp_that_is_none_means_the_arrival() {
        for payload in [
            "",
            "{}",
            "nonsense",
            r#"{"timestamp":0}"#,
            r#"{"timestamp":-5}"#,
            r#"{"timestamp":"x"}"#,
            r#"{"timestamp":null}"#,
        ] {
            assert_eq!(at(payload), NOW, "{payload}");
        }
    }

    #[test]
    fn a_time_that_is_far_ahead_is_refused() {
        for payload in [r#"{"timestamp":99999999999}"#, r#"{"timestamp":1e300}"#] {
            let refused = head(None, payload.as_bytes(), NOW).expect("head").check(Head::AHEAD, Head::BEHIND);
            let refused = refused.expect_err("clock");
            assert_eq!(refused.code(), Code::CLOCK, "{payload}");
        }
    }

    #[test]
    fn a_head_survives_its_headers() {
        let sent = Head {
            trace: Trace::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some("a=b"))
                .map(Arc::new),
            deadline: Some(Deadline::at(1_699_999_999_999)),
            ..Head::at(1_699_999_999_999)
        };
        assert_eq!(head(Some(&head_to_headers(&sent)), b"{}", NOW).expect("head"), sent);
    }

    #[test]
    fn a_deadline_before_1970_has_passed_and_one_that_cannot_be_read_is_none() {
        let deadline = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(DEADLINE, text);
            head(Some(&headers), b"{}", NOW).expect("head").deadline
        };
        for past in ["0", "-5", "-9223372036854775808"] {
            assert!(deadline(past).expect(past).check().is_err(), "{past}");
        }
        for none in ["", "soon", "1e308", "99999999999999999999"] {
            assert_eq!(deadline(none), None, "{none}");
        }
    }

    #[test]
    fn an_id_has_a_header_of_its_own_and_the_streams_is_read_where_that_is_missing() {
        let mut headers = HeaderMap::new();
        assert!(!names_id(Some(&headers)));
        headers.insert(ID, "a stream's");
        let id = |headers: &HeaderMap| head(Some(headers), b"{}", NOW).expect("head").id.to_string();
        assert_eq!((id(&headers).as_str(), names_id(Some(&headers))), ("a stream's", true));
        headers.insert(OPERATION_ID, "its own");
        assert_eq!(id(&headers), "its own");
    }
}
