//! The writer's statements on the calling thread: no task, no other thread, only SQLite.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use eitherway::sql::Synchronous;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization, TransactionOperation};
use rusqlite::{Batch, Connection, Statement};
use tokio::runtime::Runtime;

use crate::frame;
use crate::load::Load;
use crate::measure::{Round, Side, latencies};

/// The service's tables, open on this thread.
pub(crate) struct Floor {
    name: &'static str,
    load: Load,
    file: PathBuf,
    connection: &'static Connection,
    prepared: HashMap<String, Vec<Step>>,
    number: i64,
    turn: usize,
}

/// One statement of the string.
struct Step {
    title: String,
    statement: Statement<'static>,
}

/// Opens a file with the writer's settings.
fn connect(file: &Path, synchronous: Synchronous) -> Connection {
    let connection = Connection::open(file).unwrap();
    let name = crate::table::short(synchronous);
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = wal; PRAGMA synchronous = {name}; PRAGMA wal_autocheckpoint = 8000;
             PRAGMA foreign_keys = on"
        ))
        .unwrap();
    connection
}

/// Prepares the statements of a string.
fn prepare(connection: &'static Connection, sql: &str) -> Vec<Step> {
    // SQLite names what a statement does while it prepares it.
    let first = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&first);
    let authorizer = move |context: AuthContext<'_>| {
        let mut first = seen.lock().unwrap();
        *first = first.take().or_else(|| title(context.action));
        Authorization::Allow
    };
    connection.authorizer(Some(authorizer)).unwrap();
    let mut statements = Batch::new(connection, sql);
    let mut steps = Vec::new();
    while let Some(statement) = statements.next().unwrap() {
        let title = first.lock().unwrap().take().unwrap_or_else(|| "SELECT".to_owned());
        steps.push(Step { title, statement });
    }
    connection.authorizer(None::<fn(AuthContext<'_>) -> Authorization>).unwrap();
    steps
}

/// What a statement does first, if that is more than reading.
fn title(action: AuthAction<'_>) -> Option<String> {
    match action {
        AuthAction::Insert { table_name } => Some(format!("INSERT INTO {table_name}")),
        AuthAction::Update { table_name, .. } => Some(format!("UPDATE {table_name}")),
        AuthAction::Delete { table_name } => Some(format!("DELETE FROM {table_name}")),
        AuthAction::Transaction { operation: TransactionOperation::Begin } => Some("BEGIN".to_owned()),
        AuthAction::Transaction { .. } => Some("COMMIT".to_owned()),
        _ => None,
    }
}

impl Step {
    fn run(&mut self, number: i64, json: &[String], at: i64) -> Duration {
        let statement = &mut self.statement;
        let places = ["$1", "$2", "$3"].map(|name| statement.parameter_index(name).unwrap());
        let texts: Vec<_> = (4..)
            .zip(json)
            .map(|(n, text)| (statement.parameter_index(&format!("${n}")).unwrap(), text))
            .collect();
        let start = Instant::now();
        if let Some(place) = places[0] {
            statement.raw_bind_parameter(place, number).unwrap();
        }
        if let Some(place) = places[1] {
            statement.raw_bind_parameter(place, at).unwrap();
        }
        if let Some(place) = places[2] {
            statement.raw_bind_parameter(place, 1_000_000).unwrap();
        }
        for (place, text) in texts {
            if let Some(place) = place {
                statement.raw_bind_parameter(place, text).unwrap();
            }
        }
        let mut rows = statement.raw_query();
        while rows.next().unwrap().is_some() {}
        drop(rows); // resets the statement
        start.elapsed()
    }
}

impl Floor {
    pub(crate) fn open(
        runtime: &Runtime,
        dir: &Path,
        name: &'static str,
        load: Load,
        synchronous: Synchronous,
    ) -> Self {
        let file = crate::ours::file(dir, "floor");
        // The service creates the tables.
        let service = crate::ours::service(runtime, &file, synchronous);
        runtime.block_on(service.close());
        // Leaked, because the statements borrow it.
        let connection = Box::leak(Box::new(connect(&file, synchronous)));
        Self { name, load, file, connection, prepared: HashMap::new(), number: 0, turn: 0 }
    }

    /// Runs one transaction of this many operations. Returns its statements, with the time of each to bind
    /// and to step.
    pub(crate) fn transaction(&mut self, operations: usize) -> impl Iterator<Item = (&str, Duration)> {
        let requests: Vec<_> = (0..operations).map(|i| self.load.request(0, self.turn + i)).collect();
        self.turn += operations;
        self.number += 1;
        let (number, at) = (self.number, requests[0].head.occurred_at);
        let (sql, json) = (frame::string(&requests), frame::binds(&requests));
        let connection = self.connection;
        let steps = self.prepared.entry(sql).or_insert_with_key(|sql| prepare(connection, sql));
        steps.iter_mut().map(move |step| {
            let took = step.run(number, &json, at);
            (step.title.as_str(), took)
        })
    }
}

impl Floor {
    /// How many pages a transaction of this many operations writes to the log.
    pub(crate) fn pages(&mut self, operations: usize) -> f64 {
        // Few enough that the log does not wrap.
        const TRANSACTIONS: usize = 20;
        let mut log = self.file.clone().into_os_string();
        log.push("-wal");
        let checkpoint = "PRAGMA wal_checkpoint(truncate)";
        self.connection.query_row(checkpoint, (), |_| Ok(())).unwrap();
        for _ in 0..TRANSACTIONS {
            self.transaction(operations).for_each(drop);
        }
        // A frame is a page of 4096 bytes and a header of 24.
        std::fs::metadata(log).unwrap().len() as f64 / 4120.0 / TRANSACTIONS as f64
    }
}

impl Side for Floor {
    fn name(&self) -> &'static str {
        self.name
    }

    /// Each transaction holds as many operations as the writer would find waiting.
    fn run(&mut self, callers: usize, time: Duration) -> Round {
        let operations = callers.min(frame::MOST);
        let start = Instant::now();
        let mut took: Vec<Duration> = Vec::new();
        while start.elapsed() < time {
            took.push(self.transaction(operations).map(|(_, time)| time).sum());
        }
        let busy: Duration = took.iter().sum();
        Round { rate: (took.len() * operations) as f64 / busy.as_secs_f64(), ..latencies(took) }
    }
}
