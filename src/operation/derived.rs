//! What the SQL of an operation sees beside its payload.

/// Fields that are worked out from a payload, for SQL alone: `op` has them before those of the payload. They are not sent, and not
/// part of what an id stands for. See [`Definition::derive`](super::Definition::derive).
#[derive(Debug, Default)]
pub struct Derived(Vec<u8>);

impl Derived {
    /// Adds a text under a name that no field of the payload has.
    pub fn text(&mut self, name: &str, value: &str) {
        for (text, end) in [(name, b':'), (value, b',')] {
            // Neither a text nor a `Vec` can fail.
            let _ = serde_json::to_writer(&mut self.0, text);
            self.0.push(end);
        }
    }

    /// These fields and those of a payload, which is a JSON object; none where there are none of these.
    #[cfg(any(feature = "sqlite", test))]
    pub(crate) fn before(self, payload: &[u8]) -> Option<Vec<u8>> {
        let Self(mut fields) = self;
        if fields.is_empty() {
            return None;
        }
        let rest = payload.trim_ascii_start().strip_prefix(b"{")?.trim_ascii_start();
        if rest.first() == Some(&b'}') {
            fields.pop();
        }
        let mut whole = Vec::with_capacity(1 + fields.len() + rest.len());
        whole.push(b'{');
        whole.append(&mut fields);
        whole.extend_from_slice(rest);
        Some(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_derived_stands_before_what_was_sent() {
        let derived = || {
            let mut derived = Derived::default();
            derived.text("key", "a \"b\"");
            derived.text("other", "é");
            derived
        };
        let whole = |payload: &str| {
            let whole = derived().before(payload.as_bytes()).expect("something is derived");
            String::from_utf8(whole).expect("JSON is UTF-8")
        };
        assert_eq!(whole(r#"{"name":"A"}"#), r#"{"key":"a \"b\"","other":"é","name":"A"}"#);
        assert_eq!(whole(" { } "), r#"{"key":"a \"b\"","other":"é"} "#);
        assert_eq!(Derived::default().before(b"{}"), None);
    }
}
