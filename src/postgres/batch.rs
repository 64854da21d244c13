//! A batch as JSON, and what the function says of it.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::operation::Spec;
use crate::store::call::kept;
use crate::store::queue::Write;
use crate::store::writer::{Applied, Outcome};

/// `{"operation": [[id, occurred_at, payload, hash], …], …}`
pub(super) fn json(specs: &[Spec], writes: &[Write]) -> String {
    let mut kinds: Vec<Vec<u8>> = vec![Vec::new(); specs.len()];
    for write in writes {
        let rows = &mut kinds[write.index];
        let id = serde_json::Value::from(write.id.to_string());
        rows.extend_from_slice(if rows.is_empty() { b"[" } else { b",[" });
        rows.extend_from_slice(format!("{id},{},", write.occurred_at).as_bytes());
        rows.extend_from_slice(&write.payload);
        rows.extend_from_slice(format!(",{}]", write.hash).as_bytes());
    }
    let mut json = Vec::with_capacity(kinds.iter().map(Vec::len).sum::<usize>() + 64);
    for (spec, rows) in specs.iter().zip(&kinds).filter(|(_, rows)| !rows.is_empty()) {
        json.extend_from_slice(if json.is_empty() { b"{" } else { b"," });
        json.extend_from_slice(format!("\"{}\":[", spec.name).as_bytes());
        json.extend_from_slice(rows);
        json.push(b']');
    }
    json.push(b'}');
    // Made of JSON that serde wrote: always UTF-8.
    String::from_utf8(json).unwrap_or_default()
}

/// What is known of each write, in their order.
pub(super) struct BatchOutcome {
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// Those that the ledger had before, with an answer or without.
    pub(super) known: Vec<bool>,
    duplicates: Vec<usize>,
}

/// What the function has said. Of what is new and has no answer, it says nothing.
pub(super) fn read_outcomes(rows: &[PgRow], writes: &[Write]) -> Result<BatchOutcome, sqlx::Error> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let (outcomes, known) = (vec![None; writes.len()], vec![false; writes.len()]);
    let mut told = BatchOutcome { outcomes, known, duplicates: Vec::new() };
    if !rows.is_empty() {
        places = writes.iter().enumerate().map(|(place, write)| (write.id.to_string(), place)).collect();
    }
    for row in rows {
        let Some(place) = places.get(row.try_get::<&str, _>(0)?).copied() else { continue };
        if row.try_get(3)? {
            told.outcomes[place] = Some(Outcome::IdReused);
            continue;
        }
        let known = row.try_get(2)?;
        if known {
            told.known[place] = true;
            told.duplicates.push(writes[place].index);
        }
        if let Some(answer) = row.try_get::<Option<String>, _>(1)? {
            told.outcomes[place] = Some(if known { kept(answer) } else { Outcome::Answer(answer) });
        }
    }
    Ok(told)
}

impl BatchOutcome {
    /// What became of each write.
    pub(super) fn applied(self, writes: &[Write], silences: &[&str]) -> Applied {
        let silence = |write: &Write| Outcome::Answer(silences[write.index].to_owned());
        let all = self.outcomes.into_iter().zip(writes);
        let outcomes = all.map(|(outcome, write)| outcome.unwrap_or_else(|| silence(write))).collect();
        Applied { outcomes, duplicates: self.duplicates }
    }
}
