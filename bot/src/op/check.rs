//! The checks that fields share, and the forms of numbers that peers send.

use serde::{Deserialize, Deserializer};

use eitherway::operation::Invalid;

/// The longest name of a user, in bytes.
pub(super) const NAME: usize = 256;
/// The longest name of a plugin and of a key, in bytes: a list of them fits into an answer.
pub(super) const KEY: usize = 128;
/// The longest other short text (a status, a command, a title), in bytes.
pub(super) const SHORT: usize = 4096;
/// The longest free text, in bytes; the limit of the whole payload holds as well.
pub(super) const LONG: usize = eitherway::operation::MAX_PAYLOAD;
/// The largest `limit` of a list.
pub(super) const MOST: u32 = 10_000;

/// A string that must not be empty.
pub(super) fn text(field: &str, value: &str, longest: usize) -> Result<(), Invalid> {
    if value.is_empty() {
        return Err(format!("{field}: is empty").into());
    }
    optional_text(field, value, longest)
}

/// A string that may be empty.
pub(super) fn optional_text(field: &str, value: &str, longest: usize) -> Result<(), Invalid> {
    if value.len() > longest {
        return Err(format!("{field}: {} bytes, at most {longest} are taken", value.len()).into());
    }
    if value.contains('\0') {
        return Err(format!("{field}: contains NUL").into());
    }
    Ok(())
}

/// The `limit` of a list.
pub(super) fn limit(value: u32) -> Result<(), Invalid> {
    at_most("limit", value, MOST)
}

/// A number with an upper bound.
pub(super) fn at_most(field: &str, value: u32, most: u32) -> Result<(), Invalid> {
    if value > most {
        return Err(format!("{field}: {value}, at most {most} is taken").into());
    }
    Ok(())
}

/// The default of a number.
pub(super) const fn number<const DEFAULT: u32>() -> u32 {
    DEFAULT
}

/// A number, where `null` means the default.
pub(super) fn number_or<'de, const DEFAULT: u32, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    Option::deserialize(from).map(|value| value.unwrap_or(DEFAULT))
}

/// Tells "absent" from `null`: the inner option is `None` for `null`.
pub(super) fn present<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(from).map(Some)
}

/// An integer, or one written as a string, as some peers send ids.
pub(super) fn integer<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Number(i64),
        Text(String),
    }
    match Form::deserialize(from) {
        Ok(Form::Number(number)) => Ok(number),
        Ok(Form::Text(text)) => text.trim().parse().map_err(serde::de::Error::custom),
        Err(_) => Err(serde::de::Error::custom("expected an integer")),
    }
}
