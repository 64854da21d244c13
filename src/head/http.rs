//! The head of an operation that comes over HTTP or gRPC.

use std::str;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Cause, Code};
use crate::request::{Head, OpId, Trace};

impl Head {
    /// The head of an operation that arrives over HTTP or gRPC: happening now, and what the headers say. `get` is the
    /// value of a header by its name in lower case.
    ///
    /// | header | is |
    /// |---|---|
    /// | `idempotency-key` | the id; without it a fresh one |
    /// | `traceparent`, `tracestate` | the trace, if it can be read |
    /// | `request-timeout`, in seconds; else `grpc-timeout` | the [deadline](crate::Deadline) |
    ///
    /// ```
    /// use eitherway::Head;
    ///
    /// let headers = [("idempotency-key", "order-17"), ("request-timeout", "1.5")];
    /// let get = |name: &str| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| value.as_bytes());
    /// let head = Head::from_headers(get)?;
    /// assert_eq!(head.id.to_string(), "order-17");
    /// assert!(head.deadline.is_some());
    /// # Ok::<(), eitherway::Cause>(())
    /// ```
    ///
    /// With an `http::HeaderMap`, `get` is `|name| headers.get(name).map(|value| value.as_bytes())`.
    ///
    /// A key is an id for all operations of the database. Where callers choose keys that others could choose, too, make it
    /// theirs: `head.id = OpId::of_parts(&[user, &head.id.to_string()])`.
    ///
    /// # Errors
    /// `invalid`: a key that is no [operation id](OpId::parse), or a time-out that cannot be read.
    pub fn from_headers<'h>(get: impl Fn(&str) -> Option<&'h [u8]>) -> Result<Self, Cause> {
        let text = |name: &str| get(name).map(|value| str::from_utf8(value).unwrap_or("\u{fffd}"));
        let mut head = Self::now();
        if let Some(key) = text("idempotency-key") {
            head.id = OpId::parse(key)?;
        }
        let trace = text("traceparent").and_then(|parent| Trace::new(parent, text("tracestate")));
        head.trace = trace.map(Arc::new);
        let unreadable = |name| Cause::new(Code::INVALID, format!("{name}: is no time"));
        let time = match (text("request-timeout"), text("grpc-timeout")) {
            (Some(time), _) => Some(seconds(time).ok_or_else(|| unreadable("request-timeout"))?),
            (None, Some(time)) => Some(grpc(time).ok_or_else(|| unreadable("grpc-timeout"))?),
            (None, None) => None,
        };
        Ok(match time {
            Some(time) => head.within(time),
            None => head,
        })
    }
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.trim().parse().ok()?).ok()
}

/// At most eight digits and a unit, as gRPC over HTTP/2 has it.
fn grpc(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number =
        (digits.len() <= 8 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse::<u64>());
    let number = number?.ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(headers: &[(&str, &'static [u8])]) -> Result<Head, Cause> {
        Head::from_headers(|name| headers.iter().find(|(n, _)| *n == name).map(|(_, value)| *value))
    }

    #[test]
    fn a_key_that_cannot_be_read_is_refused_and_never_taken_for_none() {
        assert_eq!(head(&[("idempotency-key", b"a key")]).expect("a key").id.to_string(), "a key");
        for bad in [&b""[..], b" a", b"na\xc3\xafve", b"\xff"] {
            let refused = head(&[("idempotency-key", bad)]).expect_err("no id");
            assert_eq!(refused.code(), Code::INVALID, "{bad:?}");
        }
    }

    #[test]
    fn a_time_out_becomes_a_deadline_and_one_that_cannot_be_read_is_refused() {
        for (name, value, millis) in [
            ("request-timeout", &b"1.5"[..], 1_500),
            ("request-timeout", b"0", 0),
            ("grpc-timeout", b"250m", 250),
            ("grpc-timeout", b"2S", 2_000),
            ("grpc-timeout", b"1H", 3_600_000),
        ] {
            let left =
                head(&[(name, value)]).expect("a time").deadline.expect("a deadline").remaining().as_millis();
            assert!(
                (u128::from(millis.max(1_000_u64)) - 1_000..=u128::from(millis)).contains(&left),
                "{left}"
            );
        }
        for (name, value) in [
            ("request-timeout", &b"-1"[..]),
            ("request-timeout", b"soon"),
            ("request-timeout", b"NaN"),
            ("grpc-timeout", b"1"),
            ("grpc-timeout", b"S"),
            ("grpc-timeout", b"123456789S"),
            ("grpc-timeout", b"+1S"),
            ("grpc-timeout", b"1\xc3\xa9"),
        ] {
            assert_eq!(head(&[(name, value)]).expect_err("no time").code(), Code::INVALID, "{value:?}");
        }
        assert_eq!(head(&[]).expect("a head").deadline, None);
    }

    #[test]
    fn a_trace_is_taken_along() {
        let parent = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let trace = head(&[("traceparent", parent)]).expect("a head").trace.expect("a trace");
        assert_eq!(trace.id(), "0af7651916cd43dd8448eb211c80319c");
        assert!(head(&[("traceparent", b"nonsense")]).expect("a head").trace.is_none());
    }
}
