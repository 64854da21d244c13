//! What the compiler refuses: operations that could be taken for each other, or would have no effect.

use super::{Check, Definition, Kind, Spec, Sweep};

/// Fails to compile where the operations of a type could be taken for each other: names are `a-z`, `0-9` and `_`, names
/// and subjects differ. For [`operations!`](crate::operations).
///
/// # Panics
/// At compile time, with what is wrong.
pub const fn validate(specs: &[Spec]) {
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
        let mut j = 0;
        while j < i {
            assert!(!same(name, specs[j].name.as_bytes()), "two operations have one name");
            let (subject, other) = (specs[i].subject.as_bytes(), specs[j].subject.as_bytes());
            assert!(!same(subject, other), "two operations have one subject");
            j += 1;
        }
        i += 1;
    }
}

/// Fails to compile where an operation has no effect, or one that its kind rules out. What its statements say is looked at
/// when a database is opened. For [`operations!`](crate::operations).
///
/// # Panics
/// At compile time, with what is wrong.
pub const fn validate_effect<D: Definition>() {
    let (spec, answers) = (D::SPEC, !D::ANSWER.is_empty());
    let (statements, applies) = (!D::STATEMENTS.is_empty(), D::APPLY.is_some());
    match spec.kind {
        Kind::Query => {
            assert!(!statements && !applies, "a query changes nothing: it has an ANSWER, and no STATEMENTS");
            assert!(answers, "a query has an ANSWER");
        }
        Kind::Event | Kind::Call => {
            assert!(statements || applies, "an operation that writes has STATEMENTS, or implements Apply");
            assert!(!answers || !matches!(spec.kind, Kind::Event), "an event has no ANSWER: make it a call");
        }
    }
    assert!(!spec.claim || (answers && statements), "a claim is a call with STATEMENTS and an ANSWER");
}

/// The same for what a database does by itself: a sweep has a name and removes something, a check has no parameters.
///
/// # Panics
/// At compile time, with what is wrong.
pub const fn validate_upkeep(sweeps: &[&[Sweep]], checks: &[&[Check]]) {
    let mut i = 0;
    while i < sweeps.len() {
        let mut j = 0;
        while j < sweeps[i].len() {
            assert!(!sweeps[i][j].name.is_empty(), "a sweep has no name");
            assert!(!sweeps[i][j].remove.is_empty(), "a sweep removes nothing");
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
