//! A folder as the Python bot leaves it, and what its operator does there.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

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
        let program = PathBuf::from(env!("CARGO_BIN_EXE_rosey"));
        let mut path = program.parent().unwrap().as_os_str().to_owned();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", command]).current_dir(self.dir.path()).env("PATH", path).stdin(Stdio::null());
        for variable in ["NATS_URL", "DATABASE_URL", "ROSEY_NATS_URL", "ROSEY_DATABASE_URL", "ROSEY_KEEP"] {
            shell.env_remove(variable);
        }
        if let Some(server) = server {
            shell.env("ROSEY_NATS_URL", server.url());
        }
        shell
    }

    /// Runs it to its end: its exit code, and all that it says.
    pub(super) fn done(&self, command: &str, server: Option<&NatsServer>) -> (Option<i32>, String) {
        let output = self.shell(command, server).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Begins it in the background; what it says goes into the file `log`.
    pub(super) fn begin(&self, command: &str, server: &NatsServer, log: &str) -> Running {
        let file = File::create(self.path(log)).unwrap();
        // The process is `rosey` itself, so that signals reach it.
        let child = self
            .shell(&format!("exec {command}"), Some(server))
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Running { child, log: self.path(log) }
    }

    /// The same, and waits until it serves.
    pub(super) async fn serve(&self, command: &str, server: &NatsServer, log: &str) -> Running {
        let mut running = self.begin(command, server, log);
        running.serves().await;
        running
    }
}

/// A service in the background.
pub(super) struct Running {
    pub(super) child: Child,
    log: PathBuf,
}

impl Running {
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(super) async fn serves(&mut self) {
        wait_until("the service serves, or has ended", || {
            let done = self.log().contains("serving") || self.child.try_wait().unwrap().is_some();
            async move { done }
        })
        .await;
        assert!(self.log().contains("serving"), "it has ended:\n{}", self.log());
    }

    /// SIGTERM; all that it has said.
    pub(super) async fn stop(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        wait_until("the service ends", || {
            let ended = self.child.try_wait().unwrap().is_some();
            async move { ended }
        })
        .await;
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.log());
        self.log()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
