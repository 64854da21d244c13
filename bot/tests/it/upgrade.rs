//! The program of before beside this one: services and bots are replaced one after the other under load, as
//! [docs/deployment.md](../../../docs/deployment.md#upgrades) says, and back. What was sent is counted.
//!
//! `cargo xtask test --only upgrade` builds that program and names it in `ROSEY_BEFORE_BIN`.

mod back;
mod outbox;
mod replaced;

use std::path::{Path, PathBuf};

use sqlx::{Connection, PgConnection};

use crate::handover::share;
use crate::schedules::verdict::Contents;
use crate::support::program::{PROGRAM, Ran, Running, finished, outcome, program_in};
use crate::support::*;

/// The program of before.
fn before() -> PathBuf {
    let program = std::env::var_os("ROSEY_BEFORE_BIN");
    program.expect("`cargo xtask test --only upgrade` builds the program of before and names it here").into()
}

/// The program of now.
fn now() -> &'static Path {
    Path::new(PROGRAM)
}

/// Where services and bots keep what they are sent.
enum Database {
    File(DbFile),
    Server(String),
}

impl Database {
    fn url(&self) -> String {
        match self {
            Self::File(file) => file.url(),
            Self::Server(url) => url.clone(),
        }
    }

    /// How many operations have been applied.
    async fn applied(&self) -> i64 {
        match self {
            Self::File(file) if !file.path().exists() => 0,
            Self::File(file) => {
                let made = "SELECT count(*) FROM sqlite_master WHERE name = 'ledger'";
                if file.number(made).await == 0 {
                    0
                } else {
                    file.number("SELECT count(*) FROM ledger").await
                }
            }
            Self::Server(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let count = sqlx::query_scalar("SELECT count(*) FROM rosey.ledger");
                count.fetch_one(&mut connection).await.unwrap_or(0)
            }
        }
    }

    /// Waits until so many more have been.
    async fn applies(&self, more: i64) {
        let until = self.applied().await + more;
        wait_until("operations are applied", || async { self.applied().await >= until }).await;
    }

    async fn contents(&self) -> Contents {
        match self {
            Self::File(file) => Contents::read(file).await,
            Self::Server(url) => Contents::read_postgres(url).await,
        }
    }

    /// The newest change of schema that was made.
    async fn schema(&self) -> i64 {
        match self {
            Self::File(file) => file.number("SELECT max(version) FROM _sqlx_migrations").await,
            Self::Server(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                let newest = sqlx::query_scalar("SELECT max(version) FROM rosey._sqlx_migrations");
                newest.fetch_one(&mut connection).await.unwrap()
            }
        }
    }
}

/// Starts `rosey serve`, and waits until it serves.
async fn serve(program: &Path, dir: &Path, server: &impl Url, database: &str, options: &[&str]) -> Running {
    let mut command = program_in(program, dir);
    command.args(["serve", "--nats-url", &server.url(), "--database-url", database]);
    let mut running = Running::start(command.args(options).env("RUST_LOG", "info"));
    running.serves().await;
    running
}

/// Runs a command to its end.
async fn ran(program: &Path, dir: &Path, arguments: &[&str]) -> Ran {
    finished(program_in(program, dir).args(arguments)).await
}

/// The verdict: everything that the bots were told stands in the database, and stands there once.
async fn assert_exactly_once(database: &Database, told: &[(&str, Fed)]) {
    let found = database.contents().await;
    for (name, fed) in told {
        let [told, once, doubled, lost] = fed.counted(name, |mark| found.times(mark));
        eprintln!("{name}: told {told} · applied once {once} · twice {doubled} · lost {lost}");
        assert!(
            told > 0 && (once, doubled, lost) == (told, 0, 0),
            "{name}: {told}, {once}, {doubled}, {lost}"
        );
    }
    let verify = ["verify", "--database-url", &database.url()];
    let (code, text) = outcome(program_in(now(), &std::env::temp_dir()).args(verify));
    assert!(code == Some(0) && text.contains("clean: "), "{text}");
}
