//! The writer's statements on the calling thread: no task, no other thread, only SQLite.

use std::path::Path;
use std::time::{Duration, Instant};

use eitherway::__private::shown::{BatchShown, StatementShown};
use eitherway::sql::Synchronous;
use rusqlite::{CachedStatement, Connection};

use crate::callers::median;
use crate::load::Load;
use crate::{Group, Setup, ours, rows};

/// The largest batch of the writer; equal to its `MOST`.
const MOST: usize = 512;

/// The service's tables, open on this thread.
pub(crate) struct Floor {
    load: Load,
    connection: Connection,
    number: i64,
    turn: usize,
}

/// Opens a file with the writer's settings.
fn connect(file: &Path, synchronous: Synchronous) -> Connection {
    let connection = Connection::open(file).unwrap();
    // Every statement of every batch stays prepared.
    connection.set_prepared_statement_cache_capacity(256);
    let name = crate::short(synchronous);
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = {name}; PRAGMA wal_autocheckpoint = 8000;
             PRAGMA foreign_keys = on"
        ))
        .unwrap();
    connection
}

/// Binds and steps a statement. Returns how long that takes.
fn run(statement: &mut CachedStatement<'_>, batch: &BatchShown) -> Duration {
    let place = |n: usize| statement.parameter_index(&format!("${n}")).unwrap();
    let places: Vec<_> = (1..=3 + batch.rows.len()).map(place).collect();
    let start = Instant::now();
    for (place, number) in places.iter().zip([batch.number, batch.now, batch.answer_bytes]) {
        if let Some(place) = place {
            statement.raw_bind_parameter(*place, number).unwrap();
        }
    }
    for (place, rows) in places[3..].iter().zip(&batch.rows) {
        if let Some(place) = place {
            statement.raw_bind_parameter(*place, rows).unwrap();
        }
    }
    let mut rows = statement.raw_query();
    while rows.next().unwrap().is_some() {}
    drop(rows); // resets the statement
    start.elapsed()
}

impl Floor {
    pub(crate) fn open(place: &Setup<'_>, load: Load) -> Self {
        let file = ours::file(place.dir, "floor");
        // The service creates the tables.
        let service = ours::service(place.runtime, &file, place.synchronous);
        place.runtime.block_on(service.close());
        Self { load, connection: connect(&file, place.synchronous), number: 0, turn: 0 }
    }

    /// Runs one transaction of this many operations. Returns its statements, with the time of each to bind
    /// and to step.
    pub(crate) fn transaction(&mut self, operations: usize) -> Vec<(String, Duration)> {
        let requests: Vec<_> = (0..operations).map(|i| self.load.request(0, self.turn + i)).collect();
        self.turn += operations;
        self.number += 1;
        let mut batch = BatchShown::of(&requests, self.number, requests[0].head.occurred_at);
        let statements = std::mem::take(&mut batch.statements);
        let timed = |statement: StatementShown| {
            let mut prepared = self.connection.prepare_cached(&statement.sql).unwrap();
            (statement.title, run(&mut prepared, &batch))
        };
        statements.into_iter().map(timed).collect()
    }

    /// The time of one transaction of this many operations.
    pub(crate) fn time(&mut self, operations: usize) -> Duration {
        self.transaction(operations).iter().map(|(_, took)| *took).sum()
    }

    /// Each transaction holds as many operations as the writer would find waiting.
    pub(crate) fn row(&mut self, group: &mut Group<'_>, name: &str, callers: usize) {
        let operations = callers.min(MOST);
        rows::timed(group, name, |turns| {
            let transactions = turns * (callers / operations) as u64;
            let took: Vec<Duration> = (0..transactions).map(|_| self.time(operations)).collect();
            if callers == 1 {
                return median(took);
            }
            took.iter().sum::<Duration>().as_secs_f64() / (transactions * operations as u64) as f64
        });
    }
}
