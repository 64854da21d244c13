//! The function that applies a batch, put together from constants.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::fold;
use crate::operation::{Keys, Persist, Spec};
use crate::store::text::Statement;

const FRAME: &str = include_str!("frame.sql");

/// The number of the lock that all share: of [`Keys::All`]. Those of keys are from 1 to 256. The first number is the schema's.
pub(super) const ALL: &str = "hashtext(current_schema()), 0";

/// The number of the lock of [`Keys::Alone`], which is taken before all others: it waits for nobody who waits for it.
pub(super) const ALONE: &str = "hashtext(current_schema()), -2";

/// Waits for those who migrate the same schema, as long as opening may take. Of the transaction, not the session: a pooler may exchange sessions.
pub(super) const MIGRATES: &str =
    "
    SET LOCAL lock_timeout = '30s'; SET LOCAL statement_timeout = '30s';
    SELECT pg_advisory_xact_lock(hashtextextended('eitherway migrates ' || current_setting('search_path'), 0))";

/// Nobody folds, applies or removes anything behind this, whatever the version of the program: each begins with one of these locks, in
/// this order. With `alone`, also no function that is alone.
pub(super) fn still(alone: bool) -> String {
    let alone = if alone { format!("SELECT pg_advisory_xact_lock({ALONE});") } else { String::new() };
    format!(
        "SELECT pg_advisory_xact_lock({}); {alone}
         DO $$ BEGIN
             IF to_regclass('ledger') IS NOT NULL THEN LOCK TABLE ledger IN SHARE ROW EXCLUSIVE MODE; END IF;
         END $$",
        fold::LOCK
    )
}

/// The texts of a set of operations, in this dialect.
#[derive(Clone, Copy)]
pub(super) struct OfKind {
    pub(super) spec: &'static Spec,
    pub(super) statements: &'static [&'static str],
    pub(super) answer: &'static str,
    pub(super) keys: Keys,
}

/// What each operation says to PostgreSQL.
pub(super) fn kinds<O: Persist>() -> impl Iterator<Item = OfKind> {
    O::SPECS.iter().enumerate().map(|(kind, spec)| {
        let dialect = &O::POSTGRES[kind];
        OfKind {
            spec,
            statements: dialect.statements.unwrap_or(O::STATEMENTS[kind]),
            answer: dialect.answer.unwrap_or(O::ANSWERS[kind]),
            keys: dialect.keys,
        }
    })
}

/// The function.
#[derive(Clone, Debug)]
pub(super) struct Function {
    pub(super) name: String,
    /// That which folds, of the same operations.
    pub(super) fold: String,
    /// The statements that make both.
    pub(super) text: String,
}

impl Function {
    pub(super) fn of<O: Persist>() -> Self {
        let kinds: Vec<OfKind> = kinds::<O>().filter(|kind| kind.spec.writes()).collect();
        let body = FRAME
            .replace("{ALONE}", &alone(&kinds))
            .replace("{OWN}", &effects(&kinds, |kind| kind.keys == Keys::Own && !kind.spec.claim))
            .replace("{LOCKS}", &locks(&kinds))
            .replace("{SHARED}", &effects(&kinds, |kind| kind.keys != Keys::Own && !kind.spec.claim))
            .replace("{CLAIMS}", &effects(&kinds, |kind| kind.spec.claim));
        let body = body + &fold::function::<O>(has_alone::<O>().then_some(ALONE));
        let hash = Sha256::digest(&body);
        let hash = hash.iter().take(8).fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        let name = format!("apply_{hash}");
        // No text of an operation knows the hash of itself.
        let fold = format!("fold_{hash}");
        let text =
            body.replace("{NAME}", &name).replace("{FOLD}", &fold).replace("{TAG}", &format!("${name}$"));
        Self { name, fold, text }
    }

    /// What the statements make: both, or one where there is nothing to fold.
    pub(super) fn names(&self) -> Vec<&str> {
        let names = [self.name.as_str(), self.fold.as_str()];
        names.into_iter().filter(|name| self.text.contains(&format!("FUNCTION {name}("))).collect()
    }

    /// The statement of a batch: `$1` as JSON, `$2` the most bytes of a list.
    pub(super) fn call(&self) -> String {
        format!("SELECT id, answer, known, reused FROM {}($1::jsonb, $2)", self.name)
    }
}

/// The rows of a kind in a document, `{"operation": [[id, occurred_at, payload, hash], …], …}`.
fn rows(document: &str, name: &str) -> String {
    format!("SELECT r ->> 0, (r ->> 1)::bigint, r -> 2 FROM jsonb_array_elements({document} -> '{name}') r")
}

const HOST: &str = "host (now, answer_bytes) AS (SELECT eitherway_now, $2)";

/// A statement over these rows. One that cannot be read was refused when the database was opened.
fn over(sql: &str, source: &str, rows: &str) -> String {
    Statement::read(sql).map_or_else(
        |_| String::new(),
        |text| text.over(&format!("{source} (id, at, op) AS ({rows}), {HOST}")),
    )
}

fn names(kinds: &[OfKind], these: impl Fn(&Keys) -> bool) -> String {
    let names = kinds.iter().filter(|kind| these(&kind.keys)).map(|kind| format!("'{}'", kind.spec.name));
    names.collect::<Vec<_>>().join(", ")
}

/// The lock of what is alone: its own, or shared with all others. Nothing where no operation is.
fn alone(kinds: &[OfKind]) -> String {
    let alone = names(kinds, |keys| *keys == Keys::Alone);
    if alone.is_empty() {
        return String::new();
    }
    format!(
        "    IF batch ?| ARRAY[{alone}] THEN
        PERFORM pg_advisory_xact_lock({ALONE});
    ELSE
        PERFORM pg_advisory_xact_lock_shared({ALONE});
    END IF;"
    )
}

/// Whether one of these operations is alone, so that all others share its lock.
pub(super) fn has_alone<O: Persist>() -> bool {
    kinds::<O>().any(|kind| kind.keys == Keys::Alone)
}

/// The locks of what is new. Either the one of all, alone; or that one shared, and those of the keys, in order. They come behind
/// the ledger, so no transaction that holds one waits for the ledger; and behind what needs none, so that others wait for less.
fn locks(kinds: &[OfKind]) -> String {
    let with_keys = kinds.iter().filter_map(|kind| match kind.keys {
        Keys::Of(sql) => Some((kind.spec.name, sql)),
        Keys::All | Keys::Alone | Keys::Own => None,
    });
    let keys: Vec<String> = with_keys
        .map(|(name, sql)| {
            format!("SELECT k.key FROM ({}) k (key)", over(sql, "new", &rows("eitherway_fresh", name)))
        })
        .collect();
    let all = names(kinds, |keys| *keys == Keys::All);
    let mut text = String::from("    IF ");
    if all.is_empty() {
        text.push_str("false");
    } else {
        let _ = write!(text, "eitherway_fresh ?| ARRAY[{all}]");
    }
    let _ = write!(text, " THEN\n        PERFORM pg_advisory_xact_lock({ALL});\n");
    if !keys.is_empty() {
        let of = names(kinds, |keys| matches!(keys, Keys::Of(_)));
        let _ = write!(
            text,
            "    ELSIF eitherway_fresh ?| ARRAY[{of}] THEN
        PERFORM pg_advisory_xact_lock_shared({ALL});
        PERFORM pg_advisory_xact_lock(hashtext(current_schema()), s.k) FROM (
            SELECT DISTINCT 1 + (hashtext(u.key) & 255) AS k FROM (
                {}) u ORDER BY 1) s;\n",
            keys.join(" UNION ALL ")
        );
    }
    text.push_str("    END IF;\n");
    text
}

fn effects(kinds: &[OfKind], these: impl Fn(&OfKind) -> bool) -> String {
    let mut text = String::new();
    // Others are applied by functions of their own, behind this one.
    for kind in kinds.iter().filter(|kind| !kind.statements.is_empty() && these(kind)) {
        let name = kind.spec.name;
        let fresh = rows("eitherway_fresh", name);
        let _ = writeln!(text, "    IF eitherway_fresh ? '{name}' THEN");
        if kind.spec.claim {
            text.push_str("        eitherway_changed := 0;\n");
        }
        for statement in kind.statements {
            let _ = writeln!(text, "        {};", over(statement, "new", &fresh).trim_end());
            if kind.spec.claim {
                text.push_str(
                    "        GET DIAGNOSTICS eitherway_count = ROW_COUNT;\n        eitherway_changed := eitherway_changed + eitherway_count;\n",
                );
            }
        }
        if !kind.answer.is_empty() && !kind.spec.claim {
            let _ = writeln!(
                text,
                "        RETURN QUERY WITH asked (id, at, op) AS ({fresh}), {HOST}, given (id, answer) AS ({}\n)
        UPDATE ledger l SET answer = given.answer::jsonb::text FROM given
        WHERE l.id = given.id AND l.id = ANY (eitherway_ids) AND l.operation = '{name}'
        RETURNING l.id, l.answer, false, false;",
                kind.answer
            );
        }
        text.push_str("    END IF;\n");
        if kind.spec.claim {
            text.push_str(&claim(kind));
        }
    }
    text
}

/// What claims are answered, those that were there before too. One that has changed nothing leaves no row.
fn claim(kind: &OfKind) -> String {
    let name = kind.spec.name;
    format!(
        "    IF batch ? '{name}' THEN
        RETURN QUERY WITH asked (id, at, op) AS (
            SELECT l.id, l.occurred_at, r -> 2 FROM jsonb_array_elements(batch -> '{name}') r
            JOIN ledger l ON l.id = r ->> 0 AND l.operation = '{name}' AND l.hash = (r ->> 3)::bigint),
        {HOST}, given (id, answer) AS ({}\n)
        SELECT given.id, given.answer::jsonb::text, false, false FROM given;
        IF eitherway_changed = 0 THEN
            DELETE FROM ledger l USING jsonb_array_elements(eitherway_fresh -> '{name}') r WHERE l.id = r ->> 0;
        END IF;
    END IF;\n",
        kind.answer
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample as Op;

    #[test]
    fn the_same_operations_have_one_name_for_their_function() {
        let (one, other) = (Function::of::<Op>(), Function::of::<Op>());
        assert_eq!((&one.name, &one.text), (&other.name, &other.text));
        assert!(one.text.contains(&one.name) && one.name.len() == 6 + 16, "{}", one.name);
        for brace in ["{ALONE}", "{NAME}", "{FOLD}", "{TAG}", "{OWN}", "{LOCKS}", "{SHARED}", "{CLAIMS}"] {
            assert!(!one.text.contains(brace), "{brace}");
        }
    }
}
