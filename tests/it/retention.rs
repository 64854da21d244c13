//! Retention: schedules, several at once, and what a random history does not meet (see `order_free`).

mod fold;
mod messages;
mod schedule;
mod together;

use std::time::Duration;

use crate::support::*;
use eitherway::sql::{Purged, Retention, SqlService};
use eitherway::{Db, clock};
use rosey::op::{ChannelStats, Op, Session, UserStats};

const SECOND: i64 = 1000;
const DAY: i64 = 86_400 * SECOND;
const DAYS: Duration = Duration::from_secs(86_400);

/// A file with one service, and events long ago.
struct World {
    file: DbFile,
    service: SqlService<Op>,
    db: Db<SqlService<Op>>,
    /// Long before anything that is kept.
    old: i64,
}

impl World {
    async fn new() -> Self {
        let file = DbFile::new();
        let service = file.open().await;
        let old = (clock::now() - 100 * DAY) / DAY * DAY;
        Self { file, db: Db::new(service.clone()), service, old }
    }

    async fn joins(&self, user: &str, second: i64) {
        self.db.at(self.old + second * SECOND).user_joined(user).await.unwrap();
    }

    async fn leaves(&self, user: &str, second: i64) {
        self.db.at(self.old + second * SECOND).user_left(user).await.unwrap();
    }

    async fn says(&self, user: &str, second: i64) {
        let line = format!("line of second {second}");
        self.db.at(self.old + second * SECOND).message_log(user, line).await.unwrap();
    }

    /// The ledger forgets everything, and nothing else goes.
    async fn forget(&self) {
        let long = Duration::from_secs(1 << 32);
        let only = Retention::default().keep("chat", long).keep("history", long).keep("sent", long);
        // The time that the file knows may be some milliseconds ahead of the clock.
        let swept = self.sweep(&only.keep("ledger", Duration::ZERO), clock::now() + SECOND).await;
        assert!(swept["ledger"] > 0 && swept.values().sum::<u64>() == swept["ledger"], "{swept:?}");
        assert_eq!(self.file.applied().await, 0);
    }

    async fn sweep(&self, retention: &Retention, now: i64) -> Purged {
        self.service.sweep(retention, now).await.unwrap()
    }

    /// The usual round, when all that is there now is old.
    async fn sweep_all(&self) -> Purged {
        self.sweep(&Retention::default(), clock::now() + 400 * DAY).await
    }

    async fn seconds_of(&self, user: &str) -> i64 {
        self.db.user_stats(user).await.unwrap().unwrap().total_time_connected.unwrap()
    }

    /// All that can be asked of users and channel.
    async fn known(&self, users: &[&str]) -> (Vec<Option<UserStats>>, ChannelStats, Vec<Session>) {
        let mut stats = Vec::new();
        for user in users {
            stats.push(self.db.user_stats(*user).await.unwrap());
        }
        (stats, self.db.channel_stats().await.unwrap(), self.db.open_sessions().await.unwrap())
    }
}

#[tokio::test]
async fn each_kind_is_kept_for_as_long_as_it_is_said() {
    let w = World::new().await;
    w.says("alice", 0).await;
    w.db.at(w.old).user_count(1, 1).await.unwrap();
    let long = Retention::default().keep("chat", 101 * DAYS).keep("history", 101 * DAYS);
    assert!(w.sweep(&long, clock::now()).await.values().all(|count| *count == 0));
    let swept = w.sweep(&long.clone().keep("chat", 99 * DAYS), clock::now()).await;
    assert_eq!((swept["chat"], swept["history"]), (1, 0), "{swept:?}");
    let swept = w.sweep(&long.keep("history", 99 * DAYS), clock::now()).await;
    assert_eq!((swept["chat"], swept["history"]), (0, 1), "{swept:?}");
    w.file.assert_clean().await;
}

#[tokio::test]
async fn a_clock_that_was_years_ahead_does_not_keep_the_ledger_for_years() {
    let w = World::new().await;
    // more than are looked for at once
    futures_util::future::join_all((0..100).map(|n| w.db.user_joined(format!("user{n}")))).await;
    w.file
        .execute(
            "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 4900)
             INSERT INTO ledger (id, operation, hash, occurred_at, applied_at, batch)
             SELECT 'ahead' || n, 'high_water', n, 1000, 0, 0 FROM n;
             UPDATE ledger SET applied_at = (unixepoch() + 5 * 366 * 86400) * 1000",
        )
        .await;
    w.db.user_joined("later").await.unwrap();
    let now = clock::now();
    w.sweep(&Retention::default(), now).await;
    assert_eq!(w.file.applied().await, 5001, "their age is unknown: they begin anew");
    w.sweep(&Retention::default(), now + 13 * DAY).await;
    assert_eq!(w.file.applied().await, 5001);
    w.sweep(&Retention::default(), now + 15 * DAY).await;
    assert_eq!(w.file.applied().await, 0);
}
