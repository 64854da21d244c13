//! What the compiler refuses: operations that could be taken for each other, or would have no effect.

use super::{Dialect, Fold, Invariant, Kind, Persist, RetentionRule, Spec};

/// Fails to compile where a set of operations, made by [`operations!`](crate::operations) or by hand, is none.
///
/// # Panics
/// At compile time, with what is wrong.
pub const fn validate_set<O: Persist>() {
    validate(O::SPECS);
    validate_upkeep(O::SWEEPS, O::CHECKS);
    validate_folds(O::FOLDS, O::POSTGRES);
    let count = O::SPECS.len();
    let same = O::NAMES.len() == count
        && O::STATEMENTS.len() == count
        && O::ANSWERS.len() == count
        && O::APPLY.len() == count
        && O::SWEEPS.len() == count
        && O::FOLDS.len() == count
        && O::CHECKS.len() == count
        && O::POSTGRES.len() == count;
    assert!(same, "each list of a set has an entry for each operation");
    let mut i = 0;
    while i < count {
        let statements = !O::STATEMENTS[i].is_empty();
        validate_parts(&O::SPECS[i], statements, O::APPLY[i].is_some(), !O::ANSWERS[i].is_empty());
        let other = &O::POSTGRES[i];
        let effect = other.statements.is_some() || other.answer.is_some();
        assert!(
            !(effect && O::APPLY[i].is_some()),
            "an operation that implements Apply has no statements on PostgreSQL"
        );
        i += 1;
    }
}

/// Fails to compile where the operations of a type could be taken for each other: names are `a-z`, `0-9` and `_`, names
/// and subjects differ, and no subject is a pattern.
const fn validate(specs: &[Spec]) {
    let mut i = 0;
    while i < specs.len() {
        let name = specs[i].name.as_bytes();
        assert!(!name.is_empty(), "an operation has no name");
        assert!(is_plain(name), "the name of an operation may have a-z, 0-9 and _ only");
        let mut j = 0;
        while j < i {
            assert!(!same(name, specs[j].name.as_bytes()), "two operations have one name");
            let (subject, other) = (specs[i].subject.as_bytes(), specs[j].subject.as_bytes());
            assert!(!same(subject, other), "two operations have one subject");
            j += 1;
        }
        let subject = specs[i].subject.as_bytes();
        assert!(!subject.is_empty(), "an operation has no subject");
        let mut c = 0;
        while c < subject.len() {
            let plain = subject[c].is_ascii_graphic() && subject[c] != b'*' && subject[c] != b'>';
            assert!(plain, "the subject of an operation has a wildcard or a blank in it");
            c += 1;
        }
        i += 1;
    }
}

/// Fails to compile where an operation has no effect, one that its kind rules out, or two. What its statements say is
/// looked at when a database is opened.
const fn validate_parts(spec: &Spec, statements: bool, applies: bool, answers: bool) {
    match spec.kind {
        Kind::Query => {
            assert!(!statements && !applies, "a query changes nothing: it has an ANSWER, and no STATEMENTS");
            assert!(answers, "a query has an ANSWER");
        }
        Kind::Event | Kind::Call => {
            assert!(statements || applies, "an operation that writes has STATEMENTS, or implements Apply");
            assert!(
                !(statements && applies),
                "an operation has STATEMENTS or implements Apply, and not both"
            );
            assert!(!answers || !matches!(spec.kind, Kind::Event), "an event has no ANSWER: make it a call");
        }
    }
    assert!(!spec.claim || (answers && statements), "a claim is a call with STATEMENTS and an ANSWER");
}

/// The same for what a database does by itself: a sweep has a name and removes something, a check has no parameters.
const fn validate_upkeep(sweeps: &[&[RetentionRule]], checks: &[&[Invariant]]) {
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

/// The same for folds: a name for SQL, and something to do.
const fn validate_folds(folds: &[&[Fold]], dialects: &[Dialect]) {
    let mut i = 0;
    while i < folds.len() {
        each_fold(folds[i]);
        if let Some(folds) = dialects[i].folds {
            each_fold(folds);
        }
        i += 1;
    }
}

const fn each_fold(folds: &[Fold]) {
    let mut i = 0;
    while i < folds.len() {
        let name = folds[i].name.as_bytes();
        assert!(!name.is_empty() && is_plain(name), "the name of a fold has a-z, 0-9 and _ only");
        assert!(!folds[i].rule.remove.is_empty(), "a fold does nothing");
        i += 1;
    }
}

const fn is_plain(name: &[u8]) -> bool {
    let mut c = 0;
    while c < name.len() {
        if !(name[c].is_ascii_lowercase() || name[c].is_ascii_digit() || name[c] == b'_') {
            return false;
        }
        c += 1;
    }
    true
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

#[cfg(test)]
mod tests {
    use super::*;

    fn panics(validate: impl FnOnce() + std::panic::UnwindSafe) -> String {
        let panic = std::panic::catch_unwind(validate).expect_err("it is refused");
        panic
            .downcast_ref::<&str>()
            .map_or_else(|| panic.downcast_ref::<String>().cloned(), |s| Some((*s).into()))
            .unwrap_or_default()
    }

    #[test]
    fn operations_that_could_be_taken_for_each_other_are_refused() {
        const A: Spec = Spec::event("a", "site.a");
        validate(&[A, Spec::call("b", "site.b")]);
        for (specs, said) in [
            (vec![A, Spec::event("a", "site.b")], "one name"),
            (vec![A, Spec::event("b", "site.a")], "one subject"),
            (vec![A, Spec::event("", "site.b")], "no name"),
            (vec![A, Spec::event("b' --", "site.b")], "a-z"),
            (vec![A, Spec::event("b", "site.*")], "wildcard"),
            (vec![A, Spec::event("b", "site.>")], "wildcard"),
            (vec![A, Spec::event("b", "")], "no subject"),
        ] {
            let why = panics(move || validate(&specs));
            assert!(why.contains(said), "{said}: {why}");
        }
    }

    #[test]
    fn an_operation_without_an_effect_or_with_two_kinds_of_one_is_refused() {
        let (event, call, query) =
            (Spec::event("a", "site.a"), Spec::call("a", "site.a"), Spec::query("a", "site.a"));
        validate_parts(&event, true, false, false);
        validate_parts(&call, false, true, false);
        validate_parts(&query, false, false, true);
        for (spec, (statements, applies, answers), said) in [
            (event, (false, false, false), "has STATEMENTS"),
            (event, (true, true, false), "not both"),
            (event, (true, false, true), "an event has no ANSWER"),
            (query, (true, false, true), "a query changes nothing"),
            (query, (false, true, true), "a query changes nothing"),
            (query, (false, false, false), "a query has an ANSWER"),
            (call.claim(), (true, false, false), "a claim"),
            (call.claim(), (false, true, true), "a claim"),
        ] {
            let why = panics(move || validate_parts(&spec, statements, applies, answers));
            assert!(why.contains(said), "{said}: {why}");
        }
    }
}
