//! What became of each operation, by a connection that is not the code under test.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use eitherway::{Class, Via};
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::load::{CallResult, Does, Sent, talker};
use super::strangers::POISON;
use crate::support::DbFile;

/// How long a caller may wait: the time-out of the path over NATS, that of the database, the outbox, and as much again for
/// a machine that is busy with other things.
const BOUND: Duration = Duration::from_secs(15);

/// How many examples of what is wrong are shown.
const SHOWN: usize = 10;

#[derive(Debug, Default)]
pub(crate) struct Verdict {
    sent: usize,
    by: [usize; 3],
    failed: usize,
    queries: usize,
    once: usize,
    doubled: usize,
    lost: usize,
    slowest: Duration,
    /// Some of what callers were told of operations that failed.
    failures: Vec<String>,
    /// All that is not as it must be, in words.
    wrong: Vec<String>,
}

/// What is in the database.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    ledger: HashSet<String>,
    /// How often each mark is there.
    effects: HashMap<String, usize>,
    /// The numbers of messages, by operation.
    numbers: HashMap<String, i64>,
    /// Lines that were counted, by user.
    counted: HashMap<String, i64>,
    /// Whether others have sent operations as well.
    shared: bool,
    /// Dead letters of messages that were not meant as poison.
    buried: i64,
}

impl Contents {
    pub(crate) async fn read(file: &DbFile) -> Self {
        let mut connection = file.connect().await;
        let c = &mut connection;
        let mut effects = HashMap::new();
        for sql in [
            "SELECT username FROM presence",
            "SELECT message FROM recent_chat",
            "SELECT message FROM outbound_messages",
        ] {
            for mark in texts(c, sql).await {
                *effects.entry(mark).or_default() += 1;
            }
        }
        let found = Self {
            ledger: texts(c, "SELECT id FROM ledger").await.into_iter().collect(),
            effects,
            numbers: numbers(c, "SELECT op_id, id FROM outbound_messages").await,
            shared: false,
            counted: numbers(c, "SELECT username, total_chat_lines FROM user_stats_now").await,
            buried: sqlx::query_scalar("SELECT count(*) FROM dead_letters WHERE instr(payload, $1) = 0")
                .bind(POISON)
                .fetch_one(&mut *c)
                .await
                .unwrap(),
        };
        connection.close().await.unwrap();
        found
    }

    /// The same of a database on PostgreSQL that others have used as well.
    pub(crate) async fn read_postgres(url: &str) -> Self {
        let c = &mut PgConnection::connect(url).await.unwrap();
        let texts = async |c: &mut PgConnection, sql: &'static str| -> Vec<String> {
            sqlx::query_scalar(sql).fetch_all(c).await.unwrap()
        };
        let numbers = async |c: &mut PgConnection, sql: &'static str| -> HashMap<String, i64> {
            sqlx::query_as::<_, (String, i64)>(sql).fetch_all(c).await.unwrap().into_iter().collect()
        };
        let mut found = Self { shared: true, ..Self::default() };
        for sql in [
            "SELECT username FROM rosey.presence",
            "SELECT message FROM rosey.recent_chat",
            "SELECT message FROM rosey.outbound_messages",
        ] {
            for mark in texts(c, sql).await {
                *found.effects.entry(mark).or_default() += 1;
            }
        }
        found.ledger = texts(c, "SELECT id::text FROM rosey.ledger").await.into_iter().collect();
        found.numbers = numbers(c, "SELECT op_id::text, id::bigint FROM rosey.outbound_messages").await;
        found.counted = numbers(c, "SELECT username, total_chat_lines FROM rosey.user_stats_now").await;
        found.buried =
            sqlx::query_scalar("SELECT count(*) FROM rosey.dead_letters").fetch_one(c).await.unwrap();
        found
    }

    /// How often this mark is there.
    pub(crate) fn times(&self, mark: &str) -> usize {
        self.effects.get(mark).copied().unwrap_or_default()
    }
}

async fn texts(connection: &mut SqliteConnection, sql: &'static str) -> Vec<String> {
    sqlx::query_scalar(sql).fetch_all(connection).await.unwrap()
}

async fn numbers(connection: &mut SqliteConnection, sql: &'static str) -> HashMap<String, i64> {
    sqlx::query_as::<_, (String, i64)>(sql).fetch_all(connection).await.unwrap().into_iter().collect()
}

impl Verdict {
    /// Over what each bot has sent.
    pub(crate) fn over(bots: &[Vec<Sent>], found: &Contents) -> Self {
        let mut verdict = Self::default();
        for record in bots.iter().flatten() {
            verdict.judge(record, found);
        }
        let sent: HashSet<&str> = bots.iter().flatten().map(|record| record.id.as_str()).collect();
        let only = |right: bool| found.shared || right;
        verdict.unless(only(found.ledger.iter().all(|id| sent.contains(id.as_str()))), || {
            "there is an operation in the ledger that no client has sent".to_owned()
        });
        verdict.unless(only(found.effects.values().sum::<usize>() == found.ledger.len()), || {
            let effects = found.effects.values().sum::<usize>();
            format!("{effects} effects of {} operations in the ledger", found.ledger.len())
        });
        verdict.unless(found.buried == 0, || format!("{} dead letters", found.buried));
        for (bot, records) in bots.iter().enumerate() {
            verdict.count_lines(bot, records, found);
        }
        verdict
    }

    /// Adds what became of what others have sent: how much, and how much of it is there once, more often, never.
    pub(crate) fn add_others(
        &mut self,
        [sent, once, doubled, lost]: [usize; 4],
        by: [usize; 3],
        failed: usize,
    ) {
        self.sent += sent;
        self.once += once;
        self.doubled += doubled;
        self.lost += lost;
        self.failed += failed;
        self.by.iter_mut().zip(by).for_each(|(sum, by)| *sum += by);
    }

    /// Adds what became of the operations of another schedule.
    pub(crate) fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.by.iter_mut().zip(other.by).for_each(|(by, other)| *by += other);
        self.failed += other.failed;
        self.queries += other.queries;
        self.once += other.once;
        self.doubled += other.doubled;
        self.lost += other.lost;
        self.slowest = self.slowest.max(other.slowest);
    }

    /// The counts as cells of a table.
    pub(crate) fn row(&self) -> String {
        let Self { sent, by: [nats, db, outbox], failed, once, doubled, lost, slowest, .. } = self;
        let slowest = slowest.as_secs_f64();
        format!("{sent} | {nats} · {db} · {outbox} | {failed} | {once} | {doubled} | {lost} | {slowest:.1} s")
    }

    fn judge(&mut self, record: &Sent, found: &Contents) {
        let Sent { id, does, mark, told, denied, number, waited, .. } = record;
        self.sent += 1;
        self.slowest = self.slowest.max(*waited);
        self.unless(*waited < BOUND, || format!("{mark} had to wait for {waited:?}: {told:?}"));
        match told {
            CallResult::Accepted(via) => {
                self.by[match *via {
                    Via::DB => 1,
                    Via::OUTBOX => 2,
                    _ => 0,
                }] += 1;
            }
            CallResult::Failed(class, why) => {
                self.failed += 1;
                if self.failures.len() < SHOWN {
                    self.failures.push(format!("{mark}: {class:?}: {why}"));
                }
                self.unless(*class != Class::Rejected, || format!("{mark} was refused: {why}"));
                self.unless(matches!(does, Does::Message | Does::Nothing), || {
                    format!("an event has failed, {mark}: {why}")
                });
            }
        }
        let (applied, effects) =
            (found.ledger.contains(id), found.effects.get(mark).copied().unwrap_or_default());
        if *does == Does::Nothing {
            self.queries += 1;
            self.unless(!applied && effects == 0, || format!("a query had an effect, {mark}"));
            return;
        }
        self.once += usize::from(applied && effects == 1);
        if effects > 1 {
            self.doubled += 1;
            self.wrong.push(format!("{effects} effects of {mark} ({id}), {told:?}"));
        }
        self.unless(applied == (effects > 0), || {
            format!("the ledger: {applied}, effects: {effects}, {mark}")
        });
        if matches!(told, CallResult::Accepted(_)) {
            if !applied || effects == 0 {
                self.lost += 1;
                self.wrong.push(format!("lost: {mark} ({id}), {told:?}"));
            }
            self.unless(*number == found.numbers.get(id).copied(), || {
                format!("{mark} was answered {number:?} and is {:?}", found.numbers.get(id))
            });
        } else {
            self.unless(!(*denied && applied), || {
                format!("said not to have happened, and it has: {mark} ({id}), {told:?}")
            });
        }
    }

    /// A total has no name of its own: it is as large as its parts are many.
    fn count_lines(&mut self, bot: usize, records: &[Sent], found: &Contents) {
        let lines = records
            .iter()
            .filter(|record| record.does == Does::Line)
            .map(|record| found.effects.get(&record.mark).copied().unwrap_or_default())
            .sum::<usize>();
        let counted = found.counted.get(&talker(bot)).copied().unwrap_or_default();
        self.unless(lines as i64 == counted, || {
            format!("{lines} lines of bot {bot}, and {counted} were counted")
        });
    }

    fn unless(&mut self, right: bool, wrong: impl FnOnce() -> String) {
        if !right {
            self.wrong.push(wrong());
        }
    }

    /// How many operations have failed.
    pub(crate) const fn failed(&self) -> usize {
        self.failed
    }

    /// Some of what they were told.
    pub(crate) fn failures(&self) -> String {
        self.failures.join("\n")
    }

    /// Fails with everything that is not as it must be.
    pub(crate) fn assert_right(&self) {
        let shown = self.wrong.iter().take(SHOWN).map(|wrong| format!("\n  {wrong}")).collect::<String>();
        let (all, Self { lost, doubled, .. }) = (self.wrong.len(), self);
        assert_eq!((all, *lost, *doubled), (0, 0, 0), "{self}\n{all} things are wrong:{shown}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, by: [nats, db, outbox], failed, queries, once, doubled, lost, slowest, .. } = self;
        write!(
            f,
            "sent {sent} ({queries} queries) · accepted {nats} nats / {db} db / {outbox} outbox · failed {failed} · \
             applied once {once} · doubled {doubled} · lost {lost} · slowest {:.1} s",
            slowest.as_secs_f64()
        )
    }
}
