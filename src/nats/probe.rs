//! The health of server, service and stream, asked in the background: no caller pays for finding out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subject};
use serde::Deserialize;
use tokio::sync::{Notify, watch};
use tokio::time;

use super::inbox::{Expects, Inbox, Settled};
use super::keys;
use super::patience::Patience;
use super::status::{Health, Mode, Recognition};
use super::stored::{self, Found};
use super::wire;

/// The pause between pings that are answered.
const PING_EVERY: Duration = Duration::from_millis(300);
/// The pause between pings that are not.
const SEEK_EVERY: Duration = Duration::from_millis(100);
/// After so many unanswered pings in a row nobody is there, and not only late.
const NOBODY: u32 = 20;
/// A stream that is known to be there is looked at every so many rounds.
const LOOK_EVERY: u32 = 4;
/// A stream that is known to be there may miss so many looks before it counts as gone: the server may be busy, and what
/// it does not store it does not acknowledge.
const LATE: u32 = 3;

/// What the service says of itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Word {
    mode: String,
    stream: String,
    /// The header from which it reads an operation's id, if it knows more than the stream's.
    id_header: String,
    instance: String,
    seen: i64,
    file_id: String,
    foreign: bool,
    takeover: bool,
}

/// Asks for as long as there is a connection: requests are sent only where somebody answers. When somebody stops
/// answering, those that wait for him are released instead of sitting out their time-out.
pub(super) struct Probe {
    client: Client,
    service: &'static str,
    stream: String,
    ping: Subject,
    look: Subject,
    /// A subject that nobody serves: the server says so, and so tells that it is there.
    nobody: Subject,
    patience: Patience,
    inbox: Arc<Inbox>,
    health: Arc<Health>,
    unanswered: u32,
    round: u32,
    late: u32,
    last: Option<Found>,
}

impl Probe {
    pub(super) fn new(
        client: Client,
        service: &'static str,
        stream: &str,
        inbox: Arc<Inbox>,
        health: Arc<Health>,
        recognition: Duration,
    ) -> Self {
        Self {
            client,
            service,
            stream: stream.to_owned(),
            ping: format!("{service}.ping").into(),
            look: format!("$JS.API.STREAM.INFO.{stream}").into(),
            nobody: format!("{service}.nobody").into(),
            patience: Patience::new(recognition),
            inbox,
            health,
            unanswered: 0,
            round: 0,
            late: 0,
            last: None,
        }
    }

    pub(super) async fn run(mut self, mut ended: watch::Receiver<()>) {
        loop {
            let mut pause = SEEK_EVERY;
            if self.health.status().borrow().connected && self.round().await {
                pause = PING_EVERY;
            }
            tokio::select! {
                () = time::sleep(pause) => {}
                () = self.health.recheck.notified() => {
                    self.round = 0;
                    self.patience.begin();
                }
                _ = ended.changed() => return,
            }
        }
    }

    /// Asks everybody once, at the same time; true if the service answered.
    async fn round(&mut self) -> bool {
        let known = self.health.status().borrow().clone();
        let core = matches!(known.service, Recognition::Ours { mode: Mode::Core, .. });
        // A server without JetStream may lead to one with it: then the service's word has to do.
        // So may one that does not let us ask.
        let may_look = self.client.server_info().jetstream && !self.health.denies(&self.look);
        let look = may_look && !core && (known.stream.is_none() || self.round.is_multiple_of(LOOK_EVERY));
        self.round = self.round.wrapping_add(1);
        let (limit, begun) = (self.patience.limit(), Instant::now());
        // Whatever comes back shows that the server is there.
        let heard = Notify::new();
        let ask = async |subject: &Subject, expects| {
            let settled = time::timeout(limit, self.ask(subject, expects)).await.ok().flatten();
            if settled.is_some() {
                heard.notify_one();
            }
            (settled, begun.elapsed())
        };
        let ping = async {
            let (settled, took) = ask(&self.ping, Expects::Service).await;
            let was_heard = settled.is_some();
            let word = match settled {
                Some(Settled::Answer(answer)) => self.read(&answer),
                _ => None,
            };
            // Before it counts as found: its word is what others are let in by.
            let other = self.inbox.someone_else_answers();
            match &word {
                Some((_, _, word)) => self.health.beside(word.foreign || (other && !word.takeover)),
                None if other => self.health.beside(true),
                None => {}
            }
            match &word {
                Some((service, _, word)) => {
                    self.health.instance_is(&word.instance, word.seen, &word.file_id);
                    self.health.found(service.clone());
                }
                None => {
                    self.health.found(Recognition::Absent);
                    self.inbox.release(Expects::Service);
                }
            }
            (word, was_heard.then_some(took))
        };
        let stream = async { if look { Some(ask(&self.look, Expects::Anybody).await.0) } else { None } };
        let server = async {
            tokio::select! {
                biased;
                () = heard.notified() => true,
                () = time::sleep(limit / 2) => {
                    tokio::select! {
                        biased;
                        () = heard.notified() => true,
                        echo = time::timeout(limit / 2, self.echo()) => echo.ok().flatten().is_some(),
                    }
                }
            }
        };
        let ((word, took), looked, server) = tokio::join!(ping, stream, server);
        self.patience.learn(took);
        if !server {
            // The connection stands, and nothing moves on it.
            self.inbox.release_all();
            self.health.stream_of(None);
        }
        match looked {
            None if may_look => {}
            None => self.health.stream_of(word.as_ref().and_then(|(_, stream, _)| stream.clone())),
            Some(Some(Settled::Answer(answer))) => {
                self.late = 0;
                let found = stored::found(self.service, &answer);
                self.health.found_stream(found, &mut self.last);
            }
            Some(Some(Settled::NobodyThere)) => self.health.stream_of(None),
            // The server does not let us look: as where there is nothing to look at.
            Some(Some(Settled::Denied)) => {
                self.health.stream_of(word.as_ref().and_then(|(_, stream, _)| stream.clone()));
            }
            Some(_) => {
                self.late += 1;
                // Whoever may not look takes the service's word.
                let word = word.as_ref().and_then(|(_, stream, _)| stream.clone());
                if word.is_some() || self.late >= LATE {
                    self.health.stream_of(word);
                }
            }
        }
        match word {
            Some(_) => self.unanswered = 0,
            None => {
                self.unanswered += 1;
                if self.unanswered == NOBODY && server {
                    let service = self.service;
                    tracing::info!(service, "connected to NATS, but no database service answers there");
                }
            }
        }
        self.unanswered == 0
    }

    /// What an answer says of the service, and of the database of its stream if it works on ours.
    fn read(&self, answer: &Message) -> Option<(Recognition, Option<String>, Word)> {
        let database = wire::database(answer)?.to_owned();
        let word: Word = serde_json::from_slice(&answer.payload).unwrap_or_default();
        let mode = Mode::named(&word.mode).unwrap_or_default();
        self.health.set_keyed(keys::understood(&word.id_header));
        let stream = (mode == Mode::JetStream && word.stream == self.stream).then(|| database.clone());
        Some((Recognition::Ours { database, mode }, stream, word))
    }

    /// A round trip to ourselves: asked only where nothing else has come back for a while. To be told that we must not
    /// is an answer too; from then on a subject that nobody serves has to do.
    async fn echo(&self) -> Option<Settled> {
        if self.health.denies(self.inbox.prefix()) {
            return self.ask(&self.nobody, Expects::Anybody).await;
        }
        let mut ticket = self.inbox.wait("our own inbox".into(), Expects::Anybody);
        self.client.publish(ticket.subject(), "".into()).await.ok()?;
        (&mut ticket.rx).await.ok()
    }

    async fn ask(&self, subject: &Subject, expects: Expects) -> Option<Settled> {
        let mut ticket = self.inbox.wait(subject.clone(), expects);
        self.client.publish_with_reply(subject.clone(), ticket.subject(), "".into()).await.ok()?;
        (&mut ticket.rx).await.ok()
    }
}
