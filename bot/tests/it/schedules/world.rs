//! The place where it happens: a server behind a proxy, services, a database; and what went wrong with them, told with
//! times.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::plan::{Edit, Fault};
use super::strangers::{Foreign, Poisoner};
use super::tally::Tally;
use crate::support::*;

/// Why a service may refuse to start: what is beside it, or in place of its file, at that moment.
const REFUSALS: [&str; 5] = [
    "another kind of service already answers",
    // It was started while the file was away, and made one.
    "a database service on another database",
    "is not this service's",
    "while it was being opened; try again",
    "unable to open database file",
];

/// What has happened so far, to find out why.
#[derive(Clone, Default)]
pub(crate) struct FaultLog(Arc<Mutex<String>>);

impl FaultLog {
    pub(crate) fn say(&self, line: impl fmt::Display) {
        let mut fault_log = self.0.lock().unwrap();
        fault_log.push_str(&format!("{line}\n"));
    }
}

impl fmt::Display for FaultLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.lock().unwrap())
    }
}

pub(crate) struct World {
    pub(crate) proxy: Proxy,
    pub(crate) file: DbFile,
    server: NatsServer,
    services: Vec<ServeProcess>,
    /// Which of them are killed, and not started again yet.
    killed: Vec<bool>,
    held: Option<FileLock>,
    poisoner: Option<Poisoner>,
    foreign: Option<Foreign>,
    fault_log: FaultLog,
    tally: Tally,
    begun: Instant,
    _store: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new(
        stream: bool,
        bundles: bool,
        services: usize,
        fault_log: FaultLog,
        tally: Tally,
    ) -> Self {
        let (store, file) = (tempfile::tempdir().unwrap(), DbFile::new());
        let server =
            if stream { NatsServer::with_jetstream(store.path()).await } else { NatsServer::start().await };
        let options: &[&str] = if stream {
            // So that what was on its way when a service died is not waited for longer than a schedule takes.
            &["--jetstream", "on", "--stream-ack-wait-ms", "2000"]
        } else {
            &["--jetstream", "off"]
        };
        let bundles: &[&str] = if bundles { &["--bundles"] } else { &[] };
        let options = [options, bundles].concat();
        let mut all = Vec::new();
        for _ in 0..services {
            all.push(ServeProcess::start_with(&server, &file, &options).await);
        }
        let proxy = Proxy::before(&server).await;
        Self {
            proxy,
            file,
            server,
            services: all,
            killed: vec![false; services],
            held: None,
            poisoner: None,
            foreign: None,
            fault_log,
            tally,
            begun: Instant::now(),
            _store: store,
        }
    }

    /// Lets everything happen, and returns when all of it is over: since when, and what was there when after that.
    pub(crate) async fn play(&mut self, plan: &Schedule<Fault>) -> (Instant, Vec<FaultWindow<Fault>>) {
        self.begun = Instant::now();
        let played = plan.play(async |turn| {
            self.supervise();
            let (fault, felt) = match turn {
                Transition::Begins(fault) => (fault, self.begin(fault).await),
                Transition::Ends(fault) => (fault, self.end(fault).await),
            };
            if felt {
                self.tally.felt(fault.name());
            }
        });
        let played = played.await;
        (self.begun, played)
    }

    /// Returns whether it has an effect from now on.
    async fn begin(&mut self, fault: Fault) -> bool {
        let mut felt = true;
        match fault {
            Fault::ServerKilled => self.server.kill(),
            Fault::ServerFrozen => self.server.freeze(),
            Fault::ServiceKilled(n) => {
                self.services[n].kill();
                self.killed[n] = true;
            }
            Fault::ServiceFrozen(n) => self.services[n].freeze(),
            Fault::DiskFull(n) => self.services[n].limit_files(Some(4096)),
            Fault::Cut(end, new_ones) => self.proxy.cut(end, new_ones).await,
            Fault::Stalled(way) => self.proxy.stall(way.directions()),
            Fault::Delayed(way, delay) => self.proxy.delay(way.directions(), delay),
            Fault::Throttled(way, rate) => self.proxy.throttle(way.directions(), rate),
            Fault::HalfClosed(towards) => self.proxy.half_close(towards),
            Fault::Locked => {
                // A service that is frozen may have the lock itself, which is no better.
                self.held = self.file.try_hold(100).await;
                if self.held.is_none() {
                    felt = false;
                    self.tell("locked by another one already");
                }
            }
            Fault::FileMoved => {
                self.file.move_away();
                felt = !self.file.path().exists();
            }
            Fault::Poison(every) => {
                self.poisoner = Some(Poisoner::start(&self.server, every));
                // Its end tells.
                felt = false;
            }
            Fault::ForeignService => {
                self.foreign = Foreign::start(&self.server).await;
                felt = self.foreign.is_some();
            }
            Fault::StreamEdited(edit) => {
                if let Err(e) = self.edit(edit).await {
                    felt = false;
                    self.tell(format_args!("not edited: {e}"));
                }
            }
            Fault::ClockAhead(n) => {
                self.tell(format_args!("service {n} had said:\n{}", self.services[n].log()));
                self.services[n].begin_again_with_clock(Some(400 * 24 * 60 * 60 * 1000));
            }
        }
        self.tell(format_args!("begins: {fault:?}"));
        felt
    }

    /// Returns whether it had an effect that is known only now.
    async fn end(&mut self, fault: Fault) -> bool {
        let mut felt = false;
        match fault {
            Fault::ServerKilled => self.server.restart().await,
            Fault::ServerFrozen => self.server.thaw(),
            Fault::ServiceKilled(n) => {
                self.tell(format_args!("service {n} had said:\n{}", self.services[n].log()));
                self.services[n].begin_again();
                self.killed[n] = false;
            }
            Fault::ServiceFrozen(n) => self.services[n].thaw(),
            Fault::DiskFull(n) => self.services[n].limit_files(None),
            Fault::Cut(..)
            | Fault::Stalled(_)
            | Fault::Delayed(..)
            | Fault::Throttled(..)
            | Fault::HalfClosed(_) => self.proxy.heal().await,
            Fault::Locked => {
                if let Some(held) = self.held.take() {
                    held.release().await;
                }
            }
            Fault::FileMoved => self.file.move_back(),
            Fault::Poison(_) => {
                if let Some(poisoner) = self.poisoner.take() {
                    felt = poisoner.stop().await > 0;
                }
            }
            Fault::ForeignService => {
                if let Some(foreign) = self.foreign.take() {
                    foreign.stop().await;
                }
            }
            Fault::StreamEdited(_) => {}
            Fault::ClockAhead(n) => {
                self.tell(format_args!("service {n} had said:\n{}", self.services[n].log()));
                self.services[n].begin_again_with_clock(None);
            }
        }
        self.tell(format_args!("is over: {fault:?}"));
        felt
    }

    /// What an operator does with the tools of NATS, if the server is there.
    async fn edit(&self, edit: Edit) -> Result<(), String> {
        let edited = async {
            let options = async_nats::ConnectOptions::new().connection_timeout(Duration::from_millis(300));
            let client = options.connect(self.server.url()).await.map_err(|e| e.to_string())?;
            let ask = async |subject: &str, body: Value| {
                let answer = client.request(format!("$JS.API.{subject}"), body.to_string().into()).await;
                let answer = answer.map_err(|e| e.to_string())?;
                serde_json::from_slice::<Value>(&answer.payload).map_err(|e| e.to_string())
            };
            let answer = match edit {
                Edit::ConsumerDeleted => ask("CONSUMER.DELETE.ROSEY.writer", json!({})).await?,
                Edit::HeadersOnly | Edit::OneAtATime => {
                    let mut config = ask("CONSUMER.INFO.ROSEY.writer", json!({})).await?["config"].take();
                    match edit {
                        Edit::HeadersOnly => config["headers_only"] = true.into(),
                        _ => config["max_ack_pending"] = 1.into(),
                    }
                    let body = json!({"stream_name": "ROSEY", "config": config});
                    ask("CONSUMER.DURABLE.CREATE.ROSEY.writer", body).await?
                }
                Edit::DiscardOld | Edit::ShortWindow => {
                    let mut config = ask("STREAM.INFO.ROSEY", json!({})).await?["config"].take();
                    match edit {
                        Edit::DiscardOld => config["discard"] = "old".into(),
                        _ => config["duplicate_window"] = 100_000_000.into(),
                    }
                    ask("STREAM.UPDATE.ROSEY", config).await?
                }
            };
            match answer.get("error") {
                None => Ok(()),
                Some(error) => Err(error.to_string()),
            }
        };
        tokio::time::timeout(Duration::from_secs(1), edited).await.map_err(|e| e.to_string())?
    }

    /// Starts a service again that has refused to start, as a supervisor does. A service that ends for another reason fails
    /// the schedule.
    fn supervise(&mut self) {
        for n in 0..self.services.len() {
            if self.killed[n] || self.services[n].ended().is_none() {
                continue;
            }
            let said = self.services[n].log();
            assert!(REFUSALS.iter().any(|refusal| said.contains(refusal)), "service {n} has ended:\n{said}");
            self.tell(format_args!("service {n} is started again; it had said:\n{said}"));
            self.services[n].begin_again();
        }
    }

    /// Waits until everything that was started again serves.
    pub(crate) async fn recovered(&mut self) {
        for n in 0..self.services.len() {
            wait_until("a service serves", || {
                self.supervise();
                let serves = self.services[n].log().contains("serving");
                async move { serves }
            })
            .await;
        }
    }

    /// Ends the services, which must succeed.
    pub(crate) async fn stop(&mut self) {
        for service in std::mem::take(&mut self.services) {
            let said = service.log();
            let ended = service.terminate().await;
            assert_eq!(ended, Some(0), "a service ends:\n{said}");
        }
    }

    fn tell(&self, what: impl fmt::Display) {
        self.fault_log.say(format_args!("{:6.2} s  {what}", self.begun.elapsed().as_secs_f64()));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (n, service) in self.services.iter().enumerate() {
                self.tell(format_args!("service {n} had said:\n{}", service.log()));
            }
        }
    }
}
