//! Every string that runs in the writer, or beside it, against the real tables: it can be prepared, nothing in it asks
//! for a parameter that is not bound, and none reads through a table that grows.

use std::collections::BTreeSet;
use std::sync::Arc;

use tempfile::TempDir;

use super::known::PRIOR_ANSWERS;
use super::strings::Strings;
use super::*;
use crate::operation::{Operation, Persist};
use crate::request::Request;
use crate::sample::{Line, Sample as Op};
use crate::sql::sqlite::{self, SqliteOptions};
use crate::sql::verify;

/// Scans that are meant: whose, of what, and why that does no harm.
const MEANT: [(&str, &str, &str); 1] =
    [("ledger found", "SCAN ledger", "stops at its limit, in the order in which they were applied")];

async fn migrated() -> (TempDir, sqlite::Opened) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("shop.db");
    let options = SqliteOptions::new(&path.display().to_string()).expect("a path");
    let opened = sqlite::open(&options, Op::MIGRATIONS).await.expect("a new file");
    (dir, opened)
}

fn writing() -> Vec<usize> {
    (0..Op::SPECS.len()).filter(|kind| Op::SPECS[*kind].writes()).collect()
}

fn checks() -> impl Iterator<Item = (&'static str, &'static crate::operation::Invariant)> {
    Op::NAMES.iter().zip(Op::CHECKS).flat_map(|(name, checks)| checks.iter().map(|check| (*name, check)))
}

/// The strings of the writer that take a batch.
fn of_batches() -> Vec<(String, Arc<str>)> {
    let mut all = Strings::of::<Op>();
    let mut strings: Vec<_> = writing()
        .into_iter()
        .map(|kind| (Op::NAMES[kind].to_owned(), Arc::clone(&all.transaction(&[kind])[0].sql)))
        .collect();
    let single =
        writing().into_iter().map(|kind| (Op::NAMES[kind].to_owned(), Arc::clone(&all.single(kind).sql)));
    let single: Vec<_> = single.collect();
    strings.push(("all".to_owned(), Arc::clone(&all.transaction(&writing())[0].sql)));
    strings.extend(single);
    strings
}

#[tokio::test]
async fn every_string_runs_from_beginning_to_end() {
    let (_dir, mut opened) = migrated().await;
    let connection = &mut opened.writer;
    for (owner, sql) in of_batches() {
        let query = sqlx::query(AssertSqlSafe(Arc::clone(&sql)));
        let query = query.bind(1).bind(1).bind(1).bind("[]").bind("{}");
        match run(connection, query).await {
            // Of a single one, which is not there.
            Ok(_) => {
                assert!(!sql.contains(NOTHING_NEW), "{owner}: nothing is new, and nothing runs");
                // That of claims leaves it to what they find.
                undo(connection).await.expect("undone");
            }
            Err(ended) => {
                assert!(is_nothing_new(&ended), "{owner}: {ended}");
                undo(connection).await.expect("undone");
            }
        }
    }
    for (owner, sql) in shown::sweep_texts::<Op>() {
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = if owner.ends_with("found") { query.bind(1) } else { query.bind("[]") };
        let query = query.bind(1).bind(1);
        let query = if owner.ends_with("found") { query } else { query.bind("lines") };
        let (rows, _) = run(connection, query).await.unwrap_or_else(|e| panic!("{owner}: {e}"));
        assert_eq!(rows.len(), 1, "{owner}: the keys, or how many");
    }
    for (name, check) in checks() {
        let query = sqlx::query(AssertSqlSafe(verify::comparing(name, check)));
        let (rows, _) = run(connection, query).await.unwrap_or_else(|e| panic!("{}: {e}", check.name));
        assert_eq!(rows.len(), 1, "{}: nothing is wrong", check.name);
    }
    run(connection, sqlx::query(DEAD_LETTER_INSERT).bind("[]")).await.expect("no letters");
}

#[tokio::test]
async fn a_letter_that_was_kept_before_is_one_letter_and_has_no_new_number() {
    let (_dir, mut opened) = migrated().await;
    let connection = &mut opened.writer;
    let letter = DeadLetter {
        at: 1,
        cause: crate::Cause::new(crate::Code::INVALID, "no"),
        subject: "shop.db.user.joined".to_owned(),
        headers: vec![(UNREAD.name.to_owned(), "/w==".to_owned())],
        payload: Vec::new(),
    };
    assert_eq!(keep_dead_letter(connection, std::slice::from_ref(&letter)).await.expect("kept"), 1);
    // A row of another table has a higher number.
    for sql in ["CREATE TABLE other (id INTEGER PRIMARY KEY)", "INSERT INTO other VALUES (100)"] {
        sqlx::query(sql).execute(&mut *connection).await.expect("a row");
    }
    // As the number of a letter it would make the right file an older copy.
    assert_eq!(keep_dead_letter(connection, &[letter]).await.expect("known"), 0);
    let letters: i64 =
        sqlx::query_scalar("SELECT count(*) FROM dead_letters").fetch_one(connection).await.expect("a count");
    assert_eq!(letters, 1);
}

#[test]
fn a_batch_is_shown_statement_by_statement_as_the_writer_runs_it() {
    let line = || Request::<Op>::new(Line::<0> { text: "a line".to_owned() });
    let one = shown::BatchShown::of(&[line()], 1, 2);
    let two = shown::BatchShown::of(&[line(), line()], 1, 2);
    let text = |shown: &shown::BatchShown| -> String {
        shown.statements.iter().map(|statement| statement.sql.as_str()).collect()
    };
    let mut strings = Strings::of::<Op>();
    assert_eq!(text(&one), &*strings.single(0).sql);
    assert_eq!(text(&two), &*strings.transaction(&[0])[0].sql);
    for shown in [one, two] {
        let sql = |title: &str| shown.statements.iter().find(|s| s.title == title).map(|s| s.sql.as_str());
        assert_eq!(sql("commit"), Some("COMMIT;\n"));
        assert!(sql("line_0, ledger").is_some_and(|sql| sql.starts_with("INSERT INTO ledger")));
        assert!(sql("line_0, statement 1").is_some_and(|sql| sql.contains("INSERT INTO line ")));
        assert_eq!(shown.rows.len(), 2);
    }
}

/// All that is there, without the times at which it was applied.
async fn content(connection: &mut SqliteConnection) -> Vec<String> {
    let rows = "SELECT json_array(id, operation, hash, occurred_at, batch, answer, typeof(hash), typeof(occurred_at)) FROM ledger
                UNION ALL SELECT json_array(op_id, at, text, typeof(at)) FROM line ORDER BY 1";
    sqlx::query_scalar(rows).fetch_all(connection).await.expect("rows")
}

/// As one statement, and as the string that it is on a connection where that cannot be had.
#[tokio::test]
async fn an_event_that_comes_alone_leaves_what_a_batch_leaves_and_is_known_when_it_comes_again() {
    let request = Request::<Op>::new(Line::<0> { text: "a \"line\" \u{e9}".to_owned() });
    let other = Request::<Op>::new(Line::<1> { text: "another".to_owned() });
    let write = || Write::new(&request, 0, 1000).expect("JSON");
    let other = || Write::new(&other, 1, 1000).expect("JSON");
    let mut contents = Vec::new();
    for is_alone in [true, false] {
        let (_dir, mut opened) = migrated().await;
        let connection = &mut opened.writer;
        let mut frames = BatchSql::of::<Op>();
        let batches =
            if is_alone { vec![vec![write()], vec![other()]] } else { vec![vec![write(), other()]] };
        for batch in batches {
            let applied = apply((&mut *connection, 0), &mut frames, 7, &batch).await.expect("applied");
            assert_eq!((applied.new, applied.duplicates.len()), (batch.len() as u64, 0));
        }
        let views: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM temp.sqlite_schema WHERE type = 'view' AND name IN ('eitherway_once_line_0', 'eitherway_once_line_1')",
        )
        .fetch_one(&mut *connection)
        .await
        .expect("a count");
        assert_eq!(views, if is_alone { 2 } else { 0 }, "a batch needs none");
        contents.push(content(connection).await);

        let again = apply((&mut *connection, 0), &mut frames, 8, &[write()]).await.expect("known");
        assert_eq!((again.new, again.duplicates), (0, vec![0]));
        let changed = Write { hash: 1, ..write() };
        let reused = apply((&mut *connection, 0), &mut frames, 9, &[changed]).await.expect("refused");
        assert!(matches!(reused.outcomes[..], [Outcome::IdReused]));
        assert_eq!(content(connection).await, contents[0], "nothing twice");
    }
    assert_eq!(contents[0], contents[1]);
    assert_eq!(contents[0].len(), 4);
}

#[test]
fn beyond_so_many_sets_of_operations_each_has_a_string_of_its_own() {
    let mut strings = Strings::of::<Op>();
    let sets = (1..1_usize << writing().len()).map(|bits| -> Vec<usize> {
        writing()
            .into_iter()
            .enumerate()
            .filter(|(n, _)| bits & (1 << n) != 0)
            .map(|(_, kind)| kind)
            .collect()
    });
    let mut in_one = 0;
    for set in sets {
        let transaction = strings.transaction(&set);
        in_one += usize::from(transaction.len() == 1);
        let text: String = transaction.iter().map(|joined| joined.sql.to_string()).collect();
        assert!(
            text.starts_with("BEGIN IMMEDIATE") && text.trim_end().trim_end_matches(';').ends_with("COMMIT")
        );
        assert_eq!(text.matches("INSERT INTO ledger").count(), set.len());
    }
    let alone = writing().len();
    assert!(in_one >= Strings::SETS - alone, "{in_one}");
    assert!(strings.len() <= Strings::SETS + 2 * alone, "{}", strings.len());
}

/// A parameter that is not bound is null, and no error.
#[test]
fn nothing_asks_for_a_parameter_that_nobody_binds() {
    let most = |sql: &str| sql.split('$').skip(1).filter_map(number).max().unwrap_or(0);
    for (owner, sql) in of_batches() {
        let kinds = if owner == "all" { writing().len() } else { 1 };
        assert!(most(&sql) <= 3 + 2 * u32::try_from(kinds).expect("few"), "{owner}");
    }
    for (owner, sql) in shown::sweep_texts::<Op>() {
        assert!(most(&sql) <= if owner.ends_with("found") { 3 } else { 4 }, "{owner}");
    }
    assert!(most(DEAD_LETTER_INSERT) <= 1 && most(PRIOR_ANSWERS) <= 2);
    for question in crate::sql::audit::questions::<Op>() {
        assert!(most(&question.alone) <= 5, "{question:?}");
    }
    // and it has the one form that is counted here
    let checks = checks().map(|(name, check)| verify::comparing(name, check));
    let all = of_batches().into_iter().map(|(_, sql)| sql.to_string());
    let all = all
        .chain(shown::sweep_texts::<Op>().into_iter().map(|(_, sql)| sql))
        .chain([DEAD_LETTER_INSERT.to_owned()]);
    for sql in all.chain(checks.inspect(|sql| assert!(!sql.contains('$'), "{sql}"))) {
        assert!(!sql.contains('?'), "{sql}");
    }
}

/// The number that follows; none, if it is a path in JSON.
fn number(rest: &str) -> Option<u32> {
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[tokio::test]
async fn the_frame_and_the_sweeps_read_through_no_table_that_grows() {
    let (_dir, mut opened) = migrated().await;
    let frames = [PRIOR_ANSWERS, DEAD_LETTER_INSERT].map(|sql| ("frame".to_owned(), sql.to_owned()));
    let mut scans = BTreeSet::new();
    for (owner, string) in frames.into_iter().chain(shown::sweep_texts::<Op>()) {
        for statement in string.split(';').map(str::trim).filter(|s| !s.is_empty()) {
            if statement.starts_with("BEGIN") || statement.starts_with("COMMIT") {
                continue;
            }
            let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {statement}"));
            let rows = sqlx::query(sql).fetch_all(&mut opened.writer).await;
            let rows = rows.unwrap_or_else(|e| panic!("{owner}: {e}\n{statement}"));
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            let reads = plan.iter().filter(|line| reads_through(line, &plan));
            scans.extend(reads.map(|line| (owner.clone(), line.clone())));
        }
    }
    let meant = MEANT.map(|(owner, line, _)| (owner.to_owned(), line.to_owned()));
    assert_eq!(scans, BTreeSet::from(meant), "left: what SQLite does, right: what is meant");
}

/// Whether a line of the plan reads all of a stored table: not the batch itself, and not what other lines make.
fn reads_through(line: &str, plan: &[String]) -> bool {
    let Some(what) = line.strip_prefix("SCAN ") else { return false };
    let made = ["MATERIALIZE", "CO-ROUTINE"].iter().any(|how| plan.contains(&format!("{how} {what}")));
    !made && what != "CONSTANT ROW" && !what.contains(" VIRTUAL TABLE ")
}
