//! Dead letters as PostgreSQL takes them: a column each.

use sqlx::Postgres;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;

use crate::headers::{DROPPED, UNREAD};
use crate::sql::trim::{MOST, MOST_BYTES};
use crate::store::DeadLetter;
use crate::store::dead_letter::UNKNOWN_SUBJECT;

/// What was found in the stream, by several instances perhaps, is kept once.
pub(super) const DEAD_LETTER_INSERT: &str = "
    INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
    SELECT r.at, r.code, r.reason, r.subject, r.headers, r.payload
    FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bytea[], $7::boolean[])
        WITH ORDINALITY r (at, code, reason, subject, headers, payload, once, place)
    WHERE NOT r.once OR NOT EXISTS (
        SELECT 1 FROM dead_letters d
        WHERE d.id > (SELECT max(id) FROM dead_letters) - 5000 AND d.at = r.at AND d.subject = r.subject
            AND d.headers = r.headers AND d.payload = r.payload)
    ORDER BY r.place";

/// Drops what is too much of letters that can never be applied, the oldest; one of each code and subject says how many there
/// were. One whose header could not be read stays if its payload may be an object: it could be applied yet.
pub(super) fn trim() -> String {
    let (dropped, unread) = (DROPPED.name, UNREAD.name);
    let unread = format!("headers LIKE '%\"{unread}\":%'");
    // What JSON is valid only releases after 15 tell without an error.
    let object = "encode(btrim(payload, '\\x20090a0d'::bytea), 'hex') LIKE '7b%7d'";
    let summary = format!("headers LIKE '{{\"{dropped}\":%'");
    format!(
        "WITH garbage AS (
             SELECT id, row_number() OVER letters AS place,
                    sum(length(payload) + octet_length(headers)) OVER letters AS bytes
             FROM dead_letters
             WHERE code IN ('invalid', 'too_large') AND reason <> '{UNKNOWN_SUBJECT}' AND NOT {summary}
                 AND NOT ({unread} AND {object})
             WINDOW letters AS (ORDER BY id DESC)),
         gone AS (
             DELETE FROM dead_letters d USING garbage g
             WHERE d.id = g.id AND (g.place > {MOST} OR g.bytes > {MOST_BYTES})
             RETURNING d.at, d.code, d.subject, d.reason),
         before AS (
             DELETE FROM dead_letters d
             WHERE {summary} AND EXISTS (SELECT 1 FROM gone g WHERE g.code = d.code AND g.subject = d.subject)
             RETURNING d.at, d.code, d.subject, d.reason, (d.headers::jsonb ->> '{dropped}')::bigint AS n)
         INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
         SELECT max(at), code, sum(n) || ' letters like it were dropped, because there were too many: ' || min(reason),
                subject, '{{\"{dropped}\":\"' || sum(n) || '\"}}', ''
         FROM (SELECT at, code, subject, reason, 1 AS n FROM gone
               UNION ALL SELECT at, code, subject, substr(reason, strpos(reason, ': ') + 2), n FROM before) l
         GROUP BY code, subject"
    )
}

/// Letters, column by column.
#[derive(Default)]
pub(super) struct Columns {
    at: Vec<i64>,
    code: Vec<String>,
    reason: Vec<String>,
    subject: Vec<String>,
    headers: Vec<String>,
    payload: Vec<Vec<u8>>,
    once: Vec<bool>,
}

impl Columns {
    pub(super) fn of(letters: &[DeadLetter]) -> Self {
        let mut columns = Self::default();
        for letter in letters {
            columns.at.push(letter.at);
            columns.code.push(letter.cause.code().name.to_owned());
            columns.reason.push(text(&letter.cause.to_string()));
            columns.subject.push(text(&letter.subject));
            columns.headers.push(text(&letter.headers_json()));
            columns.payload.push(letter.payload.clone());
            columns.once.push(letter.headers.iter().any(|(name, _)| UNREAD.is(name)));
        }
        columns
    }

    pub(super) fn bind<'q>(
        &'q self,
        query: Query<'q, Postgres, PgArguments>,
    ) -> Query<'q, Postgres, PgArguments> {
        query
            .bind(&self.at)
            .bind(&self.code)
            .bind(&self.reason)
            .bind(&self.subject)
            .bind(&self.headers)
            .bind(&self.payload)
            .bind(&self.once)
    }
}

/// PostgreSQL has no texts with NUL in them.
pub(super) fn text(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
