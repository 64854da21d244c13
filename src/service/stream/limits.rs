//! Limits of a server or an account: which of them can be met by asking for less, and which forbid the stream.

use std::borrow::Cow;
use std::time::Duration;

use super::api::ApiError;

use crate::hints::option;

// Error codes of JetStream: github.com/nats-io/nats-server, server/errors.json
const ACCOUNT_RESOURCES: u64 = 10002;
const OTHER_CONSUMER: u64 = 10099;
const OVERLAPPING_CONSUMER: u64 = 10100;
const NO_PEERS: u64 = 10005;
const INSUFFICIENT_RESOURCES: u64 = 10023;
const REPLICAS_NOT_SUPPORTED: u64 = 10074;
const REPLICAS_NOT_UPDATABLE: u64 = 10075;
const MAXIMUM_CONSUMERS: u64 = 10026;
const MAXIMUM_STREAMS: u64 = 10027;
const MEMORY_EXCEEDED: u64 = 10028;
const STORAGE_EXCEEDED: u64 = 10047;
const INVALID_STREAM: u64 = 10052;
const MAX_BYTES_REQUIRED: u64 = 10113;
const NO_LIMITS: u64 = 10120;
const ACK_PENDING_EXCEEDED: u64 = 10121;
const MAX_STREAM_BYTES: u64 = 10122;

/// A limit that can be met without losing anything: with fewer messages on their way at once the stream is emptied more
/// slowly, and what it forgets of ids earlier, the ledger knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Smaller {
    AckPending(Option<usize>),
    DuplicateWindow(Option<Duration>),
}

/// What has to be smaller, and how small, if that is said.
pub(super) fn smaller(error: &ApiError) -> Option<Smaller> {
    let (code, said) = error.said()?;
    let last = said.rsplit(' ').next().unwrap_or_default();
    let lower = said.to_ascii_lowercase();
    if code == ACK_PENDING_EXCEEDED || lower.contains("max ack pending") {
        return Some(Smaller::AckPending(last.parse().ok()));
    }
    if lower.contains("duplicate") && lower.contains("window") {
        return Some(Smaller::DuplicateWindow(duration(last)));
    }
    None
}

/// What would help against a limit that forbids the stream or its consumer; nothing, if the refusal is no limit and may
/// pass.
pub(super) fn forbids(error: &ApiError) -> Option<Cow<'static, str>> {
    let (code, _) = error.said()?;
    let bytes = || option("stream-max-bytes BYTES");
    Some(Cow::Borrowed(match code {
        MAX_BYTES_REQUIRED => return Some(format!("say how large the stream may grow: {}", bytes()).into()),
        MAX_STREAM_BYTES => {
            let raise = "raise max_file_store_stream_bytes of the account";
            return Some(format!("make the stream smaller ({}), or {raise}", bytes()).into());
        }
        STORAGE_EXCEEDED | MEMORY_EXCEEDED | ACCOUNT_RESOURCES | INSUFFICIENT_RESOURCES | NO_LIMITS => {
            let give = "give the account (or the server) more disk storage (max_file)";
            return Some(format!("{give}, or make the stream smaller ({})", bytes()).into());
        }
        MAXIMUM_STREAMS => "allow the account one more stream (max_streams)",
        MAXIMUM_CONSUMERS => "allow the account one more consumer (max_consumers)",
        NO_PEERS => {
            let fewer = option("stream-replicas 1");
            let start = "start the servers of the cluster that are missing, or give them disk storage";
            return Some(format!("{start}; or keep the stream on fewer servers ({fewer})").into());
        }
        REPLICAS_NOT_SUPPORTED => {
            let one = option("stream-replicas 1");
            let start = "start as many NATS servers as a cluster (`cluster {}` with `routes` in each configuration, and JetStream)";
            return Some(format!("{start}; or keep the stream on one server ({one})").into());
        }
        REPLICAS_NOT_UPDATABLE => {
            let off = option("jetstream off");
            return Some(
                format!("start this service once with {off}, and then as before: the stream is created anew")
                    .into(),
            );
        }
        INVALID_STREAM => "see the limits of the server and of the account",
        _ => return None,
    }))
}

/// What would help against a refusal: a higher limit, or the removal of a foreign consumer on our stream.
pub(super) fn help(error: &ApiError) -> Option<Cow<'static, str>> {
    forbids(error).or_else(|| {
        is_taken(error).then_some(Cow::Borrowed(
            "delete the other consumer of this stream (nats consumer ls, nats consumer rm): what it \
             acknowledges is not applied",
        ))
    })
}

/// Whether another consumer is on our stream in the place of ours.
pub(super) fn is_taken(error: &ApiError) -> bool {
    matches!(error.said(), Some((OTHER_CONSUMER | OVERLAPPING_CONSUMER, _)))
}

/// Reads a time as Go writes it: `1m30s`, `100ms`, `1.5s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut all = 0.0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, behind) = rest.split_at(number);
        let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at(unit);
        let seconds = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "µs" | "us" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        all += value.parse::<f64>().ok()? * seconds;
        rest = behind;
    }
    Duration::try_from_secs_f64(all).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u64, description: &str) -> ApiError {
        ApiError::Refused { code, description: description.to_owned() }
    }

    #[test]
    fn a_limit_that_can_be_met_tells_how() {
        let pending = refused(10121, "consumer max ack pending exceeds system limit of 100");
        assert_eq!(smaller(&pending), Some(Smaller::AckPending(Some(100))));
        let window = refused(10052, "duplicates window can not be larger then server limit of 1m30s");
        assert_eq!(smaller(&window), Some(Smaller::DuplicateWindow(Some(Duration::from_secs(90)))));
        let unsaid = refused(10052, "duplicates window too large");
        assert_eq!(smaller(&unsaid), Some(Smaller::DuplicateWindow(None)));
        assert_eq!(smaller(&refused(10113, "account requires a stream config to have max bytes set")), None);
        assert_eq!(smaller(&ApiError::Absent), None);
    }

    #[test]
    fn a_limit_that_forbids_the_stream_names_what_helps() {
        let advice = forbids(&refused(10113, "max bytes")).expect("forbids");
        assert!(advice.contains("`stream-max-bytes BYTES`"), "{advice}");
        assert_eq!(forbids(&refused(10008, "JetStream system temporarily unavailable")), None);
        assert_eq!(forbids(&ApiError::Silent("no answer".to_owned())), None);
        let single = forbids(&refused(10074, "replicas > 1 not supported in non-clustered mode"));
        assert!(single.expect("forbids").contains("`stream-replicas 1`"));
        let taken = refused(10099, "multiple non-filtered consumers not allowed on workqueue stream");
        assert_eq!((forbids(&taken), is_taken(&taken)), (None, true));
        assert!(help(&taken).expect("helps").contains("nats consumer rm"));
    }

    #[test]
    fn times_are_read_as_go_writes_them() {
        let cases =
            [("30s", 30_000), ("1m30s", 90_000), ("100ms", 100), ("1h0m0s", 3_600_000), ("1.5s", 1500)];
        for (text, millis) in cases {
            assert_eq!(duration(text), Some(Duration::from_millis(millis)), "{text}");
        }
        for none in ["", "s", "5", "soon", "5 parsecs"] {
            assert_eq!(duration(none), None, "{none}");
        }
    }
}
