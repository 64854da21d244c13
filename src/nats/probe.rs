//! The health of server, service and stream, probed in the background, so that no caller pays for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subject};
use bytes::Bytes;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::bundle::{Offer, Outgoing};
use super::health::Health;
use super::inbox::{Completion, Inbox, ReplyFrom};
use super::keys;
use super::names::Names;
use super::pending::PendingReply;
use super::ping_timeout::PingTimeout;
use super::status::{Mode, Recognition};
use super::stored::{self, StreamMatch};
use super::wire;

/// The pause between pings that are answered.
const PING_EVERY: Duration = Duration::from_millis(300);
/// The pause between pings that are not answered.
const SEEK_EVERY: Duration = Duration::from_millis(100);
/// After this many consecutive pings without an answer, the log reports that no service answers.
const UNANSWERED: u32 = 20;
/// A stream that is known to exist is looked at once in this many rounds.
const LOOK_EVERY: u32 = 4;
/// A stream that is known to exist counts as gone after this many looks without a reply. The server may only
/// be busy, and it acknowledges nothing that it does not store.
const LATE: u32 = 3;

/// The service's reply to a ping.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PingReply {
    mode: String,
    stream: String,
    /// The header from which the service reads an operation's id, if it knows more than the stream's.
    id_header: String,
    /// Whether it names in each answer the operation that it answers.
    names_operations: bool,
    instance: String,
    seen: i64,
    file_id: String,
    bundles: Option<Offer>,
    foreign: bool,
    takeover: bool,
}

/// Probes for as long as there is a connection: requests are sent only where a service or stream answers.
/// When it stops answering, its waiters are released instead of running into their time-outs.
pub(super) struct Probe {
    client: Client,
    names: Arc<Names>,
    ping: Subject,
    look: Subject,
    /// A subject without subscribers: the server answers "no responders", and so shows that it is alive.
    unserved: Subject,
    ping_timeout: PingTimeout,
    /// Whether bundles may be sent.
    bundles: bool,
    inbox: Arc<Inbox>,
    health: Arc<Health>,
    unanswered: u32,
    round: u32,
    late: u32,
    last: Option<StreamMatch>,
}

impl Probe {
    pub(super) fn new(outgoing: &Outgoing, ping_timeout: PingTimeout, bundles: bool) -> Self {
        let names = &outgoing.names;
        Self {
            client: outgoing.client.clone(),
            ping: names.own("ping").into(),
            look: format!("$JS.API.STREAM.INFO.{}", names.stream).into(),
            unserved: names.own("nobody").into(),
            names: Arc::clone(names),
            ping_timeout,
            bundles,
            inbox: Arc::clone(&outgoing.inbox),
            health: Arc::clone(&outgoing.health),
            unanswered: 0,
            round: 0,
            late: 0,
            last: None,
        }
    }

    pub(super) async fn run(mut self, ended: CancellationToken) {
        loop {
            let mut pause = SEEK_EVERY;
            if self.health.status().borrow().connected && self.round().await {
                pause = PING_EVERY;
            }
            tokio::select! {
                () = time::sleep(pause) => {}
                () = self.health.recheck.notified() => {
                    self.round = 0;
                    self.ping_timeout.begin();
                }
                () = ended.cancelled() => return,
            }
        }
    }

    /// Probes service, stream and server concurrently, once; returns whether the service answered.
    async fn round(&mut self) -> bool {
        let known = self.health.status().borrow().clone();
        let core = matches!(known.service, Recognition::Ours { mode: Mode::Core, .. });
        // A server without JetStream may be connected to one that has it: the service's own statement decides
        // then. It also decides where the server denies the request.
        let may_look = self.client.server_info().jetstream && !self.health.denies(&self.look);
        let look = may_look && !core && (known.stream.is_none() || self.round.is_multiple_of(LOOK_EVERY));
        self.round = self.round.wrapping_add(1);
        let (limit, begun) = (self.ping_timeout.limit(), Instant::now());
        // Any reply shows that the server is alive.
        let heard = Notify::new();
        let ask = async |subject: &Subject, expects, payload| {
            let settled = time::timeout(limit, self.ask(subject, expects, payload)).await.ok().flatten();
            if settled.is_some() {
                heard.notify_one();
            }
            (settled, begun.elapsed())
        };
        let ping = async {
            let (settled, took) = ask(&self.ping, ReplyFrom::Service, self.sighted()).await;
            let was_heard = settled.is_some();
            let word = match settled {
                Some(Completion::Answer(answer)) => self.read(&answer),
                _ => None,
            };
            // Evaluated before the service counts as found, because that is what lets requests through.
            let other = self.inbox.someone_else_answers();
            match &word {
                Some((_, _, word)) => self.health.set_foreign(word.foreign || (other && !word.takeover)),
                None if other => self.health.set_foreign(true),
                None => {}
            }
            match &word {
                Some((service, _, word)) => {
                    self.health.instance_is(&word.instance, word.seen, &word.file_id);
                    self.health.found(service.clone());
                }
                None => {
                    self.health.no_offer();
                    self.health.found(Recognition::Absent);
                    self.inbox.release(ReplyFrom::Service);
                }
            }
            (word, was_heard.then_some(took))
        };
        let stream =
            async { if look { Some(ask(&self.look, ReplyFrom::Any, Bytes::new()).await.0) } else { None } };
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
        self.ping_timeout.learn(took);
        if !server {
            // The connection is up, but nothing moves on it.
            self.inbox.release_all();
            self.health.stream_of(None);
        }
        match looked {
            None if may_look => {}
            None => self.health.stream_of(word.as_ref().and_then(|(_, stream, _)| stream.clone())),
            Some(Some(Completion::Answer(answer))) => {
                self.late = 0;
                let found = stored::found(&self.names.service, &answer);
                self.health.found_stream(found, &mut self.last);
            }
            Some(Some(Completion::NobodyThere)) => self.health.stream_of(None),
            // The server denies looking at the stream: treated like a server without JetStream.
            Some(Some(Completion::Denied(_))) => {
                self.health.stream_of(word.as_ref().and_then(|(_, stream, _)| stream.clone()));
            }
            Some(_) => {
                self.late += 1;
                // Without a reply, the service's own statement decides.
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
                if self.unanswered == UNANSWERED && server {
                    let service = self.names.service.as_str();
                    tracing::info!(service, "connected to NATS, but no database service answers there");
                }
            }
        }
        self.unanswered == 0
    }

    /// What a ping's answer says about the service, and about the database of its stream if it works on ours.
    fn read(&self, answer: &Message) -> Option<(Recognition, Option<String>, PingReply)> {
        let database = wire::database(answer)?.to_owned();
        let word: PingReply = serde_json::from_slice(&answer.payload).unwrap_or_default();
        let mode = Mode::named(&word.mode).unwrap_or_default();
        let understood = keys::understood(&word.id_header);
        self.health.set_keyed(understood);
        // A service names the operation that it answers only where it has read its id.
        self.health.set_names_operations(word.names_operations && understood);
        self.health.set_offer(word.bundles.filter(|_| self.bundles && word.names_operations && understood));
        let stream = (mode == Mode::JetStream && word.stream == self.names.stream).then(|| database.clone());
        Some((Recognition::Ours { database, mode }, stream, word))
    }

    /// A round trip to this client's own inbox, made only if no reply has come for a while. A denial is an
    /// answer too; after one, a subject without subscribers is used instead.
    async fn echo(&self) -> Option<Completion> {
        if self.health.denies(self.inbox.prefix()) {
            return self.ask(&self.unserved, ReplyFrom::Any, Bytes::new()).await;
        }
        let pending = self.inbox.wait("our own inbox".into(), ReplyFrom::Any);
        self.client.publish(pending.subject(), "".into()).await.ok()?;
        Some(pending.await)
    }

    /// What the service cannot know: that something else answers what it is not asked itself.
    fn sighted(&self) -> Bytes {
        if !self.inbox.someone_else_answers() {
            return Bytes::new();
        }
        serde_json::json!({ "others_answer": self.inbox.answered_by_someone_else() }).to_string().into()
    }

    async fn ask(&self, subject: &Subject, expects: ReplyFrom, payload: Bytes) -> Option<Completion> {
        PendingReply::to(&self.client, &self.inbox, subject.clone(), expects, payload).await
    }
}
