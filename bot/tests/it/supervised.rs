//! What a service manager hears: readiness when everything is open, the end, and the watchdog as long as the writer works. The
//! manager is a socket of the test's own.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::program::{Running, rosey};
use crate::support::*;

/// A socket like the one of systemd, and what has come to it.
struct Manager {
    socket: PathBuf,
    heard: Arc<Mutex<Vec<(Instant, String)>>>,
    dir: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("notify");
        let bound = UnixDatagram::bind(&socket).unwrap();
        let heard = Arc::<Mutex<Vec<_>>>::default();
        let told = Arc::downgrade(&heard);
        bound.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 1024];
            while let Some(heard) = told.upgrade() {
                if let Ok(length) = bound.recv(&mut bytes) {
                    let text = String::from_utf8_lossy(&bytes[..length]).trim().to_owned();
                    heard.lock().unwrap().push((Instant::now(), text));
                }
            }
        });
        Self { socket, heard, dir }
    }

    /// Starts a process, which is to be killed when it says nothing for so long.
    fn start(&self, arguments: &[&str], watchdog: Duration) -> Running {
        let mut command = rosey(self.dir.path());
        command.args(arguments).env("NOTIFY_SOCKET", &self.socket);
        command.env("WATCHDOG_USEC", watchdog.as_micros().to_string()).env("RUST_LOG", "info");
        Running::start(&mut command)
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }

    fn count(&self, text: &str) -> usize {
        self.heard().iter().filter(|heard| *heard == text).count()
    }

    async fn hears(&self, text: &str, times: usize) {
        wait_until(text, || async { self.count(text) >= times }).await;
    }

    /// For how long the watchdog has not been fed.
    fn silence(&self) -> Duration {
        let heard = self.heard.lock().unwrap();
        let fed = heard.iter().rev().find(|(_, text)| text == WATCHDOG);
        fed.map_or(Duration::ZERO, |(at, _)| at.elapsed())
    }
}

const READY: &str = "READY=1";
const STOPPING: &str = "STOPPING=1";
const WATCHDOG: &str = "WATCHDOG=1";
const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_is_ready_once_its_files_are_open_with_or_without_nats_and_says_when_it_ends() {
    let server = NatsServer::start().await;
    for nats in [NOWHERE.to_owned(), server.url()] {
        for command in ["serve", "bot", "up"] {
            let (manager, file) = (Manager::new(), DbFile::new());
            let database = file.url();
            let mut words = vec![command, "--nats-url", &nats, "--database-url", &database];
            if command != "serve" {
                // A chat that goes on.
                words.extend(["--chat", "irc://rosey@127.0.0.1:1/#room"]);
            }
            let mut running = manager.start(&words, MINUTE);
            manager.hears(READY, 1).await;
            assert_eq!(manager.count(STOPPING), 0, "{command}: {:?}", manager.heard());
            running.terminate().await;
            manager.hears(STOPPING, 1).await;
            assert_eq!((manager.count(READY), manager.count(STOPPING)), (1, 1), "{:?}", manager.heard());
        }
    }
}

#[tokio::test]
async fn a_process_that_cannot_open_its_database_is_never_ready() {
    let manager = Manager::new();
    let words = ["serve", "--nats-url", NOWHERE, "--database-url", "sqlite:///proc/no/such.db"];
    let (code, _, log) = manager.start(&words, MINUTE).ends().await;
    assert_ne!(code, Some(0), "{log}");
    assert_eq!(manager.count(READY), 0, "{:?}", manager.heard());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_writer_feeds_the_watchdog_and_one_that_hangs_in_postgres_does_not() {
    let (server, manager) = (NatsServer::start().await, Manager::new());
    let postgres = Postgres::start(&[]);
    let (nats, database) = (server.url(), postgres.database().await);
    let words = ["serve", "--nats-url", &nats, "--database-url", &database, "--jetstream", "off"];
    // The idle one turns to its queue every second.
    let mut running = manager.start(&words, Duration::from_secs(4));
    running.says(" serving").await;
    manager.hears(WATCHDOG, 5).await;
    postgres.freeze();
    let peer = Peer::connect(&server).await;
    peer.publish("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    let before = manager.count(WATCHDOG);
    wait_until("it is fed no more", || async { manager.silence() > Duration::from_secs(3) }).await;
    postgres.thaw();
    let fed = manager.count(WATCHDOG);
    assert!(fed <= before + 4, "what was on its way, and half a watchdog's time: {before}, {fed}");
    manager.hears(WATCHDOG, fed + 3).await;
    assert_eq!(running.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_whose_file_is_locked_for_longer_than_the_watchdog_works_and_feeds_it() {
    let (server, file, manager) = (NatsServer::start().await, DbFile::new(), Manager::new());
    let (nats, database) = (server.url(), file.url());
    let words = ["serve", "--nats-url", &nats, "--database-url", &database, "--jetstream", "off"];
    let mut running = manager.start(&words, Duration::from_secs(2));
    running.says(" serving").await;
    let held = file.hold().await;
    let peer = Peer::connect(&server).await;
    peer.publish("rosey.db.user.joined", r#"{"username":"alice"}"#).await;
    // Fed every second: for three times as long as systemd would wait.
    let before = manager.count(WATCHDOG);
    manager.hears(WATCHDOG, before + 6).await;
    assert_eq!(file.applied().await, 0, "it is locked");
    held.release().await;
    wait_until("it is applied", || async { file.applied().await == 1 }).await;
    assert_eq!(running.terminate().await, Some(0), "{}", running.log());
}
