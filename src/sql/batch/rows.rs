//! The batch as JSON, by kind of operation.

use std::sync::Arc;

use crate::operation::Spec;
use crate::store::queue::Write;

/// What the statements of one kind bind.
#[derive(Default)]
pub(super) struct OfKind {
    /// `[[id, occurred_at, hash], …]`.
    pub(super) ledger: Arc<str>,
    /// `{"id": payload, …}`.
    pub(super) payloads: Arc<str>,
}

/// The batch.
pub(super) struct Rows {
    by_kind: Vec<OfKind>,
    kinds: Vec<usize>,
}

/// JSON in the making.
#[derive(Default)]
struct Json {
    ledger: Vec<u8>,
    payloads: Vec<u8>,
}

impl Json {
    fn add(&mut self, write: &Write) {
        let id = quoted(&write.id.to_string());
        begin(&mut self.ledger, b'[');
        self.ledger.push(b'[');
        self.ledger.extend_from_slice(id.as_bytes());
        self.ledger.extend_from_slice(format!(",{},{}]", write.occurred_at, write.hash).as_bytes());
        begin(&mut self.payloads, b'{');
        self.payloads.extend_from_slice(id.as_bytes());
        self.payloads.push(b':');
        self.payloads.extend_from_slice(&write.payload);
    }

    fn end(mut self) -> OfKind {
        self.ledger.push(b']');
        self.payloads.push(b'}');
        OfKind { ledger: text(self.ledger), payloads: text(self.payloads) }
    }
}

impl Rows {
    pub(super) fn of_writes<'a>(kinds: usize, writes: impl Iterator<Item = &'a Write>) -> Self {
        let mut json: Vec<Option<Json>> = std::iter::repeat_with(|| None).take(kinds).collect();
        for write in writes {
            json[write.index].get_or_insert_default().add(write);
        }
        let kinds = (0..json.len()).filter(|kind| json[*kind].is_some()).collect();
        let by_kind = json.into_iter().map(|json| json.map(Json::end).unwrap_or_default()).collect();
        Self { by_kind, kinds }
    }

    /// The kinds that it has, in order.
    pub(super) fn kinds(&self) -> &[usize] {
        &self.kinds
    }

    pub(super) fn of(&self, kind: usize) -> &OfKind {
        &self.by_kind[kind]
    }
}

/// The ids, with what they are the ids of: `{"id": [operation, hash], …}`.
pub(super) fn ids<'a>(specs: &[Spec], writes: impl Iterator<Item = &'a Write>) -> Arc<str> {
    let mut json = Vec::new();
    for write in writes {
        begin(&mut json, b'{');
        let (id, name) = (quoted(&write.id.to_string()), specs[write.index].name);
        json.extend_from_slice(format!("{id}:[\"{name}\",{}]", write.hash).as_bytes());
    }
    json.push(b'}');
    text(json)
}

/// What stands before an entry.
fn begin(json: &mut Vec<u8>, bracket: u8) {
    json.push(if json.is_empty() { bracket } else { b',' });
}

/// An id is printable ASCII; it may have quotes in it.
fn quoted(id: &str) -> String {
    let mut quoted = String::with_capacity(id.len() + 2);
    quoted.push('"');
    for letter in id.chars() {
        if matches!(letter, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(letter);
    }
    quoted.push('"');
    quoted
}

/// Made of JSON that serde wrote: always UTF-8.
fn text(json: Vec<u8>) -> Arc<str> {
    String::from_utf8(json).unwrap_or_default().into()
}
