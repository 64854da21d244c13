//! The schema of a namespace: what it is called, and whose it is.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::namespace::Namespace;

/// The longest name that PostgreSQL does not cut, in bytes.
pub(super) const LONGEST: usize = 63;
/// As much of it the set of operations may take.
pub(super) const LONGEST_OF_SET: usize = 40;
/// The digits of a hash at the end of a name.
const DIGITS: usize = 16;

/// What the schema of a namespace is called: `rosey` without one, `rosey_lounge` in `lounge`.
///
/// A name that a schema cannot have, or that is too long, is cut and ends in its hash; so does one that looks as if it had a
/// hash there. No two namespaces of a set have one schema.
pub(super) fn name(set: &str, namespace: &Namespace) -> String {
    if namespace.is_none() {
        return set.to_owned();
    }
    let plain = format!("{set}_{namespace}");
    if plain.len() <= LONGEST && !plain.contains(['.', '-']) && !has_hash(namespace.as_str()) {
        return plain;
    }
    let mut name = plain.replace(['.', '-'], "_");
    name.truncate(LONGEST - 1 - DIGITS);
    name.push('_');
    for byte in Sha256::digest(namespace.as_str()).iter().take(DIGITS / 2) {
        let _ = write!(name, "{byte:02x}");
    }
    name
}

/// The namespace that a schema of this name is for, if it has no hash.
pub(super) fn namespace(set: &str, schema: &str) -> Option<Namespace> {
    let namespace = Namespace::new(schema.strip_prefix(set)?.strip_prefix('_')?).ok()?;
    (name(set, &namespace) == schema).then_some(namespace)
}

fn has_hash(name: &str) -> bool {
    let digits = |hash: &str| hash.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    name.rsplit_once('_').is_some_and(|(_, hash)| hash.len() == DIGITS && digits(hash))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Namespace {
        text.parse().expect(text)
    }

    #[test]
    fn a_schema_is_called_after_its_namespace() {
        assert_eq!(name("rosey", &Namespace::none()), "rosey");
        assert_eq!(name("rosey", &of("lounge")), "rosey_lounge");
        assert_eq!(name("rosey", &of("my_room_2")), "rosey_my_room_2");
        assert!(name("rosey", &of("irc.my-room")).starts_with("rosey_irc_my_room_"));
        assert_eq!(namespace("rosey", "rosey_lounge"), Some(of("lounge")));
        for foreign in ["rosey", "rosey_", "other_lounge", "roseylounge", &name("rosey", &of("a-b"))] {
            assert_eq!(namespace("rosey", foreign), None, "{foreign}");
        }
    }

    /// Namespaces that are easily taken for each other, beside any.
    fn namespaces() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-c]([-._]?[a-c]){0,6}",
            "[a-z0-9_]{1,20}([-.][a-z0-9_]{1,20}){0,2}",
            "x{50,58}[ab]{0,6}",
            // What the schema of another one is called.
            "[a-c]([-.][a-c]){1,3}".prop_map(|name| super::name("s", &of(&name))[2..].to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn no_two_namespaces_have_one_schema_and_each_is_a_plain_name(
            names in prop::collection::vec(namespaces(), 1..60),
            set in "[a-z_][a-z0-9_]{0,39}",
        ) {
            let mut schemas: HashMap<String, Namespace> = HashMap::new();
            for namespace in names.iter().map(|name| of(name)).chain([Namespace::none()]) {
                let schema = name(&set, &namespace);
                prop_assert!(schema.len() <= LONGEST && schema.starts_with(&set), "{}", schema);
                prop_assert!(schema.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{}", schema);
                if let Some(read) = super::namespace(&set, &schema) {
                    prop_assert_eq!(&read, &namespace);
                }
                let other = schemas.entry(schema).or_insert_with(|| namespace.clone());
                prop_assert_eq!(&*other, &namespace);
            }
        }
    }
}
