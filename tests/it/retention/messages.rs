//! Messages that are over.

use std::fs::File;

use eitherway::OpId;

use super::*;

impl World {
    async fn enqueue(&self, content: &str) -> i64 {
        self.db.at(self.old).outbound_enqueue(None, content).await.unwrap()
    }

    async fn sent(&self, id: i64, at: i64) {
        self.db.at(at).outbound_mark_sent(id).await.unwrap();
    }
}

#[tokio::test]
async fn a_message_number_is_never_given_twice() {
    let w = World::new().await;
    let mut highest = 0;
    for round in 0..3 {
        for _ in 0..3 {
            let id = w.enqueue("again").await;
            assert!(id > highest, "{id} was given before, in round {round}");
            highest = id;
            w.sent(id, w.old + SECOND).await;
        }
        w.sweep_all().await;
        assert_eq!(w.file.number("SELECT count(*) FROM outbound_messages").await, 1);
        w.file.assert_clean().await;
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
