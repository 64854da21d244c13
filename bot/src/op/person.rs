//! One person, however the name is written: the key by which names are compared, and the name that is shown.
//!
//! The key is worked out once for each request, where it is applied, and SQL sees it in `op` beside the name, if the two differ.

use std::borrow::Cow;

use eitherway::operation::{Derived, Deriving};

/// The key of a person: the name without upper case.
///
/// Each letter is folded for itself, as Unicode says, and the two small sigmas are one letter. No letter outside of ASCII becomes one of
/// ASCII (the sign of kelvin is no `k`), or somebody else's name could be taken by writing it otherwise. So `ß` is not `ss`.
pub(crate) fn key(name: &str) -> Cow<'_, str> {
    if name.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(name);
    }
    if name.is_ascii() {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    let mut key = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            'ς' => key.push('σ'),
            letter if !letter.is_ascii() && letter.to_lowercase().any(|small| small.is_ascii()) => {
                key.push(letter)
            }
            letter => key.extend(letter.to_lowercase()),
        }
    }
    if key == name { Cow::Borrowed(name) } else { Cow::Owned(key) }
}

/// Whether two names are those of one person.
pub(crate) fn same(one: &str, other: &str) -> bool {
    key(one) == key(other)
}

/// Adds the key of the name in a field, if it differs from the name.
pub(super) fn derive(fields: &mut Derived, name: &'static str, of: &str) {
    if let Cow::Owned(key) = key(of) {
        fields.text(name, &key);
    }
}

/// The key of the person in a field of `op`.
macro_rules! keyed {
    // Short, because it is most of all that is derived.
    ("username") => {
        "coalesce(op ->> 'key', op ->> 'username')"
    };
    ($field:literal) => {
        concat!("coalesce(op ->> '", $field, "_key', op ->> '", $field, "')")
    };
}

/// The name in a field of `op`, if it is not the key.
macro_rules! spelled {
    ("username") => {
        "CASE WHEN op ->> 'key' IS NOT NULL THEN op ->> 'username' END"
    };
    ($field:literal) => {
        concat!("CASE WHEN op ->> '", $field, "_key' IS NOT NULL THEN op ->> '", $field, "' END")
    };
}

/// The name of the person with this key as it was written last; the key, where that is not known.
macro_rules! shown {
    ($key:literal) => {
        concat!(
            "coalesce(nullif(substr(max(
                 coalesce((SELECT named FROM user_stats n WHERE n.username = ", $key, "), ''),
                 coalesce((SELECT named FROM speakers n WHERE n.username = ", $key, "), ''),
                 coalesce((SELECT max(printf('%015d', last) || coalesce(name, username)) FROM lines_waiting n
                           WHERE n.shelf IN (0, 1, 2, 3, 4, 5, 6, 7) AND n.username = ", $key, "), '')), 16), ''), ", $key, ")"
        )
    };
    (postgres $key:literal) => {
        concat!(
            "coalesce(substr(greatest(
                 (SELECT named FROM user_stats n WHERE n.username = ", $key, "),
                 (SELECT max(named) FROM lines_waiting n WHERE n.username = ", $key, "),
                 (SELECT max(lpad(CAST(at AS text), 15, '0') || coalesce(name, username)) FROM presence_waiting n
                  WHERE n.username = ", $key, " AND joined = 1)), 16), ", $key, ")"
        )
    };
}
pub(super) use {keyed, shown, spelled};

/// What is merged when a file is opened that has rows of several spellings.
macro_rules! merging {
    ($of:literal) => {
        Deriving {
            of: $of,
            value: differing,
            says: "SELECT 'people are one however their names are written; what is merged: spellings '
                       || (SELECT count(*) FROM derived) || ', people ' || (SELECT count(DISTINCT value) FROM derived)
                       || ', users ' || (SELECT count(*) FROM user_stats WHERE username IN (SELECT text FROM derived))
                       || ', joins and leaves ' || (SELECT count(*) FROM presence WHERE username IN (SELECT text FROM derived))
                       || ', lines ' || (SELECT count(*) FROM recent_chat WHERE person IS NULL AND username IN (SELECT text FROM derived))
                       || ', messages ' || (
                           SELECT count(*) FROM outbound_messages
                           WHERE username IN (SELECT text FROM derived) OR sender IN (SELECT text FROM derived))",
        }
    };
}

/// Names that may be no keys.
pub(super) const ON_SQLITE: Deriving = merging!(
    "SELECT text FROM derived
     UNION SELECT username FROM lines_waiting WHERE username GLOB '*[^ -@[-~]*'
     UNION SELECT username FROM speakers WHERE username GLOB '*[^ -@[-~]*'
     UNION SELECT username FROM outbound_messages WHERE sent = 0 AND username GLOB '*[^ -@[-~]*'
     UNION SELECT sender FROM outbound_messages WHERE sent = 0 AND sender GLOB '*[^ -@[-~]*'
     UNION SELECT username FROM channel_quotes WHERE username GLOB '*[^ -@[-~]*'
     UNION SELECT added_by FROM channel_quotes WHERE added_by GLOB '*[^ -@[-~]*'
     UNION SELECT username FROM forgotten WHERE username GLOB '*[^ -@[-~]*'"
);

/// The same on PostgreSQL.
pub(super) const ON_POSTGRES: Deriving = merging!(
    "SELECT text FROM derived
     UNION SELECT username FROM lines_waiting WHERE username ~ '[A-Z]|[^ -~]'
     UNION SELECT username FROM presence_waiting WHERE username ~ '[A-Z]|[^ -~]'
     UNION SELECT username FROM outbound_messages WHERE sent = 0 AND username ~ '[A-Z]|[^ -~]'
     UNION SELECT sender FROM outbound_messages WHERE sent = 0 AND sender ~ '[A-Z]|[^ -~]'
     UNION SELECT username FROM channel_quotes WHERE username ~ '[A-Z]|[^ -~]'
     UNION SELECT added_by FROM channel_quotes WHERE added_by ~ '[A-Z]|[^ -~]'
     UNION SELECT username FROM forgotten WHERE username ~ '[A-Z]|[^ -~]'"
);

/// The key of a name that is none.
fn differing(name: &str) -> Option<String> {
    match key(name) {
        Cow::Owned(key) => Some(key),
        Cow::Borrowed(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_case_alone_are_those_of_one_person() {
        for (one, other) in
            [("alice", "ALICE"), ("straße", "STRAẞE"), ("ΣΊΣΥΦΟΣ", "Σίσυφος"), ("Ärn", "äRN"), ("[x]", "[X]")]
        {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in
            [("alice", "alice_"), ("ärn", "arn"), ("[x]", "{x}"), ("kim", "\u{212a}im"), ("", "a")]
        {
            assert!(!same(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_key_is_its_own_key_and_a_name_that_is_one_costs_nothing() {
        for name in ["alice", "007", "müßig 💤", "a[b]\\c~"] {
            assert!(matches!(key(name), Cow::Borrowed(_)), "{name}");
        }
        for letter in '\0'..=char::MAX {
            let name = letter.to_string();
            let folded = key(&name).into_owned();
            assert!(matches!(key(&folded), Cow::Borrowed(_)), "{name}: {folded}");
        }
    }
}
