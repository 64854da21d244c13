//! What the compiler refuses: operations that could be taken for each other, or would have no effect.

use super::Spec;

/// Fails to compile where the operations of a type could be taken for each other, or would have no effect: names are
/// `a-z`, `0-9` and `_`, names and subjects differ, what writes reads its own rows, parameters have their form. For
/// [`operations!`](crate::operations).
///
/// # Panics
/// At compile time, with what is wrong.
pub const fn validate(specs: &[Spec], statements: &[&str]) {
    let mut i = 0;
    while i < specs.len() {
        let name = specs[i].name.as_bytes();
        assert!(!name.is_empty(), "an operation has no name");
        let mut c = 0;
        while c < name.len() {
            let plain = name[c].is_ascii_lowercase() || name[c].is_ascii_digit() || name[c] == b'_';
            assert!(plain, "the name of an operation may have a-z, 0-9 and _ only");
            c += 1;
        }
        assert!(
            !specs[i].writes() || reads(statements[i].as_bytes(), name),
            "an operation that writes never reads its rows: jsonb_each($2, '$.NAME')"
        );
        let mut j = 0;
        while j < i {
            assert!(!same(name, specs[j].name.as_bytes()), "two operations have one name");
            let (subject, other) = (specs[i].subject.as_bytes(), specs[j].subject.as_bytes());
            assert!(!same(subject, other), "two operations have one subject");
            j += 1;
        }
        assert!(!has_question_mark(statements[i].as_bytes()), "parameters are written $1, never ?1");
        i += 1;
    }
}

const fn has_question_mark(statements: &[u8]) -> bool {
    let mut c = 0;
    while c < statements.len() {
        if statements[c] == b'?' {
            return true;
        }
        c += 1;
    }
    false
}

/// Whether the statements contain `'$.NAME'`.
const fn reads(statements: &[u8], name: &[u8]) -> bool {
    let length = name.len() + 4;
    let mut start = 0;
    while start + length <= statements.len() {
        let quoted = statements[start] == b'\'' && statements[start + length - 1] == b'\'';
        if quoted && statements[start + 1] == b'$' && statements[start + 2] == b'.' {
            let mut c = 0;
            while c < name.len() && statements[start + 3 + c] == name[c] {
                c += 1;
            }
            if c == name.len() {
                return true;
            }
        }
        start += 1;
    }
    false
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
