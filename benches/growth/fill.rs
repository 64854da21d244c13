//! A large file, filled without sending each operation through the service.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{CachedStatement, Connection, ToSql, params};

use crate::load;

/// The size of the file.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) lines: usize,
    pub(crate) users: usize,
}

/// The number of lines per visit: a join, and in most cases a leave.
const LINES_A_VISIT: usize = 20;
/// The number of users who are present at the end, in the smallest file and in the largest.
const HERE: usize = 40;
/// The retention of chat, in milliseconds.
const SPAN: usize = 150 * 60 * 60 * 1000;

/// Fills the tables of a new file in the order of time: lines of the last 150 hours, joins and leaves by the
/// triggers of the tables, and the ledger of all operations. Afterwards everything is in the main file.
pub(crate) fn fill(file: &Path, size: Size) {
    let connection = Connection::open(file).unwrap();
    // An interrupted fill is discarded, so it need not be durable.
    connection
        .execute_batch(
            "PRAGMA journal_mode = off; PRAGMA synchronous = off; PRAGMA cache_size = -400000; BEGIN",
        )
        .unwrap();
    let mut fill = Fill { connection: &connection, size, start: start(), operations: 0 };
    fill.users();
    for line in 0..size.lines {
        if line % LINES_A_VISIT == 0 {
            fill.visit(line);
        }
        fill.say(line);
    }
    connection.execute_batch("COMMIT").unwrap();
}

/// The number of operations in the ledger.
pub(crate) fn operations(file: &Path) -> i64 {
    Connection::open(file).unwrap().query_row("SELECT count(*) FROM ledger", (), |row| row.get(0)).unwrap()
}

fn start() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_millis() as i64 - SPAN as i64
}

struct Fill<'a> {
    connection: &'a Connection,
    size: Size,
    start: i64,
    operations: usize,
}

impl Fill<'_> {
    fn insert(&self, sql: &str, values: &[&dyn ToSql]) {
        let mut statement: CachedStatement<'_> = self.connection.prepare_cached(sql).unwrap();
        statement.execute(values).unwrap();
    }

    /// Inserts all users, each with a share of the lines; the shares differ.
    fn users(&self) {
        for user in 0..self.size.users {
            let lines = self.size.lines / self.size.users + user % 50;
            self.insert(
                "INSERT INTO user_stats (username, first_seen, last_seen, total_chat_lines, last_line)
                 VALUES (?1, ?2, ?2, ?3, ?2)",
                params![load::name(user), self.start / 1000, lines as i64],
            );
        }
    }

    /// When this line was said.
    fn at(&self, line: usize) -> i64 {
        self.start + (line as f64 / self.size.lines as f64 * SPAN as f64) as i64
    }

    /// The user of this turn; consecutive turns are spread over the whole table.
    fn user(&self, turn: usize) -> String {
        load::name(turn.wrapping_mul(7919) % self.size.users)
    }

    fn operation(&mut self, name: &str, at: i64) -> String {
        self.operations += 1;
        let n = self.operations;
        // Ids that sort by time, like those of the bot.
        let id =
            format!("{:08x}-{:04x}-7{:03x}-8{:03x}-{n:012x}", at >> 16, at & 0xffff, n % 4096, n / 7 % 4096);
        // A hash is a number of eight bytes.
        let hash = (n as i64).wrapping_mul(0x5851_f42d_4c95_7f2d);
        self.insert(
            "INSERT INTO ledger (id, operation, hash, occurred_at, applied_at, batch) VALUES (?, ?, ?, ?, ?, ?)",
            params![id, name, hash, at, at, hash],
        );
        id
    }

    fn say(&mut self, line: usize) {
        let at = self.at(line);
        let id = self.operation("message_log", at);
        self.insert(
            "INSERT INTO recent_chat (timestamp, username, message, at, op_id) VALUES (?, ?, ?, ?, ?)",
            params![at / 1000, self.user(line), load::line(line), at, id],
        );
    }

    /// One user joins; the one who joined `HERE` visits ago leaves.
    fn visit(&mut self, line: usize) {
        let visit = line / LINES_A_VISIT;
        self.enter(line, visit, true);
        if let Some(earlier) = visit.checked_sub(HERE) {
            self.enter(line, earlier, false);
        }
    }

    fn enter(&mut self, line: usize, visit: usize, joined: bool) {
        let at = self.at(line);
        let id = self.operation(if joined { "user_joined" } else { "user_left" }, at);
        self.insert(
            "INSERT INTO presence (username, at, id, joined) VALUES (?, ?, ?, ?)",
            params![self.user(visit), at, id, joined],
        );
    }
}
