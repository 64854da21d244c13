//! Messages that are over.

use std::fs::File;

use eitherway::OpId;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::*;

impl World {
    async fn enqueue(&self, content: &str) -> i64 {
        self.db.at(self.old).outbound_enqueue(None, content).await.unwrap()
    }

    async fn sent(&self, id: i64, at: i64) {
        self.db.at(at).outbound_mark_sent(id).await.unwrap();
    }

    async fn failed(&self, id: i64, at: i64, permanent: bool) {
        self.db.at(at).outbound_mark_failed(id, "gone", permanent).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_that_still_waits_or_is_over_only_lately_stays() {
    let w = World::new().await;
    let (old, lately) = (w.old + SECOND, clock::now() - DAY);
    w.enqueue("waits").await;
    let id = w.enqueue("failed once").await;
    w.failed(id, old, false).await;
    let id = w.enqueue("sent long ago").await;
    w.sent(id, old).await;
    let id = w.enqueue("given up long ago").await;
    w.failed(id, old, true).await;
    let id = w.enqueue("sent lately").await;
    w.sent(id, lately).await;
    let id = w.enqueue("sent long ago, and again lately").await;
    w.sent(id, old).await;
    w.sent(id, lately).await;
    w.sent(4711, old).await;
    w.sent(4712, lately).await;
    w.enqueue("the last one").await;
    assert_eq!(w.sweep(&Retention::default(), clock::now()).await["sent"], 2 + 1);
    let stay = w.file.texts("SELECT message FROM outbound_messages ORDER BY id").await;
    assert_eq!(
        stay,
        ["waits", "failed once", "sent lately", "sent long ago, and again lately", "the last one"]
    );
    // their reports with them, and no other reports
    assert_eq!(w.file.number("SELECT count(*) FROM outbound_marks").await, 1 + 1 + 2 + 1);
    w.file.assert_clean().await;
    // what became of it cannot change any more
    w.failed(3, old, true).await;
    w.file.assert_clean().await;
}

/// A file of the Python bot has a table that would count from the highest number that is there.
const PYTHON: &str = "
    CREATE TABLE outbound_messages (
        id INTEGER NOT NULL, timestamp INTEGER NOT NULL, sent_timestamp INTEGER, message TEXT NOT NULL,
        sent BOOLEAN NOT NULL DEFAULT 0, retry_count INTEGER NOT NULL DEFAULT 0, error_message TEXT, PRIMARY KEY (id));
    INSERT INTO outbound_messages VALUES (7, 1000, 1001, 'of old', 1, 0, NULL)";

#[tokio::test]
async fn a_message_number_is_never_given_twice() {
    for python in [false, true] {
        let file = DbFile::new();
        if python {
            let options = SqliteConnectOptions::new().filename(file.path()).create_if_missing(true);
            let mut connection = options.connect().await.unwrap();
            sqlx::raw_sql(PYTHON).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        let w = World::on(file).await;
        let mut highest = if python { 7 } else { 0 };
        for round in 0..3 {
            for _ in 0..3 {
                let id = w.enqueue("again").await;
                assert!(id > highest, "{id} was given before, in round {round}, python: {python}");
                highest = id;
                w.sent(id, w.old + SECOND).await;
            }
            w.sweep_all().await;
            assert_eq!(w.file.number("SELECT count(*) FROM outbound_messages").await, 1);
            w.file.assert_clean().await;
        }
    }
}

/// Found when it was old; when its turn comes it is not: another client has reported on it in between.
#[tokio::test]
async fn a_report_that_comes_between_finding_and_removing_is_not_lost() {
    let w = World::new().await;
    let id = w.enqueue("sent long ago").await;
    w.sent(id, w.old + SECOND).await;
    w.enqueue("the last one").await;
    let (mut other, mark) = (w.file.connect().await, OpId::new().to_string());
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let service = w.service.clone();
    let sweep =
        tokio::spawn(async move { service.sweep(&Retention::default(), clock::now()).await.unwrap() });
    // The sweep has found while the other one writes, and waits for the lock: its hint says so.
    let hint = File::open(w.file.path().with_file_name("rosey.db.turn")).unwrap();
    wait_until("the sweep waits for the lock", || async {
        let waits = hint.try_lock().is_err();
        hint.unlock().unwrap();
        waits
    })
    .await;
    for sql in [
        "INSERT INTO ledger (id, operation, hash, occurred_at, applied_at, batch)
         VALUES ($1, 'outbound_mark_sent', $2, unixepoch() * 1000, unixepoch() * 1000, 1)",
        "INSERT INTO outbound_marks (op_id, message, at, kind) VALUES ($1, $2, unixepoch() * 1000, 'sent')",
    ] {
        sqlx::query(sql).bind(&mark).bind(id).execute(&mut other).await.unwrap();
    }
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    let swept = sweep.await.unwrap();
    assert_eq!(swept["sent"], 0, "it is not old any more");
    w.file.assert_clean().await;
}
