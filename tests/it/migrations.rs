//! Changes of schema, with conditions and without, on files that others have made.
#![allow(unreachable_pub)]

use eitherway::operation::{Definition, Done, Migration, Spec};
use eitherway::sql::{SqlService, SqliteOptions};
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

/// Puts a line on the list.
#[derive(Debug, Serialize, Deserialize)]
pub struct Add {
    text: String,
}

impl Definition for Add {
    type Answer = Done;
    const SPEC: Spec = Spec::event("add", "todo.add");
    const STATEMENTS: &'static [&'static str] = &["INSERT INTO todo (text) SELECT op ->> 'text' FROM new"];
}

const TABLES: &[Migration] = &[
    // the parts of one change; the second is asked before the first is made
    Migration::new(10, "old lists", "ALTER TABLE list RENAME TO todo")
        .only_if("SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'list')"),
    Migration::new(10, "no list", "CREATE TABLE todo (text TEXT); INSERT INTO todo VALUES ('nothing')")
        .only_if("SELECT NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name IN ('list', 'todo'))"),
    Migration::new(11, "done", "ALTER TABLE todo ADD COLUMN done INTEGER NOT NULL DEFAULT 0"),
];

eitherway::operations! {
    /// A list.
    pub enum Todo -> TodoAnswer in "todo" with TABLES { Add(Add) }
}

/// The same, and a change that cannot be made everywhere.
mod later {
    use super::{Add as Line, Definition, Done, Migration, Serialize, Spec, TABLES};

    /// Puts a line on the list.
    #[derive(Debug, Serialize, serde::Deserialize)]
    pub struct Add(Line);

    impl Definition for Add {
        type Answer = Done;
        const SPEC: Spec = Line::SPEC;
        const STATEMENTS: &'static [&'static str] = Line::STATEMENTS;
    }

    const LATER: &[Migration] = &[
        TABLES[0],
        TABLES[1],
        TABLES[2],
        Migration::new(12, "when", "ALTER TABLE todo ADD COLUMN at INTEGER"),
        Migration::new(13, "once", "UPDATE todo SET at = 0; CREATE UNIQUE INDEX todo_text ON todo (text)"),
    ];

    eitherway::operations! {
        /// A list.
        pub enum Todo -> TodoAnswer in "todo" with LATER { Add(Add) }
    }
}

struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    async fn by(sql: &'static str) -> Self {
        let made = Self { folder: tempfile::tempdir().unwrap() };
        made.run(sql).await;
        made
    }

    fn path(&self) -> String {
        self.folder.path().join("list.db").to_str().unwrap().to_owned()
    }

    async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.path()).create_if_missing(true);
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    async fn run(&self, sql: &'static str) {
        let mut connection = self.connect().await;
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn texts(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        let texts = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        texts
    }

    async fn open(&self) -> Result<(), String> {
        let options = SqliteOptions::new(&self.path()).unwrap();
        let service = SqlService::<Todo>::open(&options).await.map_err(|e| e.to_string())?;
        service.close().await;
        Ok(())
    }

    async fn open_later(&self) -> Result<(), String> {
        let options = SqliteOptions::new(&self.path()).unwrap();
        let service = SqlService::<later::Todo>::open(&options).await.map_err(|e| e.to_string())?;
        service.close().await;
        Ok(())
    }
}

const RECORD: &str = "SELECT version || ' ' || hex(checksum) FROM _sqlx_migrations ORDER BY version";

#[tokio::test]
async fn a_condition_decides_what_is_done_and_not_what_is_recorded() {
    let old = Made::by("CREATE TABLE list (text TEXT); INSERT INTO list VALUES ('milk')").await;
    let repaired = Made::by("CREATE TABLE todo (text TEXT); INSERT INTO todo VALUES ('bread')").await;
    let new = Made::by("").await;
    for (made, text) in [(&old, "milk"), (&repaired, "bread"), (&new, "nothing")] {
        // the second time nothing is to be done
        for _ in 0..2 {
            made.open().await.unwrap();
            assert_eq!(made.texts("SELECT text || done FROM todo").await, [format!("{text}0")]);
        }
    }
    assert_eq!(old.texts(RECORD).await, new.texts(RECORD).await);
    assert_eq!(repaired.texts(RECORD).await, new.texts(RECORD).await);
    assert_eq!(new.texts(RECORD).await.len(), 3, "the ledger's, and one a version");
    // what was recorded is not asked again
    old.run("ALTER TABLE todo RENAME TO list").await;
    let error = old.open().await.unwrap_err();
    assert_eq!(error, "the operation add: its statement 1 cannot be prepared: no such table: todo");
    assert_eq!(old.texts("SELECT text FROM list").await, ["milk"]);
}

#[tokio::test]
async fn all_that_a_file_lacks_is_changed_or_nothing() {
    let made = Made::by("CREATE TABLE list (text TEXT); INSERT INTO list VALUES ('milk'), ('milk')").await;
    let schema = "SELECT sql FROM sqlite_master";
    let before = made.texts(schema).await;
    let error = made.open_later().await.unwrap_err();
    assert!(error.contains("cannot migrate") && error.contains("UNIQUE"), "{error}");
    assert_eq!(made.texts(schema).await, before);
    // as far as the older program goes it goes, and the newer one begins there
    made.open().await.unwrap();
    let (before, record) = (made.texts(schema).await, made.texts(RECORD).await);
    made.open_later().await.unwrap_err();
    assert_eq!((made.texts(schema).await, made.texts(RECORD).await), (before, record));
    made.run("DELETE FROM todo WHERE rowid = 2").await;
    made.open_later().await.unwrap();
    assert_eq!(made.texts("SELECT text || at FROM todo").await, ["milk0"]);
    let error = made.open().await.unwrap_err();
    assert!(error.contains("newer than this program"), "{error}");
}

#[tokio::test]
async fn opening_waits_for_no_other_process_when_nothing_is_to_be_changed() {
    let made = Made::by("").await;
    made.open().await.unwrap();
    let mut other = made.connect().await;
    sqlx::raw_sql("BEGIN IMMEDIATE; INSERT INTO todo (text) VALUES ('mine')")
        .execute(&mut other)
        .await
        .unwrap();
    made.open().await.unwrap();
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
}
