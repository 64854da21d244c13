//! Ways to write an effect that a request would have twice, or that would be there without one: each is refused at the
//! opening.

use super::*;
use crate::operation::{Kind, Migration};
use crate::sql::sqlite::{self, SqliteOptions};

const TABLES: &[Migration] = &[Migration::new(
    10,
    "tables",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, n INTEGER NOT NULL);
     CREATE TABLE todo (op_id TEXT PRIMARY KEY, text TEXT);
     CREATE VIEW log AS SELECT * FROM ledger;
     CREATE VIEW lines AS SELECT op_id, text FROM todo;
     CREATE TRIGGER line INSTEAD OF INSERT ON lines BEGIN INSERT INTO todo VALUES (NEW.op_id, NEW.text); END;
     CREATE VIEW any_order AS SELECT text FROM todo ORDER BY random();
     CREATE TABLE forgetful (id TEXT);
     CREATE TRIGGER forgets AFTER INSERT ON forgetful BEGIN DELETE FROM ledger WHERE id = NEW.id; END;
     CREATE TABLE nosy (id TEXT);
     CREATE TRIGGER looks AFTER INSERT ON nosy
     BEGIN INSERT INTO todo SELECT id, batch FROM ledger WHERE id <> NEW.id; END",
)];

/// Texts that are no effect, and a part of what is said.
const REFUSED: [(&str, &str); 59] = [
    // the batch, or what is bound
    ("INSERT INTO todo SELECT r.value ->> 0, 'x' FROM jsonb_each($2, '$.add') r", "binds the parameter $2"),
    ("INSERT INTO todo SELECT id, $1 FROM new", "binds the parameter $1"),
    ("INSERT INTO todo SELECT id, ?5 FROM new", "binds the parameter ?5"),
    ("INSERT INTO todo SELECT id, ? FROM new", "binds the parameter ?"),
    ("INSERT INTO todo SELECT id, :op FROM new", "binds the parameter :op"),
    ("INSERT INTO todo SELECT id, @op FROM new", "binds the parameter @op"),
    // not the rows
    ("UPDATE counters SET n = n + 1", "does not read `new`"),
    ("UPDATE counters SET n = n + 1 /* new */", "does not read `new`"),
    ("UPDATE counters SET n = n + 1 -- new", "does not read `new`"),
    ("UPDATE counters SET n = n + 1 WHERE name <> 'new'", "does not read `new`"),
    ("INSERT INTO counters VALUES ('new', 1)", "does not read `new`"),
    ("INSERT INTO todo SELECT value, 'x' FROM json_each('[1, 2]')", "does not read `new`"),
    ("DELETE FROM todo", "does not read `new`"),
    ("REPLACE INTO counters VALUES ('a', 1)", "does not read `new`"),
    ("WITH a AS (SELECT 1 AS x) UPDATE counters SET n = n + 1", "does not read `new`"),
    ("WITH a AS (SELECT id FROM new) UPDATE counters SET n = n + 1", "does not read `new`"),
    ("UPDATE counters SET n = n + 1 WHERE false AND EXISTS (SELECT 1 FROM main.new)", "no such table"),
    ("INSERT INTO todo SELECT name, 'x' FROM sqlite_temp_schema", "does not read `new`"),
    ("UPDATE counters SET n = n + 1 WHERE EXISTS (SELECT 1 FROM temp.sqlite_schema)", "does not read `new`"),
    ("INSERT INTO todo SELECT id, 'x' FROM temp.new", "no such table"),
    // other rows under its name
    (
        "WITH new (id, at, op) AS (SELECT 1, 2, '{}') INSERT INTO todo SELECT id, op FROM new",
        "duplicate WITH table name",
    ),
    ("WITH \"new\" AS (SELECT 1 AS id) INSERT INTO todo SELECT id, id FROM new", "duplicate WITH table name"),
    (
        "INSERT INTO todo SELECT id, 'x' FROM (WITH new (id) AS (SELECT 1) SELECT id FROM new)",
        "does not read `new`",
    ),
    // the ledger
    ("INSERT INTO todo SELECT l.id, 'x' FROM ledger l, new", "reads the ledger"),
    ("INSERT INTO todo SELECT l.id, 'x' FROM \"ledger\" l, new", "reads the ledger"),
    ("INSERT INTO todo SELECT l.id, 'x' FROM [ledger] l, new", "reads the ledger"),
    ("INSERT INTO todo SELECT l.id, 'x' FROM `LEDGER` l, new", "reads the ledger"),
    ("INSERT INTO todo SELECT l.id, 'x' FROM main.ledger l, new", "reads the ledger"),
    ("INSERT INTO todo SELECT l.id, 'x' FROM log l, new", "reads the ledger"),
    ("INSERT INTO todo SELECT id, (SELECT max(applied_at) FROM log) FROM new", "reads the ledger"),
    ("INSERT INTO nosy SELECT id FROM new", "reads the ledger"),
    ("DELETE FROM ledger WHERE id IN (SELECT id FROM new)", "changes the table ledger"),
    ("DELETE FROM ledger", "changes the table ledger"),
    ("UPDATE ledger SET hash = 0 WHERE id IN (SELECT id FROM new)", "changes the table ledger"),
    ("REPLACE INTO ledger SELECT id, 'x', 0, 0, 0, 0, NULL FROM new", "changes the table ledger"),
    ("INSERT INTO ledger SELECT id || 'x', 'x', 0, 0, 0, 0, NULL FROM new", "changes the table ledger"),
    ("INSERT INTO forgetful SELECT id FROM new", "changes the table ledger"),
    ("UPDATE meta SET value = (SELECT id FROM new)", "changes the table meta"),
    ("DELETE FROM dead_letters WHERE subject IN (SELECT id FROM new)", "changes the table dead_letters"),
    (
        "DELETE FROM _sqlx_migrations WHERE description IN (SELECT id FROM new)",
        "changes the table _sqlx_migrations",
    ),
    ("DELETE FROM sqlite_schema WHERE name IN (SELECT id FROM new)", "may not be modified"),
    // not one statement, or none that changes rows
    ("INSERT INTO todo SELECT id, 'x' FROM new;", "has a `;`"),
    ("INSERT INTO todo SELECT id, 'x' FROM new; UPDATE counters SET n = n + 1", "has a `;`"),
    ("INSERT INTO todo SELECT id, 'x' FROM new /* and the rest", "comment without an end"),
    ("INSERT INTO todo SELECT id, 'x FROM new", "is not closed"),
    ("", "is empty"),
    ("-- nothing", "is empty"),
    ("SELECT id FROM new", "changes nothing"),
    ("INSERT INTO todo SELECT id, 'x' FROM new RETURNING op_id", "returns rows"),
    ("COMMIT", "cannot be prepared"),
    ("ROLLBACK", "cannot be prepared"),
    ("SAVEPOINT a", "cannot be prepared"),
    ("PRAGMA writable_schema = 1", "cannot be prepared"),
    ("UPDATE sqlite_dbpage SET data = (SELECT id FROM new)", "no such table"),
    (
        "INSERT INTO todo SELECT l.id, 'x' FROM new, ledger l WHERE l.id = 'a' OR l.id = 'b'",
        "reads the ledger",
    ),
    ("ATTACH 'other.db' AS other", "cannot be prepared"),
    ("CREATE TEMP TRIGGER t AFTER INSERT ON todo BEGIN DELETE FROM ledger; END", "has a `;`"),
    ("DROP TABLE ledger", "cannot be prepared"),
    ("INSERT INTO todo SELEKT id, op ->> 'text' FROM new", "near \"SELEKT\""),
];

/// Texts that are.
const TAKEN: [&str; 14] = [
    "INSERT INTO todo (op_id, text) SELECT id, op ->> 'text' FROM new",
    "INSERT INTO todo SELECT id, '; $1 -- new' FROM new -- the end",
    "INSERT INTO todo SELECT id, 'it''s from the ledger' FROM \"new\"",
    "WITH a AS (SELECT id FROM new) INSERT INTO todo SELECT id, 'x' FROM a",
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3)
     INSERT INTO todo SELECT id || i, 'x' FROM new, n",
    "/* WITH */ UPDATE counters SET n = n + (SELECT count(*) FROM new)",
    "UPDATE counters SET n = counters.n + added.n FROM (SELECT op ->> 'name' AS name, count(*) AS n FROM new GROUP BY 1) AS added
     WHERE counters.name = added.name",
    "UPDATE counters SET n = n + 1 WHERE EXISTS (SELECT 1 FROM new)",
    "UPDATE counters SET n = n + 1 FROM new WHERE name = op ->> 'name'",
    "INSERT INTO counters SELECT op ->> 'name', count(*) FROM new WHERE true GROUP BY 1
     ON CONFLICT (name) DO UPDATE SET n = n + excluded.n",
    "DELETE FROM todo WHERE op_id IN (SELECT op ->> 'of' FROM new)",
    "REPLACE INTO counters SELECT op ->> 'name', at FROM new",
    "INSERT INTO lines SELECT id, 'x' FROM new",
    "INSERT INTO todo SELECT id, (SELECT now FROM host) FROM new",
];

async fn migrated() -> (tempfile::TempDir, sqlite::Opened, RowsTable) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("file.db");
    let options = SqliteOptions::new(&path.display().to_string()).expect("a path");
    let mut opened = sqlite::open(&options, TABLES).await.expect("a new file");
    let stand = RowsTable::create(&mut opened.writer).await.expect("a temporary table");
    (dir, opened, stand)
}

#[tokio::test]
async fn what_is_not_an_effect_of_the_rows_that_are_new_is_refused() {
    let (_dir, mut opened, stand) = migrated().await;
    let pages = Pages::of(&mut opened.writer).await.expect("the schema");
    for (sql, said) in REFUSED {
        let uses = uses(&mut opened.writer, &pages, sql, &stand.source("new")).await.expect(sql);
        let why = uses.and_then(|uses| uses.changes("new")).expect_err(sql);
        assert!(why.contains(said), "{sql}\n{why}");
    }
    for sql in TAKEN {
        let uses = uses(&mut opened.writer, &pages, sql, &stand.source("new")).await.expect(sql);
        assert_eq!(uses.and_then(|uses| uses.changes("new")), Ok(()), "{sql}");
    }
}

#[tokio::test]
async fn what_is_not_an_answer_is_refused() {
    let (_dir, mut opened, stand) = migrated().await;
    let pages = Pages::of(&mut opened.writer).await.expect("the schema");
    let asked = stand.source("asked");
    let call = Spec::call("call", "a.call");
    for (sql, said) in [
        ("SELECT id, '1' FROM asked; DELETE FROM todo", "has a `;`"),
        ("SELECT id, answer FROM ledger JOIN asked USING (id)", "reads the ledger"),
        ("SELECT id, '1' FROM log JOIN asked USING (id)", "reads the ledger"),
        ("SELECT op_id, '1' FROM todo", "does not read `asked`"),
        ("DELETE FROM todo RETURNING op_id, '1'", "changes the table todo"),
        ("WITH a AS (SELECT id FROM asked) DELETE FROM todo RETURNING op_id, '1'", "changes the table todo"),
        ("SELECT id, '1' FROM asked) DELETE FROM todo --", "cannot be prepared"),
        ("SELECT $1, '1' FROM asked", "binds the parameter"),
    ] {
        let uses = uses(&mut opened.writer, &pages, sql, &asked).await.expect(sql);
        let why = uses.and_then(|uses| uses.answers(call.writes().then_some("asked"))).expect_err(sql);
        assert!(why.contains(said), "{sql}\n{why}");
    }
    assert_eq!(call.kind, Kind::Call);
    for sql in
        ["SELECT id, json_array(op) FROM asked", "WITH a AS (SELECT id FROM asked) SELECT id, '1' FROM a"]
    {
        let uses = uses(&mut opened.writer, &pages, sql, &asked).await.expect(sql);
        assert_eq!(uses.and_then(|uses| uses.answers(call.writes().then_some("asked"))), Ok(()), "{sql}");
    }
}

/// Whether many questions are asked in one statement, and whether the same one has the same answer for all.
#[tokio::test]
async fn how_a_query_is_asked_by_many_is_found_out_by_what_it_reads() {
    let (_dir, mut opened, stand) = migrated().await;
    let pages = Pages::of(&mut opened.writer).await.expect("the schema");
    let asked = stand.source("asked");
    for (sql, shared, together) in [
        ("SELECT text FROM todo WHERE op_id = (SELECT op ->> 'id' FROM asked)", true, true),
        (
            "SELECT json_object('n', n) FROM (SELECT op ->> 'name' AS a FROM asked) LEFT JOIN counters ON name = a",
            true,
            true,
        ),
        (
            "SELECT json_group_array(text), 0 FROM todo, asked, host WHERE text > op ->> 'from' AND now > 0",
            true,
            true,
        ),
        (
            "WITH RECURSIVE c (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c, asked WHERE i < op ->> 'n') SELECT max(i) FROM c",
            true,
            true,
        ),
        ("SELECT json_group_array(text) FROM todo", true, true),
        (
            "SELECT json_group_array(text) FROM (SELECT text FROM todo LIMIT (SELECT op ->> 'n' FROM asked))",
            true,
            false,
        ),
        ("SELECT 1, 0, 2 FROM asked", true, false),
        ("SELECT eitherway_op FROM (SELECT op AS eitherway_op FROM asked)", true, false),
        ("SELECT json_array(id) FROM asked", false, false),
        ("SELECT json_array(op, at) FROM asked", false, false),
        ("SELECT json_group_array(text) FROM todo WHERE op_id < (SELECT a.id FROM asked a)", false, false),
        ("WITH a AS MATERIALIZED (SELECT * FROM asked) SELECT id FROM a", false, false),
        ("SELECT * FROM asked", false, false),
        ("SELECT random() FROM asked", false, false),
        ("SELECT json_array(hex(RandomBlob(op ->> 'n'))) FROM asked", false, false),
        ("SELECT json_group_array(text) FROM (SELECT text FROM todo ORDER BY random())", false, false),
        ("SELECT json_array(max(text)) FROM todo WHERE abs(random() % 3) > 0", false, false),
        ("SELECT json_group_array(text) FROM any_order", false, false),
        ("SELECT json_array('random()', text) FROM todo", true, true),
    ] {
        let mut query = QuerySql::alone(sql);
        complete(&mut opened.writer, &pages, &mut query, sql, &asked).await.expect(sql);
        assert_eq!((query.is_shared, query.together.is_some()), (shared, together), "{sql}");
    }
}
