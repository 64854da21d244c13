//! What the log of a real service says of trouble that comes and goes: what is true, and not for ever.
#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::time::Instant;

use rosey::op::GetChannelStats;
use rosey_layers::log::Trouble;
use support::*;

fn lines(log: &str, text: &str) -> usize {
    log.lines().filter(|line| line.contains(text)).count()
}

#[tokio::test]
async fn a_full_disk_that_is_read_as_ever_is_not_said_to_serve_again() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let process = ServeProcess::start(&server, &file).await;
    let nats = nats(&server).await;
    nats.recognised().await;
    let db = nats_only(&nats);
    db.user_joined("before").await.unwrap();
    process.limit_files(Some(4096));
    db.user_joined("while").await.unwrap_err();
    let failed = Instant::now();
    while failed.elapsed() < Trouble::CALM * 3 / 2 {
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
