//! A folder as the Python bot leaves it, and what its operator does there.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

use crate::support::program::{Running, outcome, shell};
use crate::support::*;

pub(super) struct Folder {
    dir: tempfile::TempDir,
    /// `NOW` in the fixtures.
    pub(super) now: u64,
}

impl Folder {
    /// With a `bot_data.db` that these scripts make, closed.
    pub(super) async fn made_by(scripts: &[&str]) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let folder = Self { dir: tempfile::tempdir().unwrap(), now };
        let options = SqliteConnectOptions::new().filename(folder.file()).create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        for script in scripts {
            folder.run_on(&mut connection, script).await;
        }
        connection.close().await.unwrap();
        std::fs::set_permissions(folder.file(), std::fs::Permissions::from_mode(0o600)).unwrap();
        folder
    }

    async fn run_on(&self, connection: &mut SqliteConnection, sql: &str) {
        let sql = sql.replace("NOW", &self.now.to_string());
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap();
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.path("bot_data.db")
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        std::fs::read(self.file()).unwrap()
    }

    /// What lies beside the file, apart from Rosey's locks, which hold nothing.
    pub(super) fn beside(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.filter(|n| n.starts_with("bot_data.db-")).collect();
        names.sort();
        names
    }

    pub(super) async fn connect(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.file());
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// Statements of another program's.
    pub(super) async fn execute(&self, sql: &str) {
        let mut connection = self.connect().await;
        self.run_on(&mut connection, sql).await;
        connection.close().await.unwrap();
    }

    pub(super) async fn rows(&self, sql: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        let sql = sql.replace("NOW", &self.now.to_string());
        let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        rows
    }

    /// Everything that the Python bot keeps.
    pub(super) async fn history(&self) -> Vec<Vec<String>> {
        let mut history = Vec::new();
        for query in super::HISTORY {
            history.push(self.rows(query).await);
        }
        history
    }

    /// A command in this folder, in which `rosey` is the program under test.
    pub(super) fn shell(&self, command: &str, server: Option<&NatsServer>) -> Command {
        let mut shell = shell(command, self.dir.path());
        if let Some(server) = server {
            shell.env("ROSEY_NATS_URL", server.url());
        }
        shell
    }

    /// Runs it to its end: its exit code, and all that it says.
    pub(super) fn done(&self, command: &str, server: Option<&NatsServer>) -> (Option<i32>, String) {
        outcome(&mut self.shell(command, server))
    }

    /// Begins it in the background.
    pub(super) fn begin(&self, command: &str, server: &NatsServer) -> Running {
        // The process is `rosey` itself, so that signals reach it.
        Running::start(&mut self.shell(&format!("exec {command}"), Some(server)))
    }

    /// The same, and waits until it serves.
    pub(super) async fn serve(&self, command: &str, server: &NatsServer) -> Running {
        let mut running = self.begin(command, server);
        running.serves().await;
        running
    }
}
