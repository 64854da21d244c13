//! What the log of a real service says of trouble that comes and goes: what is true, and not endlessly.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::support::*;
use eitherway::Db;
use eitherway_layers::logging::RateLimitedLog;
use rosey::op::GetChannelStats;

/// What this thread logs.
#[derive(Clone, Default)]
struct Own(Arc<Mutex<Vec<u8>>>);

impl Own {
    fn log(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Own {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lines(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

#[tokio::test]
async fn a_full_disk_that_is_read_as_ever_is_not_said_to_serve_again() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let process = ServeProcess::start(&server, &file).await;
    let nats = recognised(&server).await;
    let db = nats_only(&nats);
    db.user_joined("before").await.unwrap();
    process.limit_files(Some(4096));
    db.user_joined("while").await.unwrap_err();
    let failed = Instant::now();
    while failed.elapsed() < RateLimitedLog::CALM * 3 / 2 {
        db.call(GetChannelStats {}).await.unwrap();
    }
    let log = process.log();
    assert_eq!((lines(&log, "the database fails"), lines(&log, "serves again")), (1, 0), "{log}");
    process.limit_files(None);
    wait_until("a write that succeeds is said", || async {
        let _ = db.user_joined("after").await;
        lines(&process.log(), "the database serves again") == 1
    })
    .await;
    assert_eq!(process.terminate().await, Some(0));
}

/// How many losses the lines stand for.
fn losses(log: &str) -> u64 {
    let number = |text: &str| text.split(' ').next()?.parse::<u64>().ok();
    let of = |line: &str| match line.split_once("lost the connection to NATS")? {
        (_, rest) if rest.contains(" more times") => number(rest.trim_start()),
        (_, rest) => {
            Some(1 + rest.split_once("indefinitely (").and_then(|(_, more)| number(more)).unwrap_or(0))
        }
    };
    log.lines().filter_map(of).sum()
}

#[tokio::test]
async fn a_connection_that_comes_and_goes_many_times_is_a_few_lines_that_count_every_loss() {
    const TIMES: u64 = 40;
    let own = Own::default();
    let writer = own.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let proxy = Proxy::before(&server).await;
    let process = ServeProcess::start(&proxy, &file).await;
    let nats = recognised(&proxy).await;
    let db = Db::new(nats);
    let begun = Instant::now();
    for _ in 0..TIMES {
        let (_, taken) = proxy.connections();
        proxy.cut(End::Reset, NewConnections::Taken).await;
        wait_until("both are back", || async { proxy.connections().1 >= taken + 2 }).await;
        // An answer has passed over both new connections: they stand, and will be lost.
        wait_until("the service answers", || async { db.call(GetChannelStats {}).await.is_ok() }).await;
    }
    for said in [&|| own.log(), &|| process.log()] as [&dyn Fn() -> String; 2] {
        wait_until("every loss is in a line", || async { losses(&said()) >= TIMES }).await;
        let log = said();
        assert_eq!(losses(&log), TIMES, "{log}");
        // Two lines each at most in ten seconds, and those at the beginning and the end.
        let most = 2 * (begun.elapsed().as_secs() / 10) + 4;
        for (what, most) in [("lost the connection", most), ("connected to NATS again", most)] {
            assert!((1..=most).contains(&(lines(&log, what) as u64)), "at most {most}: {log}");
        }
    }
    assert_eq!(process.terminate().await, Some(0));
}
