//! What could not be understood or applied.

#[cfg(feature = "sqlite")]
use serde_json::Value;
#[cfg(feature = "sqlite")]
use serde_json::map::Entry;

use crate::error::Cause;

/// Why an instance sets aside what is in its stream on a subject that it does not know: as an older one does with a bundle. Another
/// version may apply it yet.
#[cfg(feature = "sqlite")]
pub(crate) const UNKNOWN_SUBJECT: &str = "no event of ours has this subject";

/// Something that arrived and could not be understood or applied.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// When it arrived, in unix milliseconds.
    pub at: i64,
    /// Why it is here.
    pub cause: Cause,
    /// The subject it came on.
    pub subject: String,
    /// The headers of the message.
    pub headers: Vec<(String, String)>,
    /// The bytes of the message.
    pub payload: Vec<u8>,
}

/// A letter with more than this is cut: no operation is as large.
#[cfg(all(feature = "nats", feature = "sqlite"))]
const LARGEST: usize = 512 << 10;
/// What is kept of its payload, and of each header.
#[cfg(all(feature = "nats", feature = "sqlite"))]
const BEGINNING: usize = 4 << 10;
/// How many headers of it are kept.
#[cfg(all(feature = "nats", feature = "sqlite"))]
const HEADERS: usize = 32;

impl DeadLetter {
    /// The bytes of payload and headers.
    #[cfg(feature = "sqlite")]
    pub(crate) fn size(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.len());
        self.payload.len() + headers.sum::<usize>()
    }

    /// The headers as they are written to a database: a JSON object, with an array for a name that comes more than once.
    #[cfg(feature = "sqlite")]
    pub(crate) fn headers_json(&self) -> String {
        let mut headers = serde_json::Map::new();
        for (name, value) in &self.headers {
            match headers.entry(name) {
                Entry::Vacant(new) => drop(new.insert(value.as_str().into())),
                Entry::Occupied(mut known) => match known.get_mut() {
                    Value::Array(values) => values.push(value.as_str().into()),
                    first => *first = Value::from(vec![first.take(), value.as_str().into()]),
                },
            }
        }
        Value::from(headers).to_string()
    }

    /// The letter, or the beginning of one that is larger than any operation.
    #[must_use]
    #[cfg(all(feature = "nats", feature = "sqlite"))]
    pub(crate) fn bounded(mut self) -> Self {
        let size = self.size();
        if size <= LARGEST {
            return self;
        }
        self.payload.truncate(BEGINNING);
        self.payload.shrink_to_fit();
        self.headers.truncate(HEADERS);
        for (name, value) in &mut self.headers {
            for text in [name, value] {
                if text.len() > BEGINNING {
                    let end =
                        (0..=BEGINNING).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
                    *text = text[..end].to_owned();
                }
            }
        }
        if let Cause::Failed { code, message } = &self.cause {
            self.cause =
                Cause::new(*code, format!("{message}; of its {size} bytes only the beginning is kept"));
        }
        self
    }
}
