//! Ways to write an operation that takes effect twice for one id: each is refused by the compiler (see also
//! `src/operation/tx.rs` and `src/operation/refused.rs`), when the database is opened, or with the request.

use eitherway::operation::{Apply, ApplyError, Definition, Done, Migration, Persist, Spec, Tx};
use eitherway::sql::{SqlService, SqliteOptions};
use eitherway::{Code, Db, Head, Request};
use serde::{Deserialize, Serialize};
use sqlx::{Connection, SqliteConnection};

use super::stores::Location;

const TABLES: &str = "CREATE TABLE hits (op_id TEXT, n INTEGER NOT NULL)";
const HIT: &str = "INSERT INTO hits SELECT id, 1 FROM new";

/// Sets of one operation, with one statement behind a sound one, and with one migration behind a sound one.
macro_rules! sets {
    ($($module:ident: $statement:expr, $migration:expr;)+) => {
        $(mod $module {
            use super::*;

            #[derive(Debug, Serialize, Deserialize)]
            pub struct Hit {}

            impl Definition for Hit {
                type Answer = Done;
                const SPEC: Spec = Spec::event("hit", "site.hit");
                const STATEMENTS: &'static [&'static str] = &[HIT, $statement];
            }

            const MIGRATIONS: &[Migration] =
                &[Migration::new(10, "hits", TABLES), Migration::new(11, "more", $migration)];

            eitherway::operations! {
                pub enum Site -> Answer in "site" with MIGRATIONS { Hit(Hit) }
            }
        })+
    };
}

sets! {
    sound: HIT, "SELECT 1";
    bound: "INSERT INTO hits SELECT r.value ->> 0, 1 FROM jsonb_each($4) r, new", "SELECT 1";
    batch: "INSERT INTO hits SELECT r.key, 1 FROM json_each('[1, 2]') r", "SELECT 1";
    ledger: "INSERT INTO hits SELECT l.id, 1 FROM ledger l, new", "SELECT 1";
    several: "INSERT INTO hits SELECT id, 1 FROM new; COMMIT; BEGIN", "SELECT 1";
    savepoint: "SAVEPOINT a", "SELECT 1";
    regardless: "UPDATE hits SET n = n + 1", "SELECT 1";
    replaces: "INSERT OR REPLACE INTO ledger SELECT id, 'x', 0, 0, 0, 0, NULL FROM new", "SELECT 1";
    ignores: "DELETE FROM ledger WHERE id IN (SELECT id FROM new)", "SELECT 1";
    temporary: "INSERT INTO hits SELECT name, 1 FROM sqlite_temp_schema", "SELECT 1";
    attached: "ATTACH 'other.db' AS other", "SELECT 1";
    pragma: "PRAGMA writable_schema = 1", "SELECT 1";
    ddl: "CREATE TABLE more AS SELECT id FROM new", "SELECT 1";
    trigger: HIT, "CREATE TRIGGER twice AFTER INSERT ON dead_letters BEGIN INSERT INTO hits VALUES ('x', 1); END";
    through_trigger: HIT, "CREATE TRIGGER twice AFTER INSERT ON hits BEGIN DELETE FROM \"ledger\"; END";
    forgets: HIT, "DELETE FROM [Ledger]";
    unguarded: HIT, "DROP TABLE ledger; CREATE TABLE ledger (id TEXT)";
    meta: HIT, "CREATE TRIGGER twice AFTER UPDATE ON meta BEGIN INSERT INTO hits VALUES ('x', 1); END";
}

async fn open<O: Persist>() -> Result<(tempfile::TempDir, SqlService<O>), String> {
    let dir = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(dir.path().join("site.db").to_str().unwrap()).unwrap();
    let opened = SqlService::<O>::open(&options).await;
    opened.map(|service| (dir, service)).map_err(|e| e.to_string())
}

#[tokio::test]
async fn a_set_that_could_take_effect_twice_is_refused_at_the_opening_with_what_is_wrong() {
    open::<sound::Site>().await.expect("a sound one is opened");
    let statement = "the operation hit: its statement 2";
    let migration = "the migration 11 (more)";
    for (refused, of, said) in [
        (open::<bound::Site>().await.err(), statement, "binds the parameter $4"),
        (open::<batch::Site>().await.err(), statement, "does not read `new`"),
        (open::<ledger::Site>().await.err(), statement, "reads the ledger"),
        (open::<several::Site>().await.err(), statement, "has a `;`"),
        (open::<savepoint::Site>().await.err(), statement, "cannot be prepared"),
        (open::<regardless::Site>().await.err(), statement, "does not read `new`"),
        (open::<replaces::Site>().await.err(), statement, "changes the table ledger"),
        (open::<ignores::Site>().await.err(), statement, "changes the table ledger"),
        (open::<temporary::Site>().await.err(), statement, "does not read `new`"),
        (open::<attached::Site>().await.err(), statement, "cannot be prepared"),
        (open::<pragma::Site>().await.err(), statement, "cannot be prepared"),
        (open::<ddl::Site>().await.err(), statement, "cannot be prepared"),
        (open::<trigger::Site>().await.err(), "the trigger twice", "fires on the dead_letters"),
        (open::<meta::Site>().await.err(), "the trigger twice", "fires on the meta"),
        (open::<through_trigger::Site>().await.err(), migration, "names the ledger"),
        (open::<forgets::Site>().await.err(), migration, "names the ledger"),
        (open::<unguarded::Site>().await.err(), migration, "names the ledger"),
    ] {
        let why = refused.unwrap_or_else(|| panic!("opened, and should be refused: {said}"));
        assert!(why.starts_with(of) && why.contains(said), "{why}");
    }
}

/// A ledger that lets an id stand twice, however it came there.
#[tokio::test]
async fn a_file_whose_ledger_was_made_anew_is_refused() {
    let (dir, service) = open::<sound::Site>().await.unwrap();
    drop(service);
    let path = dir.path().join("site.db");
    let mut connection = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
    let anew =
        "DROP TABLE ledger; CREATE TABLE ledger (id TEXT, operation TEXT, hash INTEGER, occurred_at INTEGER,
                applied_at INTEGER, batch INTEGER, answer TEXT)";
    sqlx::raw_sql(anew).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let options = SqliteOptions::new(path.to_str().unwrap()).unwrap();
    let why = SqlService::<sound::Site>::open(&options).await.unwrap_err().to_string();
    assert!(why.starts_with("the table ledger has lost its primary key"), "{why}");
}

/// Counts its call, runs these statements, and says that all is well whatever became of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    sql: Vec<String>,
    /// Opens a connection of its own, and writes through it.
    #[serde(default)]
    beside: Option<String>,
}

impl Apply for Run {
    type Answer = Done;
    const SPEC: Spec = Spec::call("run", "site.run");

    async fn apply(&self, tx: &mut Tx<'_>, head: &Head) -> Result<Done, ApplyError> {
        tx.execute(sqlx::query("INSERT INTO hits VALUES ($1, 1)").bind(head.id.to_string())).await?;
        for sql in &self.sql {
            let _ = tx.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql.clone()))).await;
        }
        if let Some(path) = &self.beside {
            let mut own = SqliteConnection::connect(path).await?;
            sqlx::raw_sql("PRAGMA busy_timeout = 0").execute(&mut own).await?;
            let written = sqlx::query("INSERT INTO hits VALUES ('beside', 1)").execute(&mut own).await;
            assert!(written.is_err(), "the database is locked for all but the transaction");
        }
        Ok(Done {})
    }
}

const HITS: &[Migration] = &[Migration::new(10, "hits", TABLES)];

eitherway::operations! {
    pub enum Runs -> RunsAnswer in "site" with HITS { Run(Run) }
}

async fn assert_refused(place: &Location, reaching: &[(&str, &str)]) {
    let service = place.open::<Runs>().await.unwrap();
    let db = Db::new(service.clone());
    for (sql, why) in reaching {
        let request = Request::<Runs>::new(Run { sql: vec![(*sql).to_owned()], beside: None });
        let error = db.send(request).await.map(|reply| format!("{:?}", reply.answer)).expect_err(sql);
        assert_eq!(error.cause().code(), Code::REFUSED, "{sql}: {error}");
        let said = error.to_string();
        assert!(said.starts_with("run: ") && said.contains(why), "{sql}: {said}");
        assert_eq!(place.number("SELECT count(*) FROM hits").await, 0, "{sql}");
        assert_eq!(place.number("SELECT count(*) FROM ledger").await, 0, "{sql}");
    }
    // It is the same database, and the writer goes on.
    db.call(Run { sql: Vec::new(), beside: None }).await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM hits").await, 1);
    assert_eq!(place.number("SELECT count(*) FROM ledger").await, 1);
}

#[tokio::test]
async fn a_function_that_reaches_for_more_than_rows_is_refused_and_leaves_nothing() {
    let reaching = [
        "COMMIT",
        "SELECT 1; COMMIT; BEGIN; SAVEPOINT operation",
        "SELECT $a('); COMMIT; BEGIN; SELECT $a(')",
        "RELEASE operation",
        "ROLLBACK TO operation",
        "DROP TABLE ledger",
        "DROP TRIGGER temp.ledger_DELETE",
        "DELETE FROM temp.eitherway_applying",
        "DELETE FROM \"Eitherway_Applying\"",
        "CREATE TEMP TABLE ledger (id TEXT)",
        "CREATE TEMP VIEW hits AS SELECT 1",
        "CREATE TRIGGER twice AFTER INSERT ON hits BEGIN DELETE FROM ledger; END",
        "ALTER TABLE ledger RENAME TO other",
        "PRAGMA writable_schema = 1",
        "ATTACH 'other.db' AS other",
        "VACUUM",
    ];
    let place = Location::file();
    assert_refused(&place, &reaching.map(|sql| (sql, "its statement "))).await;
    assert_eq!(place.number("SELECT count(*) FROM sqlite_schema WHERE name = 'twice'").await, 0);
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_function_that_reaches_for_more_than_rows_on_postgresql_is_refused_and_leaves_nothing() {
    let place = Location::server().await;
    place.open::<Runs>().await.unwrap().close().await;
    place
        .execute(
            "CREATE VIEW harmless AS SELECT * FROM ledger;
             CREATE RULE also AS ON UPDATE TO hits DO ALSO DELETE FROM ledger",
        )
        .await;
    let ends = "is not SELECT, INSERT, UPDATE or DELETE";
    let ours = "changes the table ledger, which is the framework's";
    let lost = "it has ended the transaction";
    let reaching = [
        ("COMMIT", ends),
        ("SELECT 1; COMMIT", ends),
        ("SELECT 1; SELECT 2", "cannot insert multiple commands"),
        // A comment ends at a carriage return there.
        ("--\rCOMMIT", "syntax error"),
        ("--\rCREATE TEMP TABLE ledger (id text)", "syntax error"),
        ("RELEASE operation", ends),
        ("ROLLBACK TO operation", ends),
        ("SAVEPOINT operation", ends),
        ("SET search_path = public", ends),
        ("SET CONSTRAINTS ALL IMMEDIATE", ends),
        ("CREATE TEMP TABLE ledger (id text)", ends),
        ("TRUNCATE ledger", ends),
        ("DROP TABLE ledger", ends),
        ("DO $$ BEGIN DELETE FROM ledger; END $$", ends),
        ("CALL pg_catalog.nothing()", ends),
        ("LOCK TABLE hits", ends),
        ("COPY hits FROM '/dev/null'", ends),
        ("PREPARE a AS DELETE FROM ledger", ends),
        ("DELETE FROM ledger", ours),
        ("DELETE FROM harmless", ours),
        ("UPDATE rosey.\"ledger\" SET hash = 0", ours),
        ("WITH gone AS (DELETE FROM ledger RETURNING id) SELECT id FROM gone", ours),
        ("INSERT INTO U&\"l\\0065dger\" SELECT * FROM ledger", ours),
        ("UPDATE hits SET n = 2", ours),
        ("DELETE FROM meta", "changes the table meta"),
        ("SELECT id, operation, hash, occurred_at, applied_at, answer INTO TEMP ledger FROM ledger", lost),
        ("SELECT set_config('search_path', 'public', true)", lost),
        ("SELECT set_config('search_path', 'public', false)", lost),
    ];
    assert_refused(&place, &reaching).await;
}

#[tokio::test]
async fn what_a_function_writes_to_tables_that_are_not_its_own_has_not_happened() {
    let (dir, service) = open::<Runs>().await.unwrap();
    let db = Db::new(service.clone());
    let sql = [
        "DELETE FROM ledger",
        "UPDATE OR IGNORE ledger SET id = id || 'x'",
        "INSERT OR REPLACE INTO ledger SELECT id, 'x', 0, 0, 0, 0, NULL FROM ledger",
        "UPDATE OR REPLACE main.\"ledger\" SET hash = 0",
        "DELETE FROM meta",
        "DELETE FROM _sqlx_migrations",
        "INSERT INTO dead_letters (at, code, reason, subject, headers, payload) VALUES (0, '', '', '', '', x'')",
        "DELETE FROM sqlite_schema",
    ];
    let beside = dir.path().join("site.db").to_str().map(str::to_owned);
    let request = Request::<Runs>::new(Run { sql: sql.map(str::to_owned).to_vec(), beside });
    for _ in 0..3 {
        db.send(request.clone()).await.unwrap();
    }
    let number = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql).fetch_one(service.readers().unwrap()).await.unwrap()
    };
    assert_eq!(number("SELECT count(*) FROM hits").await, 1);
    assert_eq!(number("SELECT count(*) FROM ledger WHERE hash <> 0 AND operation = 'run'").await, 1);
    assert_eq!(number("SELECT count(*) FROM dead_letters").await, 0);
    assert_eq!(number("SELECT count(*) FROM _sqlx_migrations").await, 2);
}

/// What is in the transaction may be rolled back by SQLite itself, by a statement that may say so.
#[tokio::test]
async fn a_function_that_has_the_transaction_rolled_back_leaves_nothing() {
    let (_dir, service) = open::<Runs>().await.unwrap();
    let db = Db::new(service.clone());
    let sql = ["INSERT OR ROLLBACK INTO hits VALUES ('x', NULL)", "INSERT INTO hits VALUES ('after', 1)"];
    let request = Request::<Runs>::new(Run { sql: sql.map(str::to_owned).to_vec(), beside: None });
    let error = db.send(request).await.unwrap_err();
    assert!(error.to_string().contains("it has ended the transaction"), "{error}");
    let hits: i64 =
        sqlx::query_scalar("SELECT count(*) FROM hits").fetch_one(service.readers().unwrap()).await.unwrap();
    assert_eq!(hits, 0);
}
