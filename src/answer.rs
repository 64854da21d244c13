//! Answers as JSON, and truncation of lists that exceed the size limit of an answer.

#[cfg(feature = "sqlite")]
use std::sync::{Arc, OnceLock};

use serde_json::value::RawValue;

/// JSON of a database, which several may have asked for.
#[cfg(feature = "sqlite")]
#[derive(Clone, Debug)]
pub(crate) struct Json(Arc<Text>);

#[cfg(feature = "sqlite")]
#[derive(Debug)]
struct Text {
    json: String,
    /// The same, once it was looked at whether it is JSON: for all who forward it.
    raw: OnceLock<Result<Box<RawValue>, String>>,
}

#[cfg(feature = "sqlite")]
impl From<String> for Json {
    fn from(json: String) -> Self {
        Self(Arc::new(Text { json, raw: OnceLock::new() }))
    }
}

#[cfg(feature = "sqlite")]
impl Json {
    pub(crate) fn as_str(&self) -> &str {
        &self.0.json
    }

    /// To forward it. It is copied only if others have it as well.
    ///
    /// # Errors
    /// That it is no JSON.
    pub(crate) fn into_raw(self) -> Result<Box<RawValue>, String> {
        let raw = |json| RawValue::from_string(json).map_err(|e| e.to_string());
        match Arc::try_unwrap(self.0) {
            Ok(Text { json, raw: known }) => known.into_inner().unwrap_or_else(|| raw(json)),
            Err(shared) => shared.raw.get_or_init(|| raw(shared.json.clone())).clone(),
        }
    }
}

/// The default limit of a list in bytes: the usual `max_payload` of a NATS server, less a margin.
pub(crate) const MOST: usize = 1_000_000;

/// Which end of a list is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The oldest entries: a reader asks for the newest ones.
    First,
    /// The newest entries: the ones that wait longest are served first.
    #[cfg_attr(not(feature = "nats"), allow(dead_code))] // only a service forwards claims
    Last,
}

/// Removes entries from a JSON list until it is at most `most` bytes long. Returns the remaining list and the
/// number of removed entries, or `None` if `json` is not a list.
pub(crate) fn cut(json: &[u8], most: usize, end: End) -> Option<(Vec<u8>, u64)> {
    let entries: Vec<&RawValue> = serde_json::from_slice(json).ok()?;
    let mut room = most.saturating_sub(2);
    let mut stays = 0;
    for place in 0..entries.len() {
        let entry = match end {
            End::First => entries[entries.len() - 1 - place],
            End::Last => entries[place],
        };
        // The entry and its comma.
        match room.checked_sub(entry.get().len() + 1) {
            Some(rest) => (room, stays) = (rest, place + 1),
            None => break,
        }
    }
    let kept = match end {
        End::First => &entries[entries.len() - stays..],
        End::Last => &entries[..stays],
    };
    let mut list = Vec::with_capacity(most.min(json.len()));
    list.push(b'[');
    for (place, entry) in kept.iter().enumerate() {
        if place > 0 {
            list.push(b',');
        }
        list.extend_from_slice(entry.get().as_bytes());
    }
    list.push(b']');
    Some((list, (entries.len() - stays) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(list: &str, most: usize, end: End) -> (String, u64) {
        let (list, gone) = cut(list.as_bytes(), most, end).expect("a list");
        assert!(list.len() <= most.max(2));
        (String::from_utf8(list).expect("text"), gone)
    }

    #[test]
    fn the_newest_of_a_list_stay_or_its_oldest() {
        let list = r#"[{"a":1},{"b":2},{"c":3}]"#;
        assert_eq!(kept(list, 100, End::First), (list.to_owned(), 0));
        assert_eq!(kept(list, 20, End::First), (r#"[{"b":2},{"c":3}]"#.to_owned(), 1));
        assert_eq!(kept(list, 20, End::Last), (r#"[{"a":1},{"b":2}]"#.to_owned(), 1));
        assert_eq!(kept(list, 5, End::First), ("[]".to_owned(), 3));
        assert_eq!(cut(b"{}", 1, End::First), None);
    }
}
