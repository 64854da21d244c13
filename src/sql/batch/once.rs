//! The transaction of a single event, or call without an answer, as one statement: an insert into a view, in the place of which a
//! trigger inserts the row of the ledger and runs the statements of the operation. SQLite's thread reports the end of each statement
//! of a string, which for a transaction so small takes longer than what the statement does; and there are no rows to be found in
//! JSON again.

use std::sync::Arc;

use sqlx::AssertSqlSafe;
use sqlx::sqlite::SqliteConnection;

use crate::operation::{ApplyFn, Persist, Spec};
use crate::sql::error;
use crate::sqlite::limit;
use crate::store::text::Inserting;

// $1, $2 and $3 are those of a batch; then the id, the time, the payload and the hash.

/// What the statements of the operation work on.
const SOURCES: &str = "new (id, at, op) AS (SELECT NEW.id, NEW.at, NEW.op), host (now, answer_bytes) AS (SELECT NEW.now, NEW.answer_bytes)";

/// What a trigger counts otherwise than a string of statements does, or might.
const COUNTING: [&str; 3] = ["changes", "total_changes", "last_insert_rowid"];

/// What a kind of operation runs in this way.
struct Statement {
    /// Makes the view and its trigger, for one connection.
    create: String,
    drop: String,
    insert: Arc<str>,
    /// The connection that has the view, by its number.
    on: Option<u64>,
}

/// Those kinds that run in this way. The others go as a batch of one.
pub(super) struct Once {
    kinds: Vec<Option<Statement>>,
}

impl Statement {
    /// None for a kind that answers or is applied by a function, and for statements that a trigger cannot have.
    fn of(spec: &Spec, statements: &[&str], answer: &str, function: Option<ApplyFn>) -> Option<Self> {
        if !spec.writes() || spec.claim || !answer.is_empty() || function.is_some() {
            return None;
        }
        let name = spec.name;
        let mut body = format!(
            "INSERT INTO ledger (id, operation, hash, occurred_at, applied_at, batch)
             VALUES (NEW.id, '{name}', NEW.hash, NEW.at, NEW.now, NEW.batch);\n"
        );
        for statement in statements {
            body += &Inserting::read(statement, &COUNTING)?.over(SOURCES);
            body += ";\n";
        }
        let view = format!("eitherway_once_{name}");
        let create = format!(
            "CREATE TEMP VIEW IF NOT EXISTS {view} (id, at, op, hash, batch, now, answer_bytes)
             AS SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL;
             CREATE TEMP TRIGGER IF NOT EXISTS {view}_inserted INSTEAD OF INSERT ON {view}
             BEGIN {body} END;"
        );
        let insert = format!(
            "INSERT INTO {view} (id, at, op, hash, batch, now, answer_bytes) VALUES ($4, $5, jsonb($6), $7, $1, $2, $3)"
        );
        Some(Self { create, drop: format!("DROP VIEW IF EXISTS {view}"), insert: insert.into(), on: None })
    }

    /// Makes the view, and looks whether what its trigger runs can be prepared.
    async fn create(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let create = sqlx::raw_sql(AssertSqlSafe(self.create.clone()));
        limit::within(create.execute(&mut *connection)).await?;
        let plan = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", self.insert)));
        limit::within(plan.persistent(false).fetch_all(connection)).await.map(drop)
    }
}

impl Once {
    pub(super) fn of<O: Persist>() -> Self {
        let kind = |(kind, spec): (usize, &Spec)| {
            Statement::of(spec, O::STATEMENTS[kind], O::ANSWERS[kind], O::APPLY[kind])
        };
        Self { kinds: O::SPECS.iter().enumerate().map(kind).collect() }
    }

    /// Of each kind that has one: what makes its view, and the statement.
    pub(super) fn texts(&self) -> impl Iterator<Item = (usize, &str, &str)> {
        self.kinds.iter().enumerate().filter_map(|(kind, statement)| {
            statement.as_ref().map(|statement| (kind, &*statement.create, &*statement.insert))
        })
    }

    /// What a request of this kind runs on this connection, which has this number.
    ///
    /// # Errors
    /// The environment's.
    pub(super) async fn statement(
        &mut self,
        kind: usize,
        connection: &mut SqliteConnection,
        number: u64,
    ) -> Result<Option<Arc<str>>, sqlx::Error> {
        let Some(statement) = &mut self.kinds[kind] else { return Ok(None) };
        if statement.on != Some(number) {
            match statement.create(connection).await {
                Ok(()) => statement.on = Some(number),
                Err(e) if error::is_of_the_environment(&e) => return Err(e),
                Err(e) => {
                    tracing::debug!("not as one statement: {}: {e}", statement.insert);
                    let drop = sqlx::raw_sql(AssertSqlSafe(statement.drop.clone()));
                    limit::within(drop.execute(connection)).await?;
                    self.kinds[kind] = None;
                    return Ok(None);
                }
            }
        }
        Ok(Some(Arc::clone(&statement.insert)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn connection() -> SqliteConnection {
        let connection = <SqliteConnection as sqlx::Connection>::connect("sqlite::memory:").await;
        let mut connection = connection.expect("in memory");
        let tables = "CREATE TABLE ledger (id TEXT PRIMARY KEY, operation, hash, occurred_at, applied_at, batch, answer);
            CREATE TABLE line (op_id TEXT PRIMARY KEY, text TEXT)";
        sqlx::raw_sql(tables).execute(&mut connection).await.expect("tables");
        connection
    }

    fn once(statements: &[&str]) -> Once {
        let spec = Spec::event("line", "sample.line");
        Once { kinds: vec![Statement::of(&spec, statements, "", None)] }
    }

    #[tokio::test]
    async fn statements_that_a_trigger_cannot_have_go_as_a_batch_of_one() {
        for statement in [
            "INSERT INTO line AS l (op_id) SELECT id FROM new",
            "INSERT INTO line (op_id) SELECT id FROM new WHERE true
             ON CONFLICT DO UPDATE SET op_id = (SELECT id FROM new)",
            "UPDATE line SET op_id = (SELECT id FROM new)",
        ] {
            let mut connection = connection().await;
            let mut once = once(&["INSERT INTO line (op_id) SELECT id FROM new", statement]);
            for _ in 0..2 {
                assert!(once.statement(0, &mut connection, 0).await.expect("asked").is_none(), "{statement}");
            }
            let left: i64 = sqlx::query_scalar("SELECT count(*) FROM temp.sqlite_schema")
                .fetch_one(&mut connection)
                .await
                .expect("a count");
            assert_eq!(left, 0, "{statement}");
        }
    }

    #[tokio::test]
    async fn each_connection_has_a_view_of_its_own() {
        let mut once = once(&["INSERT INTO line (op_id, text) SELECT id, op ->> 'text' FROM new"]);
        for number in [0, 1] {
            let mut connection = connection().await;
            for id in ["a", "b"] {
                let sql = once.statement(0, &mut connection, number).await.expect("asked").expect("one");
                let insert = sqlx::query(AssertSqlSafe(sql)).bind(7).bind(8).bind(9).bind(id).bind(10);
                insert.bind("{\"text\":\"hi\"}").bind(11).execute(&mut connection).await.expect("inserted");
            }
            let rows: String = sqlx::query_scalar(
                "SELECT group_concat(concat_ws(',', l.id, l.operation, l.hash, l.occurred_at, l.applied_at, l.batch, text), ' ' ORDER BY l.id)
                 FROM ledger l JOIN line ON op_id = l.id",
            )
            .fetch_one(&mut connection)
            .await
            .expect("rows");
            assert_eq!(rows, "a,line,11,10,8,7,hi b,line,11,10,8,7,hi");
        }
    }
}
