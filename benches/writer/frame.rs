//! The string of statements that the writer runs, and the JSON that it binds.
//!
//! The statements around those of the operations are private to the writer. They are read from the writer's
//! source, so that this bench measures what the writer runs; the code for the JSON is a copy.

use rosey::Request;
use rosey::op::Op;
use rosey::operation::{Operation, Persist};

const SOURCE: &str = include_str!("../../src/sql/batch.rs");

/// The largest batch of the writer; equal to its `MOST`.
pub(crate) const MOST: usize = 512;

/// The value of a constant in the writer's source.
fn constant(name: &str) -> &'static str {
    let start = format!("const {name}: &str = \"");
    let text = SOURCE.split_once(start.as_str()).and_then(|(_, rest)| rest.split_once("\";"));
    text.expect("src/sql/batch.rs has the constants BEGIN and END").0
}

/// The string for these kinds of operations.
fn joined(kinds: &[usize]) -> String {
    let effects = kinds.iter().map(|kind| Op::SQLITE[*kind]);
    std::iter::once(constant("BEGIN")).chain(effects).chain([constant("END")]).collect()
}

/// The string for these requests, and the JSON: `{"operation": [[id, occurred_at, payload, hash], …], …}`.
pub(crate) fn batch(requests: &[Request<Op>]) -> (String, String) {
    let mut by_kind: Vec<Vec<String>> = vec![Vec::new(); Op::SPECS.len()];
    for (place, request) in requests.iter().enumerate() {
        let payload = String::from_utf8(request.op.encode().unwrap()).unwrap();
        // Any number can replace the hash, because no id is repeated.
        let row = format!("[\"{}\",{},{payload},{place}]", request.head.id, request.head.occurred_at);
        by_kind[request.op.index()].push(row);
    }
    let kinds: Vec<usize> = (0..by_kind.len()).filter(|kind| !by_kind[*kind].is_empty()).collect();
    let entry = |kind: &usize| format!("\"{}\":[{}]", Op::NAMES[*kind], by_kind[*kind].join(","));
    let json = format!("{{{}}}", kinds.iter().map(entry).collect::<Vec<_>>().join(","));
    (joined(&kinds), json)
}
