//! What the compiler refuses: operations that could be taken for each other, or would have no effect.

use super::{Check, Spec, Sweep};

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
        assert!(!has(statements[i].as_bytes(), b'?'), "parameters are written $1, never ?1");
        i += 1;
    }
}

/// The same for what a database does by itself: parameters have their form, a check has none, and what removes ends
/// so that something can follow.
///
/// # Panics
/// At compile time, with what is wrong.
pub const fn validate_upkeep(sweeps: &[&[Sweep]], checks: &[&[Check]]) {
    let mut i = 0;
    while i < sweeps.len() {
        let mut j = 0;
        while j < sweeps[i].len() {
            let (find, remove) = (sweeps[i][j].find.as_bytes(), sweeps[i][j].remove.as_bytes());
            assert!(!sweeps[i][j].name.is_empty(), "a sweep has no name");
            assert!(!has(find, b'?') && !has(remove, b'?'), "parameters are written $1, never ?1");
            assert!(!has(find, b';'), "a sweep finds with one SELECT");
            assert!(
                matches!(remove.trim_ascii_end().last(), Some(b';')),
                "what a sweep removes with ends with ;"
            );
            j += 1;
        }
        i += 1;
    }
    let mut i = 0;
    while i < checks.len() {
        let mut j = 0;
        while j < checks[i].len() {
            let sql = checks[i][j].sql.as_bytes();
            assert!(!has(sql, b'?') && !has(sql, b'$'), "a check has no parameters");
            assert!(!has(sql, b';'), "a check is one SELECT");
            j += 1;
        }
        i += 1;
    }
}

const fn has(statements: &[u8], byte: u8) -> bool {
    let mut c = 0;
    while c < statements.len() {
        if statements[c] == byte {
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
