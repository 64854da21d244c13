//! A real PostgreSQL server, to be killed, frozen and started again. One for the whole test binary, with a database for each
//! test; or one of a test's own.

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use eitherway::postgres::PostgresOptions;
use eitherway::sql::SqlService;
use rosey::op::Op;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};
use tokio::sync::Mutex;

use super::{LIMIT, Port, proc};

/// Runs the server until its own input ends, which it does with the test, however that ends; then removes the data.
const KEEPER: &str = r#"trap : INT TERM HUP; dir="$1"; shift; "$@" & server=$!; echo $server > "$dir/pid"; read -r _; kill -INT $server; wait $server; [ -e "$dir/keep" ] || rm -rf "$dir""#;

/// Runs what follows where a small file system is mounted for it alone.
const SMALL_DISK: &str = r#"mount -t tmpfs -o size="$1",mode=700 none "$0" && shift && exec "$@""#;

/// Limits that are short, so that a test is.
pub(crate) fn short_limits(url: &str) -> PostgresOptions {
    PostgresOptions::new(url)
        .unwrap()
        .retention(None)
        .connect_timeout(Duration::from_millis(500))
        .statement_timeout(Duration::from_secs(1))
        .repeat_timeout(Duration::from_secs(1))
}

pub(crate) struct Postgres {
    port: Port,
    dir: PathBuf,
    keeper: Option<Child>,
    settings: Vec<String>,
    /// Its tablespace of the tests' databases is a disk of this size.
    disk: Option<&'static str>,
    /// Whether there is the database from which those of the tests are made.
    template: Mutex<bool>,
}

const INITDB: &[&str] = &["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"];

static SHARED: OnceLock<Postgres> = OnceLock::new();
static NUMBER: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// The one that the tests of this binary share. It ends with the binary.
    pub(crate) fn shared() -> &'static Self {
        SHARED.get_or_init(|| Self::start(&[]))
    }

    /// One of its own, with further settings.
    pub(crate) fn start(settings: &[&str]) -> Self {
        Self::prepare(settings).initialised()
    }

    /// One of its own, whose files are in this folder.
    pub(crate) fn start_in(folder: &Path, settings: &[&str]) -> Self {
        Self::prepare_in(folder, settings).initialised()
    }

    fn initialised(mut self) -> Self {
        self.make("initdb", INITDB);
        self.run();
        self
    }

    /// One whose databases are on a disk of this many MiB. It does not survive the server.
    pub(crate) async fn with_disk(size: &'static str) -> Self {
        let mut server = Self::prepare(&[]);
        server.make("initdb", INITDB);
        server.disk = Some(size);
        server.run();
        let place = format!("CREATE TABLESPACE small LOCATION '{}'", server.small().display());
        sqlx::query(AssertSqlSafe(place)).execute(&mut server.connect("postgres").await).await.unwrap();
        server
    }

    fn small(&self) -> PathBuf {
        self.dir.join("small")
    }

    /// Runs the program that makes its data.
    fn make(&self, program: &str, arguments: &[&str]) {
        let mut making = self.program(program);
        making.arg("--no-sync").arg("-D").arg(self.dir.join("data")).args(arguments);
        let made = making.output().expect("no PostgreSQL: run `cargo xtask test`");
        assert!(made.status.success(), "{program}: {}", String::from_utf8_lossy(&made.stderr));
    }

    /// Whether the programs can do TLS: a small build cannot.
    pub(crate) fn has_tls() -> bool {
        let bin = std::env::var_os("POSTGRES_BIN").expect("no PostgreSQL: run `cargo xtask test`");
        let program = std::fs::read(Path::new(&bin).join("postgres")).unwrap();
        program.windows(9).any(|bytes| bytes == b"libssl.so")
    }

    /// A standby of it, which follows.
    pub(crate) fn standby(&self) -> Self {
        let mut standby = Self::prepare(&[]);
        let port = self.port.number.to_string();
        standby.make("pg_basebackup", &["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-c", "fast"]);
        standby.follow(self);
        standby
    }

    /// Runs as a standby of another server, while it does not run.
    pub(crate) fn follow(&mut self, primary: &Self) {
        std::fs::write(self.dir.join("data/standby.signal"), "").unwrap();
        let port = primary.port.number;
        self.settings = vec![format!("primary_conninfo=host=127.0.0.1 port={port} user=postgres")];
        self.run();
    }

    /// It follows no longer, and takes writes.
    pub(crate) async fn promote(&self) {
        let mut raw = self.connect("postgres").await;
        let promoted: bool = sqlx::query_scalar("SELECT pg_promote()").fetch_one(&mut raw).await.unwrap();
        assert!(promoted, "{}", self.log());
    }

    /// Changes one of its settings while it runs. A standby has its own.
    pub(crate) async fn set(&self, setting: &str) {
        let mut raw = self.connect("postgres").await;
        for statement in [format!("ALTER SYSTEM SET {setting}"), "SELECT pg_reload_conf()".to_owned()] {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut raw).await.unwrap();
        }
    }

    fn prepare(settings: &[&str]) -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        Self::prepare_in(&folder, settings)
    }

    fn prepare_in(folder: &Path, settings: &[&str]) -> Self {
        let name =
            format!("rosey-postgres-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let dir = folder.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Self { port: Port::reserve(), dir, keeper: None, settings, disk: None, template: Mutex::default() }
    }

    /// One of the programs; PostgreSQL does not run as root.
    fn program(&self, name: &str) -> Command {
        let bin = std::env::var_os("POSTGRES_BIN").expect("no PostgreSQL: run `cargo xtask test`");
        let program = Path::new(&bin).join(name);
        let root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.trim_ascii() == b"0");
        if !root {
            return Command::new(program);
        }
        let mut command = Command::new("unshare");
        command.arg("-U").arg(program);
        command
    }

    /// Starts it, again on the same port, and returns when it takes connections.
    pub(crate) fn run(&mut self) {
        assert!(self.keeper.is_none(), "it runs");
        let _ = std::fs::remove_file(self.dir.join("keep"));
        let server = self.program("postgres");
        let log = std::fs::File::options().create(true).append(true).open(self.dir.join("log")).unwrap();
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER, "sh"]).arg(&self.dir);
        if let Some(size) = self.disk {
            std::fs::create_dir_all(self.small()).unwrap();
            keeper.args(["unshare", "-Urm", "sh", "-c", SMALL_DISK]).arg(self.small()).arg(size);
            // There it would be root.
            if server.get_program() != "unshare" {
                keeper.args(["unshare", "-U"]);
            }
        }
        keeper.arg(server.get_program()).args(server.get_args());
        keeper.arg("-D").arg(self.dir.join("data")).args(["-p", &self.port.number.to_string()]);
        keeper.arg("-k").arg(&self.dir);
        for setting in
            ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "deadlock_timeout=50ms"]
                .into_iter()
                .chain(self.settings.iter().map(String::as_str))
        {
            keeper.args(["-c", setting]);
        }
        let keeper = keeper.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
        self.keeper = Some(keeper.unwrap());
        let since = Instant::now();
        while !self.is_ready() {
            assert!(since.elapsed() < LIMIT, "PostgreSQL does not start:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn is_ready(&self) -> bool {
        let ready = std::fs::read_to_string(self.dir.join("data/postmaster.pid"));
        ready.is_ok_and(|text| text.lines().any(|line| line.trim() == "ready"))
            && TcpStream::connect(("127.0.0.1", self.port.number)).is_ok()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port.number
    }

    /// The server's process.
    fn process(&self) -> u32 {
        std::fs::read_to_string(self.dir.join("pid")).unwrap().trim().parse().unwrap()
    }

    /// Sends the server a signal: `-KILL`, `-QUIT` for an immediate stop, `-INT` for a fast one.
    pub(crate) fn signal(&self, signal: &str) {
        proc::signal(self.process(), signal);
    }

    /// All of its processes stop, and nothing moves.
    pub(crate) fn freeze(&self) {
        for process in self.all() {
            let _ = Command::new("kill").args(["-STOP", &process.to_string()]).stderr(Stdio::null()).status();
        }
    }

    pub(crate) fn thaw(&self) {
        for process in self.all() {
            let _ = Command::new("kill").args(["-CONT", &process.to_string()]).stderr(Stdio::null()).status();
        }
    }

    /// The server's process and its children.
    fn all(&self) -> Vec<u32> {
        let server = self.process();
        let children = Command::new("pgrep").args(["-P", &server.to_string()]).output().unwrap();
        let children = String::from_utf8_lossy(&children.stdout).into_owned();
        children.lines().filter_map(|line| line.trim().parse().ok()).chain([server]).collect()
    }

    /// Ends it by a signal, and waits until it is gone. Its data stays.
    pub(crate) fn stop(&mut self, signal: &str) {
        std::fs::write(self.dir.join("keep"), "").unwrap();
        self.signal(signal);
        let mut keeper = self.keeper.take().expect("it runs");
        let since = Instant::now();
        // One that was killed leaves its children, which notice it.
        while self.is_in_use() {
            assert!(since.elapsed() < LIMIT, "PostgreSQL does not end");
            std::thread::sleep(Duration::from_millis(2));
        }
        drop(keeper.stdin.take());
        keeper.wait().unwrap();
    }

    /// Whether a process has its data as its directory, as all of the server's have.
    fn is_in_use(&self) -> bool {
        let data = self.dir.join("data");
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes
            .into_iter()
            .any(|process| std::fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd == data))
    }

    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port.number)
    }

    /// A connection past the store.
    pub(crate) async fn connect(&self, database: &str) -> PgConnection {
        PgConnection::connect(&self.url(database)).await.unwrap()
    }

    /// The address of a new database that has nothing in it.
    pub(crate) async fn empty(&self) -> String {
        self.create("template1").await
    }

    /// The address of a new database with Rosey's tables.
    pub(crate) async fn database(&self) -> String {
        {
            let mut template = self.template.lock().await;
            if !*template {
                let mut raw = self.connect("postgres").await;
                sqlx::query("CREATE DATABASE rosey_template").execute(&mut raw).await.unwrap();
                let options = PostgresOptions::new(&self.url("rosey_template")).unwrap();
                SqlService::<Op>::open_postgres(&options).await.unwrap().close().await;
                *template = true;
            }
        }
        self.create("rosey_template").await
    }

    async fn create(&self, template: &str) -> String {
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut raw = self.connect("postgres").await;
        let place = if self.disk.is_some() { "TABLESPACE small" } else { "" };
        let create = format!("CREATE DATABASE {name} TEMPLATE {template} {place}");
        let since = Instant::now();
        // A connection that was closed a moment ago may still be there.
        while let Err(e) = sqlx::query(AssertSqlSafe(create.clone())).execute(&mut raw).await {
            assert!(since.elapsed() < LIMIT, "{e}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let copied = self.url(&name);
        if template != "template1" {
            // A copy is another database.
            let mut copy = PgConnection::connect(&copied).await.unwrap();
            let id = "UPDATE rosey.meta SET value = replace(gen_random_uuid()::text, '-', '') WHERE key = 'database_id'";
            sqlx::query(id).execute(&mut copy).await.unwrap();
        }
        copied
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let Some(mut keeper) = self.keeper.take() else {
            let _ = std::fs::remove_dir_all(&self.dir);
            return;
        };
        self.thaw();
        let _ = keeper.stdin.as_mut().map(|stdin| stdin.write_all(b"\n"));
        let _ = keeper.wait();
    }
}
