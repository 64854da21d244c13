//! What becomes of each write: what the statements answered, and what the ledger had before.

use std::collections::HashMap;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::rows::{self, Rows};
use super::transaction::{Applied, BatchSql, Done, Shared, hop};
use crate::store::call::kept;
use crate::store::queue::Write;
use crate::store::writer::Outcome;

/// What the ledger had of these before: their answers, and whether they stand there for something else. `$2` is
/// `{"id": [operation, hash], …}`.
pub(super) const PRIOR_ANSWERS: &str = "
    SELECT l.id, l.answer, l.operation <> r.value ->> 0 OR l.hash <> r.value ->> 1
    FROM jsonb_each($2) r CROSS JOIN ledger l ON l.id = r.key
    WHERE l.batch <> $1";

/// Takes what was answered to the writes that it was answered to.
pub(super) fn answered(
    writes: &[Write],
    left: &[usize],
    done: Done,
    outcomes: &mut [Option<Outcome>],
) -> Result<(), sqlx::Error> {
    for (place, outcome) in done.plain {
        outcomes[place] = Some(outcome);
    }
    if done.answers.is_empty() {
        return Ok(());
    }
    let places: HashMap<String, usize> = left.iter().map(|n| (writes[*n].id.to_string(), *n)).collect();
    for row in &done.answers {
        let (id, answer): (&str, Option<String>) = (row.try_get(0)?, row.try_get(1)?);
        if let Some((place, answer)) = places.get(id).zip(answer) {
            outcomes[*place] = Some(Outcome::Answer(answer));
        }
    }
    Ok(())
}

/// Takes what the ledger had before to the writes that it had it of, and counts them.
pub(super) async fn known(
    connection: &mut SqliteConnection,
    frames: &BatchSql,
    shared: Shared,
    writes: &[Write],
    left: &[usize],
    outcomes: &mut [Option<Outcome>],
    applied: &mut Applied,
) -> Result<(), sqlx::Error> {
    let ids = rows::ids(frames.specs, left.iter().map(|n| &writes[*n]));
    let (rows, _) = hop(connection, sqlx::query(PRIOR_ANSWERS).bind(shared.number).bind(ids)).await?;
    let places: HashMap<String, usize> = left.iter().map(|n| (writes[*n].id.to_string(), *n)).collect();
    let mut claims = Vec::new();
    for row in &rows {
        let Some(place) = places.get(row.try_get::<&str, _>(0)?).copied() else { continue };
        let kind = writes[place].index;
        if row.try_get(2)? {
            outcomes[place] = Some(Outcome::IdReused);
            continue;
        }
        applied.duplicates.push(kind);
        let answer: Option<String> = row.try_get(1)?;
        let outcome = match answer {
            Some(answer) => kept(answer),
            None if frames.specs[kind].claim => {
                claims.push(place);
                continue;
            }
            None => Outcome::Answer(frames.silence(kind).to_owned()),
        };
        outcomes[place] = Some(outcome);
    }
    claims.retain(|place| outcomes[*place].is_none());
    if claims.is_empty() {
        return Ok(());
    }
    let rows = Rows::of_writes(frames.specs.len(), claims.iter().map(|n| &writes[*n]));
    let mut again = Done::default();
    for kind in rows.kinds() {
        again.run(connection, shared, &frames.strings.again(*kind), &rows).await?;
    }
    answered(writes, &claims, again, outcomes)?;
    for place in claims {
        let silence = || Outcome::Answer(frames.silence(writes[place].index).to_owned());
        outcomes[place].get_or_insert_with(silence);
    }
    Ok(())
}
