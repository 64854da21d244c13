//! Several machines: three servers of NATS, three services, four bots and two callers with all paths, one database on PostgreSQL.

use std::fmt;
use std::time::Duration;

use sqlx::{Connection, PgConnection};

use crate::schedules::load::Load;
use crate::schedules::verdict::{Contents, Verdict};
use crate::support::program::{outcome, rosey};
use crate::support::*;

pub(super) const STREAM: &str = "ROSEY";
pub(super) const SERVICES: usize = 3;
pub(super) const BOTS: [&str; 4] = ["ann", "ben", "cleo", "dora"];
/// How many lines of its chat a bot reads in a second.
const RATE: u64 = 40;
/// How often a caller sends some operations: a dozen processes share what may be two cores, with a compiler beside them.
const TICK: Duration = Duration::from_millis(20);
/// How long it may take, when everything is well again, until nothing is on its way any more.
const SETTLED: Duration = Duration::from_secs(60);

pub(super) struct World {
    pub(super) cluster: NatsCluster,
    /// Its own server, if it has one.
    pub(super) postgres: Option<Postgres>,
    pub(super) services: Vec<ServeProcess>,
    pub(super) callers: Vec<Bot>,
    loads: Vec<Load>,
    pub(super) bots: Vec<BotProcess>,
    /// What services have said that were ended.
    pub(super) said: Vec<String>,
    database: String,
}

/// What a service says of events that are not applied.
const FALSE_ALARMS: [&str; 6] = [
    "without being applied",
    "another program pulls",
    "is replaced, and",
    "replacing it",
    "was replaced",
    "changed by hand",
];

/// What became of everything.
pub(super) struct Outcome {
    /// Of what the callers sent.
    pub(super) callers: Verdict,
    /// What the bots were told by their chats, and how much of that is there once, more often, never.
    pub(super) bots: [usize; 4],
    /// Operations of the bots over NATS, on the database, in the outbox, failed.
    pub(super) by: [usize; 4],
    /// What each service has said.
    pub(super) said: Vec<String>,
    /// What each bot has said in which something failed.
    pub(super) complaints: Vec<String>,
}

impl World {
    /// Everything runs, and nothing is sent yet. `own`: with a server of PostgreSQL that may be killed. `bundles`: the services take
    /// them.
    pub(super) async fn new(own: bool, bundles: bool) -> Self {
        let cluster = NatsCluster::start().await;
        let postgres = own.then(|| Postgres::start(&[]));
        let database = match &postgres {
            Some(postgres) => postgres.database().await,
            None => Postgres::shared().database().await,
        };
        let (url, options) = (cluster.url(), ["--stream-replicas", "3", "--stream-ack-wait-ms", "2000"]);
        let serve = ["serve", "--nats-url", &url, "--database-url", &database, "--jetstream", "on"];
        let bundles: &[_] = if bundles { &["--bundles"] } else { &[] };
        let mut services: Vec<_> =
            (0..SERVICES).map(|_| ServeProcess::begin(&[&serve[..], &options, bundles].concat())).collect();
        for service in &mut services {
            service.serves().await;
        }
        cluster.whole(STREAM).await;
        let (callers, loads, bots, said) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { cluster, postgres, services, callers, loads, bots, said, database }
    }

    /// Bots and callers begin. Returns when each bot has written: one that starts without its database ends.
    pub(super) async fn load(&mut self, dice: &mut Dice) {
        let url = self.cluster.url();
        self.bots = BOTS.iter().map(|name| BotProcess::start(&url, &self.database, name, RATE)).collect();
        for n in 0..2 {
            let caller = Bot::over(&self.cluster, self.database.as_str()).await;
            self.loads.push(Load::start_every(TICK, &caller.db, n, dice.another()));
            self.callers.push(caller);
        }
        let mut c = PgConnection::connect(&self.database).await.unwrap();
        loop {
            let writing = "SELECT count(DISTINCT split_part(username, '-', 1)) FROM rosey.presence WHERE username = ANY($1)";
            let first: Vec<_> = BOTS.iter().map(|name| format!("{name}-0")).collect();
            let writing: i64 = sqlx::query_scalar(writing).bind(&first).fetch_one(&mut c).await.unwrap();
            if usize::try_from(writing).unwrap() == BOTS.len() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the stream has a leader, and every caller has recognised the service.
    pub(super) async fn recovered(&self) {
        self.cluster.led(STREAM).await;
        for caller in &self.callers {
            let recognised = tokio::time::timeout(SETTLED, caller.nats.recognised());
            recognised.await.expect("the service is recognised again");
        }
    }

    /// Ends everything in order, and counts.
    pub(super) async fn finish(mut self) -> Outcome {
        self.recovered().await;
        let (mut records, mut fed, mut by, mut complaints) = (Vec::new(), Vec::new(), [0; 4], Vec::new());
        for load in std::mem::take(&mut self.loads) {
            records.push(load.finish(SETTLED).await);
        }
        for (bot, name) in std::mem::take(&mut self.bots).into_iter().zip(BOTS) {
            let (told, report) = bot.finish().await;
            fed.push((name, told));
            for (sum, count) in by.iter_mut().zip([report.nats, report.db, report.outbox, report.failed]) {
                *sum += usize::try_from(count).unwrap();
            }
            complaints.extend((report.failed > 0).then_some(report.log));
        }
        for caller in std::mem::take(&mut self.callers) {
            caller.emptied().await;
            caller.nats.all_applied(SETTLED).await.unwrap();
            caller.stop().await;
        }
        wait_until("the stream is empty", || async { self.cluster.stored(STREAM).await == Some(0) }).await;
        let mut said = std::mem::take(&mut self.said);
        for service in std::mem::take(&mut self.services) {
            said.push(service.terminate_and_log().await);
        }
        let found = Contents::read_postgres(&self.database).await;
        let mut bots = [0; 4];
        for (mark, times) in fed.iter().flat_map(|(name, fed)| fed.marks(name)) {
            let there = found.times(&mark);
            bots[0] += times;
            bots[1] += times.min(there);
            bots[2] += there.saturating_sub(times);
            bots[3] += times.saturating_sub(there);
        }
        let verify = ["verify", "--database-url", &self.database];
        let (code, text) = outcome(rosey(&std::env::temp_dir()).args(verify));
        assert!(code == Some(0) && text.contains("clean: "), "{text}");
        let outcome = Outcome { callers: Verdict::over(&records, &found), bots, by, said, complaints };
        eprintln!("{outcome}");
        outcome
    }
}

impl Outcome {
    /// Everything that was accepted has one effect. Fails with what has not.
    pub(super) fn assert_exactly_once(&self) {
        self.callers.assert_right();
        let [told, once, doubled, lost] = self.bots;
        assert_eq!((once, doubled, lost), (told, 0, 0), "{self}");
    }

    /// Of callers and bots together.
    pub(super) fn verdict(self) -> Verdict {
        let (mut verdict, [nats, db, outbox, failed]) = (self.callers, self.by);
        verdict.add_others(self.bots, [nats, db, outbox], failed);
        verdict
    }

    /// The same, and no call and no query has failed, and no service says that something is gone, or taken by others.
    pub(super) fn assert_all_served(&self) {
        self.assert_exactly_once();
        let complaints = self.complaints.join("\n");
        assert_eq!(
            (self.callers.failed(), self.by[3]),
            (0, 0),
            "{self}\n{}\n{complaints}",
            self.callers.failures()
        );
        let said = self.said.join("\n");
        for alarm in FALSE_ALARMS {
            assert!(!said.contains(alarm), "{alarm}:\n{said}");
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { callers, bots: [told, once, doubled, lost], by: [nats, db, outbox, failed], .. } = self;
        write!(
            f,
            "callers: {callers}\nbots: told {told} · applied once {once} · doubled {doubled} · lost {lost} · {nats} nats / {db} db / \
             {outbox} outbox · failed {failed}"
        )
    }
}
