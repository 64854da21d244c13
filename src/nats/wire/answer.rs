//! Answers: who gives them, on which database, what they refuse and what they leave out.

use async_nats::header::HeaderMap;
use async_nats::{HeaderName, Message};

use super::{DATABASE, ERROR, ERROR_CODE, OPERATION_ID, REFUSAL, REPLY, TRUNCATED, value};
use crate::error::{Cause, Code};
use crate::headers::{self, Header};
use crate::operation::{Refusal, Spec, usual_refusal};
use crate::request::OpId;

/// Whether this reply is from our service.
#[must_use]
pub fn is_ours(message: &Message) -> bool {
    said(message, headers::REPLY).is_some()
}

/// The operation that a reply of our service names: `Some(None)` if it is not a valid id, `None` if it names none.
#[must_use]
pub fn answered(message: &Message) -> Option<Option<OpId>> {
    Some(OpId::parse(said(message, headers::OPERATION_ID)?).ok())
}

/// What a reply says in a header. Replies are our own: they have its names as they are written here.
fn said(message: &Message, header: Header) -> Option<&str> {
    let headers = message.headers.as_ref()?;
    header.names().find_map(|name| headers.get(HeaderName::from_static(name))).map(|value| value.as_str())
}

/// Names in the headers of an answer the operation that is answered, if the request has our own header for its id.
pub fn name_operation(answer: &mut HeaderMap, request: &Message) {
    let id = request.headers.as_ref().and_then(|headers| value(headers, headers::OPERATION_ID));
    if let Some(id) = id.and_then(|id| OpId::parse(id).ok()) {
        answer.insert(OPERATION_ID, id.to_string());
    }
}

/// The database that a reply names.
#[must_use]
pub fn database(message: &Message) -> Option<&str> {
    said(message, headers::DATABASE)
}

/// The refusal in a reply, if it is one. Only the headers decide.
#[must_use]
pub fn refusal(message: &Message) -> Option<Cause> {
    let headers = message.headers.as_ref()?;
    let status = headers.get(ERROR_CODE)?.as_str().parse().unwrap_or(500);
    let reason = headers.get(ERROR).map_or("refused without a reason", |v| v.as_str());
    if let Some(code) = said(message, headers::REFUSAL) {
        let refusal = Refusal::new(code.to_owned(), reason.to_owned());
        return Some(Cause::Refused(Box::new(refusal)));
    }
    Some(Cause::new(Code::from_status(status), reason.to_owned()))
}

/// The headers of every answer. `database` is empty where none is open: such an answer recognises no service.
#[must_use]
pub fn answer_headers(database: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(REPLY, "1");
    if !database.is_empty() {
        headers.insert(DATABASE, database);
    }
    headers
}

/// The headers of an answer from which `omitted` entries were left out.
#[must_use]
pub fn cut_headers(database: &str, omitted: u64) -> HeaderMap {
    let mut headers = answer_headers(database);
    if omitted > 0 {
        headers.insert(TRUNCATED, omitted.to_string());
    }
    headers
}

/// The number of entries left out of the answer.
#[must_use]
pub fn omitted(message: &Message) -> u64 {
    said(message, headers::TRUNCATED).and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// Headers and body of a refusal, for a message of at most `most` bytes: the text takes a fifth of it in each. The body
/// keeps the form that peers expect which read no headers: a list stays a list.
#[must_use]
pub fn refusal_within(
    database: &str,
    spec: Option<&Spec>,
    cause: &Cause,
    most: usize,
) -> (HeaderMap, Vec<u8>) {
    let (code, text) = (cause.code(), one_line(cause, most / 5));
    let mut headers = answer_headers(database);
    headers.insert(ERROR, text.as_str());
    headers.insert(ERROR_CODE, code.status.to_string());
    let name = match cause {
        Cause::Refused(refusal) => {
            let name = printable(&refusal.code, 64);
            headers.insert(REFUSAL, name.as_str());
            name
        }
        _ => code.name.to_owned(),
    };
    let body = match spec {
        Some(spec) if spec.answer_is_list() => spec.empty_answer.to_owned(),
        Some(spec) => (spec.refusal)(&name, &text),
        None => usual_refusal(&name, &text),
    };
    (headers, body.into_bytes())
}

/// The message of a cause as a header value: one line of printable text, of at most `most` bytes.
pub(in crate::nats) fn one_line(cause: &Cause, most: usize) -> String {
    let text = match cause {
        Cause::Failed { message, .. } => message.to_string(),
        Cause::Refused(refusal) => refusal.message.to_string(),
        other => other.to_string(),
    };
    printable(&text, most)
}

/// A header value: one line of printable text, of at most `most` bytes and 500 characters.
pub(in crate::nats) fn printable(text: &str, most: usize) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    let end = (0..=most.min(line.len())).rev().find(|end| line.is_char_boundary(*end)).unwrap_or_default();
    line.truncate(end);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_wire_and_a_list_stays_a_list() {
        let cause = Cause::new(Code::BUSY, "the database\nis locked");
        let usual = r#"{"code":"busy","error":"the database is locked","success":false}"#;
        let list = Spec::query("list", "x").list();
        let other = Spec::query("other", "x").refused(|code, sentence| format!("{code}: {sentence}"));
        for (spec, body) in [
            (Some(&list), "[]"),
            (Some(&other), "busy: the database is locked"),
            (Some(&Spec::query("usual", "x")), usual),
            (None, usual),
        ] {
            let (headers, payload) = refusal_within("db", spec, &cause, usize::MAX);
            assert_eq!(String::from_utf8_lossy(&payload), body);
            let message = Message {
                subject: "x".into(),
                reply: None,
                payload: payload.into(),
                headers: Some(headers),
                status: None,
                description: None,
                length: 0,
            };
            assert!(is_ours(&message));
            assert_eq!(refusal(&message), Some(Cause::new(Code::BUSY, "the database is locked")));
        }
    }
}
