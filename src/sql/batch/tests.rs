//! Every string that runs in the writer, or beside it, against the real tables: it can be prepared, nothing in it asks
//! for a parameter that nobody binds, and none reads through a table that grows.

use std::collections::BTreeSet;

use tempfile::TempDir;

use super::*;
use crate::op::Op;
use crate::operation::Operation;
use crate::sql::sqlite::{self, SqliteOptions};
use crate::sql::{retention, verify};

/// Scans that are meant: whose, of what, and why that does no harm.
const MEANT: [(&str, &str, &str); 3] = [
    ("ledger found", "SCAN ledger", "stops after the first so many, in the order in which they were applied"),
    ("history found", "SCAN p", "holds no lock; the table has the last days, and one row a user"),
    ("sent found", "SCAN m", "holds no lock; the table has the reports of the last days"),
];

async fn migrated() -> (TempDir, sqlite::Opened) {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("rosey.db");
    let options = SqliteOptions::new(&path.display().to_string()).expect("a path");
    let opened = sqlite::open(&options, Op::MIGRATIONS).await.expect("a new file");
    (dir, opened)
}

fn writing() -> Vec<usize> {
    (0..Op::SPECS.len()).filter(|kind| Op::SPECS[*kind].writes()).collect()
}

/// The strings of the writer that take a batch.
fn of_batches() -> Vec<(String, Arc<str>)> {
    let mut frames = Frames::of::<Op>();
    let mut strings: Vec<_> =
        writing().into_iter().map(|kind| (Op::NAMES[kind].to_owned(), frames.join(vec![kind]))).collect();
    strings.push(("all".to_owned(), frames.join(writing())));
    strings.push(("known".to_owned(), Arc::clone(&frames.known)));
    strings.push(("repeated".to_owned(), Arc::clone(&frames.repeated)));
    strings
}

/// What finds, and what removes.
fn of_sweeps() -> Vec<(String, String)> {
    let sweeps = retention::sweeps::<Op>();
    let both = sweeps.flat_map(|sweep| {
        let name = sweep.name;
        [(format!("{name} found"), retention::finding(sweep)), (format!("{name} removed"), removing(sweep))]
    });
    both.collect()
}

#[tokio::test]
async fn every_string_runs_from_beginning_to_end() {
    let (_dir, mut opened) = migrated().await;
    let connection = &mut opened.writer;
    for (owner, sql) in of_batches() {
        let query = sqlx::query(AssertSqlSafe(sql)).bind(1).bind("{}").bind(1);
        run(connection, query).await.unwrap_or_else(|e| panic!("{owner}: {e}"));
    }
    for (owner, sql) in of_sweeps() {
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = if owner.ends_with("found") { query.bind(1) } else { query.bind("[]") };
        let query = query.bind(1).bind(1);
        let query = if owner.ends_with("found") { query } else { query.bind("chat") };
        let (rows, _) = run(connection, query).await.unwrap_or_else(|e| panic!("{owner}: {e}"));
        assert_eq!(rows.len(), 1, "{owner}: the keys, or how many");
    }
    for check in Op::CHECKS.iter().copied().flatten() {
        let query = sqlx::query(AssertSqlSafe(verify::comparing(check)));
        let (rows, _) = run(connection, query).await.unwrap_or_else(|e| panic!("{}: {e}", check.name));
        assert_eq!(rows.len(), 1, "{}: nothing is wrong", check.name);
    }
    run(connection, sqlx::query(BURY).bind("[]")).await.expect("no letters");
}

#[tokio::test]
async fn a_letter_that_was_kept_before_is_one_letter_and_has_no_new_number() {
    let (_dir, mut opened) = migrated().await;
    let connection = &mut opened.writer;
    let letter = DeadLetter {
        at: 1,
        cause: crate::Cause::new(crate::Code::INVALID, "no"),
        subject: "rosey.db.user.joined".to_owned(),
        headers: vec![(dead::UNREAD.to_owned(), "/w==".to_owned())],
        payload: Vec::new(),
    };
    assert_eq!(bury(connection, std::slice::from_ref(&letter)).await.expect("kept"), 1);
    // A row of another table has a higher number.
    for sql in ["CREATE TABLE other (id INTEGER PRIMARY KEY)", "INSERT INTO other VALUES (100)"] {
        sqlx::query(sql).execute(&mut *connection).await.expect("a row");
    }
    // As the number of a letter it would make the right file an older copy.
    assert_eq!(bury(connection, &[letter]).await.expect("known"), 0);
    let letters: i64 =
        sqlx::query_scalar("SELECT count(*) FROM dead_letters").fetch_one(connection).await.expect("a count");
    assert_eq!(letters, 1);
}

#[test]
fn beyond_so_many_sets_of_operations_the_string_for_all_serves() {
    let mut frames = Frames::of::<Op>();
    let all = frames.join(writing());
    let sets = (1..1_usize << writing().len()).map(|bits| {
        writing()
            .into_iter()
            .enumerate()
            .filter(|(n, _)| bits & (1 << n) != 0)
            .map(|(_, kind)| kind)
            .collect()
    });
    let joined: Vec<Arc<str>> = sets.map(|set: Vec<usize>| frames.join(set)).collect();
    let different: BTreeSet<_> = joined.iter().collect();
    assert_eq!((different.len(), frames.joined.len()), (Frames::SETS, Frames::SETS));
    assert_eq!(joined.last(), Some(&all));
}

/// A parameter that nobody binds is null, and no error.
#[test]
fn nothing_asks_for_a_parameter_that_nobody_binds() {
    let most = |sql: &str| sql.split('$').skip(1).filter_map(number).max().unwrap_or(0);
    for (owner, sql) in of_batches() {
        assert!(most(&sql) <= 4, "{owner}");
    }
    for (owner, sql) in of_sweeps() {
        assert!(most(&sql) <= if owner.ends_with("found") { 3 } else { 4 }, "{owner}");
    }
    for sweep in retention::sweeps::<Op>() {
        assert!(most(sweep.remove) <= 3, "{}: the fourth is not its own", sweep.name);
    }
    assert!(most(BURY) <= 1);
    for sql in std::iter::zip(Op::SPECS, Op::SQLITE).filter(|(spec, _)| !spec.writes()).map(|(_, sql)| sql) {
        assert!(most(sql) <= 3, "{sql}");
    }
    // and it has the one form that is counted here
    let checks = Op::CHECKS.iter().copied().flatten().map(verify::comparing);
    let all = of_batches().into_iter().map(|(_, sql)| sql.to_string());
    let all = all.chain(of_sweeps().into_iter().map(|(_, sql)| sql)).chain([BURY.to_owned()]);
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
    let frames = [BEGIN, KNOWN, BURY].map(|sql| ("frame".to_owned(), sql.to_owned()));
    let mut scans = BTreeSet::new();
    for (owner, string) in frames.into_iter().chain(of_sweeps()) {
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
