//! The operations of a bundle as they are written: two lines for each, its head and its payload.

use std::borrow::Cow;
use std::io::Write as _;
use std::ops::Range;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Offer;
use crate::deadline::Deadline;
use crate::error::{Cause, Code};
use crate::request::{Head, OpId, Trace};

/// The first line of an operation. The second one, its payload, has `size` bytes.
#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    /// They may have characters that are escaped.
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deadline: Option<i64>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    traceparent: Option<Cow<'a, str>>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    tracestate: Option<Cow<'a, str>>,
    size: usize,
}

/// Adds an operation to a bundle.
pub(in crate::nats) fn write(bundle: &mut Vec<u8>, head: &Head, name: &str, payload: &[u8]) {
    let trace = head.trace.as_deref();
    let line = Line {
        name: name.into(),
        id: head.id.to_string().into(),
        at: Some(head.occurred_at),
        deadline: head.deadline.map(Deadline::millis),
        traceparent: trace.map(|trace| trace.parent.as_str().into()),
        tracestate: trace.and_then(|trace| trace.state.as_deref()).map(Into::into),
        size: payload.len(),
    };
    // Writing into a `Vec` does not fail, and every value here can be written as JSON.
    let _ = serde_json::to_writer(&mut *bundle, &line);
    let _ = bundle.write_all(b"\n");
    bundle.extend_from_slice(payload);
    bundle.push(b'\n');
}

/// An operation of a bundle, as it was read. Its payload is not looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The name of the operation.
    pub name: String,
    /// Why its head cannot be taken, if so.
    pub head: Result<Head, Cause>,
    /// Where it lies in the bundle, which is a bundle by itself.
    pub whole: Range<usize>,
    /// Where its payload lies in the bundle.
    pub payload: Range<usize>,
}

/// Reads a bundle that arrived at `arrival`, in unix milliseconds.
///
/// # Errors
/// `invalid`, if it is none, or `too_large`: then nothing of it may be done, because it cannot be told what it holds.
pub fn read(bundle: &[u8], arrival: i64) -> Result<Vec<Entry>, Cause> {
    let invalid = |n: usize, why: &str| Cause::new(Code::INVALID, format!("no bundle: operation {n}: {why}"));
    if bundle.len() > Offer::MOST.bytes {
        return Err(too_large(bundle.len()));
    }
    let (mut entries, mut at) = (Vec::new(), 0);
    while at < bundle.len() {
        let n = entries.len();
        if n == Offer::MOST.operations {
            return Err(Cause::new(Code::TOO_LARGE, format!("a bundle of more than {n} operations")));
        }
        let rest = &bundle[at..];
        let end =
            rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| invalid(n, "no end of its head"))?;
        let line: Line<'_> =
            serde_json::from_slice(&rest[..end]).map_err(|e| invalid(n, &format!("its head: {e}")))?;
        let begin = at + end + 1;
        let after = begin.checked_add(line.size).filter(|after| bundle.get(*after) == Some(&b'\n'));
        let after =
            after.ok_or_else(|| invalid(n, "its payload does not have the size that its head says"))?;
        entries.push(Entry {
            name: line.name.to_string(),
            head: head(&line, arrival),
            whole: at..after + 1,
            payload: begin..after,
        });
        at = after + 1;
    }
    if entries.is_empty() {
        return Err(Cause::new(Code::INVALID, "no bundle: it is empty"));
    }
    Ok(entries)
}

/// The refusal of a bundle of so many bytes.
pub(crate) fn too_large(bytes: usize) -> Cause {
    let most = Offer::MOST.bytes;
    Cause::new(Code::TOO_LARGE, format!("a bundle of {bytes} bytes; at most {most} are taken"))
}

/// How many operations these bytes may hold at most, whatever they are.
pub(crate) fn at_most(bundle: &[u8]) -> usize {
    let lines = bundle.iter().filter(|byte| **byte == b'\n').count();
    (lines / 2).min(Offer::MOST.operations)
}

fn head(line: &Line<'_>, arrival: i64) -> Result<Head, Cause> {
    let trace = line.traceparent.as_ref().and_then(|parent| Trace::new(parent, line.tracestate.as_deref()));
    Ok(Head {
        id: OpId::parse(&line.id)?,
        occurred_at: line.at.filter(|at| *at > 0).unwrap_or(arrival),
        trace: trace.map(Arc::new),
        deadline: line.deadline.map(Deadline::at),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> Head {
        Head {
            id: OpId::parse("a \"quoted\" id").expect("an id"),
            occurred_at: 1_700_000_000_123,
            trace: Trace::new("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some("a=\"b\""))
                .map(Arc::new),
            deadline: Some(Deadline::at(1_700_000_000_999)),
        }
    }

    #[test]
    fn the_form_of_a_bundle_is_this_and_no_other() {
        let mut bundle = Vec::new();
        let plain = Head { trace: None, deadline: None, ..head() };
        write(&mut bundle, &plain, "note_taken", br#"{"username":"alice","message":"hi"}"#);
        write(&mut bundle, &head(), "item_added", br#"{"username":"bob"}"#);
        let golden = concat!(
            r#"{"name":"note_taken","id":"a \"quoted\" id","at":1700000000123,"size":35}"#,
            "\n",
            r#"{"username":"alice","message":"hi"}"#,
            "\n",
            r#"{"name":"item_added","id":"a \"quoted\" id","at":1700000000123,"deadline":1700000000999,"#,
            r#""traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"a=\"b\"","size":18}"#,
            "\n",
            r#"{"username":"bob"}"#,
            "\n",
        );
        assert_eq!(String::from_utf8_lossy(&bundle), golden);
        let entries = read(&bundle, 1).expect("a bundle");
        assert_eq!([&entries[0].head, &entries[1].head], [&Ok(plain), &Ok(head())]);
        assert_eq!(&bundle[entries[1].payload.clone()], br#"{"username":"bob"}"#);
        let alone = read(&bundle[entries[1].whole.clone()], 1).expect("a bundle");
        assert_eq!((alone.len(), &alone[0].head), (1, &entries[1].head));
    }

    #[test]
    fn what_is_no_bundle_is_refused_as_a_whole_and_an_operation_without_a_usable_id_alone() {
        let nested = "[".repeat(100_000);
        let many = "{\"name\":\"x\",\"id\":\"a\",\"size\":0}\n\n".repeat(Offer::MOST.operations + 1);
        let large = "x".repeat(Offer::MOST.bytes + 1);
        for bad in [
            "",
            "\n",
            "{}",
            "{}\n",
            "[1]\n{}\n",
            "{\"name\":\"x\",\"id\":\"a\",\"size\":2}\n{}",
            "{\"name\":\"x\",\"id\":\"a\",\"size\":1}\n{}\n",
            "{\"name\":\"x\",\"id\":\"a\",\"size\":-1}\n{}\n",
            "{\"name\":\"x\",\"id\":\"a\",\"size\":18446744073709551615}\n{}\n",
            "{\"name\":\"x\",\"id\":\"a\",\"size\":2}\n{}\n{\"name\"",
            &nested,
            &many,
            &large,
        ] {
            assert!(read(bad.as_bytes(), 1).is_err(), "{}", &bad[..bad.len().min(80)]);
        }
        assert_eq!(
            [many.as_str(), "\n", ""].map(|bytes| at_most(bytes.as_bytes())),
            [Offer::MOST.operations, 0, 0]
        );
        let escaped =
            read(b"{\"name\":\"\\u0078\\/y\",\"id\":\"\\u0061\",\"size\":0}\n\n", 1).expect("a bundle");
        assert_eq!((escaped[0].name.as_str(), escaped.len()), ("x/y", 1));
        for id in ["", "tab\\t"] {
            let bundle = format!("{{\"name\":\"x\",\"id\":\"{id}\",\"size\":2}}\n{{}}\n");
            let entries = read(bundle.as_bytes(), 7).expect("a bundle");
            assert!(entries[0].head.is_err(), "{id}");
        }
        let untimed =
            read(b"{\"name\":\"x\",\"id\":\"a\",\"at\":0,\"size\":9}\n[[[[[[[[[\n", 7).expect("a bundle");
        assert_eq!(untimed[0].head.as_ref().map(|head| head.occurred_at), Ok(7));
    }
}
