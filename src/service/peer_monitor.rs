//! What comes up beside the service after its start: another kind of service on the same subjects, one on another database,
//! one on a copy of this file. It is asked all the time, in a way that changes nothing.
//!
//! A service that answers nothing (a plain subscriber on the events) cannot be told from a monitor: of such a one nothing is
//! known, unless it introduces itself on `$SRV.INFO`. One that answers events alone is not asked, because an event changes
//! something: clients that it answers say so.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Message, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::time::{self, Instant};

use super::discovery::{Info, ProcessDiscovery};
use super::foreign_services::{ForeignServices, note};
use super::instance::InstanceInfo;
use super::peers::who_subject;
use super::received::UpTo;
use super::{ServeError, Shared, bundle, server_time};
use crate::nats::tokens::Tokens;
use crate::nats::{stored, wire};
use crate::operation::{Kind, Operation};
use crate::store::Store;

/// How often it is asked who is there; every second time, who else answers.
const LOOK: Duration = Duration::from_secs(1);
/// How often each query is asked in one look: one that shares our queue group gets only some of them.
const TIMES: usize = 2;
/// For how long an answer counts. One that shares our queue group does not answer each time.
const COUNTS: Duration = Duration::from_secs(5);
/// A subject that a stream stores is not asked for as long.
const STORED: Duration = Duration::from_secs(60);
/// After this many looks a server that tells its time is asked for it again.
const TIME_EVERY: u64 = 5;
/// This many services on `$SRV.INFO` are asked as often as all others; twice as many half as often.
const CROWD: usize = 4;

/// The questions that are asked: each has a reply subject of its own, which no peer can guess before it is answered.
#[derive(Clone, Copy, Debug)]
enum Asked {
    /// Who of our own kind is there.
    Who,
    /// What services there are.
    Info,
    /// What the server's time is.
    Time,
    /// The query at this place.
    Query(usize),
}

/// The key of the notice that the clock is doubtful.
const CLOCK: &str = "clock";

/// No answer is larger, and no more of them are kept until the next look.
const LARGEST: usize = 64 << 10;
const HEARD: usize = 512;

struct PeerMonitor<O, D> {
    shared: Arc<Shared<O, D>>,
    inbox: String,
    answers: Subscriber,
    tokens: Tokens,
    /// What was asked under which token, and when.
    open: HashMap<u64, (Asked, Instant)>,
    /// The queries, with what is asked.
    queries: Vec<(Subject, &'static str)>,
    /// When a stream acknowledged a question on a subject.
    stored: BTreeMap<Subject, Instant>,
    found: ForeignServices,
    /// Instances that were strange in the last look.
    strange: HashSet<String>,
    /// What was answered and is not looked at yet.
    early: Vec<Message>,
    /// How many services answered on `$SRV.INFO` when they were last asked.
    crowd: usize,
    /// What the instances were asked last to have received.
    asked: Option<UpTo>,
}

/// Looks as long as the service runs. Tells `evict` if this is the one that has to stop.
pub(super) async fn run<O: Operation, D: Store<O>>(
    shared: Arc<Shared<O, D>>,
    evict: mpsc::Sender<ServeError>,
) {
    let inbox = shared.client.new_inbox();
    let answers = match shared.client.subscribe(format!("{inbox}.*")).await {
        Ok(answers) => answers,
        // The client is closed, and with it the service.
        Err(e) => return tracing::debug!("who else answers is not known: {e}"),
    };
    let queries = shared.names.operations().filter(|(_, spec, _)| spec.kind == Kind::Query);
    let mut monitor = PeerMonitor {
        inbox,
        answers,
        tokens: Tokens::default(),
        open: HashMap::new(),
        queries: queries.map(|(_, spec, subject)| (subject.clone(), spec.example)).collect(),
        stored: BTreeMap::new(),
        found: ForeignServices::default(),
        strange: HashSet::new(),
        early: Vec::new(),
        crowd: 0,
        asked: None,
        shared: Arc::clone(&shared),
    };
    // One of many begins at a moment of its own.
    let mut round = match monitor.slowdown() {
        1 => 0,
        crowd => uuid::Uuid::new_v4().as_u64_pair().0 % (2 * crowd),
    };
    while !shared.stop.is_cancelled() {
        shared.instance.enrol(&shared.db).await;
        let now = *shared.connection.borrow();
        if now.up && !now.lame {
            monitor.ask(round, now.asking_denied, now.micro_denied).await;
        }
        round = round.wrapping_add(1);
        // The store has logged it.
        shared.notices.set(CLOCK, shared.db.clock_skew());
        if monitor.hear().await {
            return;
        }
        if let Some(error) = monitor.read().await {
            let _ = evict.try_send(error);
        }
        monitor.found.tell(&shared);
    }
}

impl<O: Operation, D: Store<O>> PeerMonitor<O, D> {
    /// The reply subject of a question. An answer may be as late as it may count.
    fn reply_to(&mut self, asked: Asked) -> String {
        let token = self.tokens.next();
        self.open.insert(token, (asked, Instant::now()));
        format!("{}.{token:x}", self.inbox)
    }

    async fn ask(&mut self, round: u64, denied: bool, micro_denied: bool) {
        let client = self.shared.client.clone();
        self.open.retain(|_, (_, at)| at.elapsed() < COUNTS);
        if !denied {
            self.asked = self.shared.progress.received.asked();
            let question = self.shared.instance.question(self.asked.as_ref().map(|up_to| up_to.delivery));
            let reply = self.reply_to(Asked::Who);
            let _ = client.publish_with_reply(who_subject(&self.shared.names), reply, question.into()).await;
        }
        let stream = self.shared.stream.as_ref().filter(|_| round.is_multiple_of(TIME_EVERY));
        if let Some(question) = stream.map(|stream| format!("$JS.API.STREAM.INFO.{}", stream.name)) {
            let reply = self.reply_to(Asked::Time);
            let _ = client.publish_with_reply(question, reply, "".into()).await;
        }
        if !round.is_multiple_of(2 * self.slowdown()) {
            return;
        }
        if !denied {
            self.stored.retain(|_, at| at.elapsed() < STORED);
            let mut headers = HeaderMap::new();
            headers.insert(wire::LOOK, "1");
            for (place, (subject, example)) in self.queries.clone().into_iter().enumerate() {
                if self.stored.contains_key(&subject) {
                    continue;
                }
                for _ in 0..TIMES {
                    let (reply, headers) = (self.reply_to(Asked::Query(place)), headers.clone());
                    let _ = client
                        .publish_with_reply_and_headers(subject.clone(), reply, headers, example.into())
                        .await;
                }
            }
        }
        if self.shared.discovery.is_none() && !micro_denied && round.is_multiple_of(2 * self.crowded()) {
            let reply = self.reply_to(Asked::Info);
            let _ = client.publish_with_reply("$SRV.INFO", reply, "".into()).await;
        }
    }

    /// How many times more seldom services are asked who they are, because all that are there answer each of them: one of many
    /// namespaces hears more of the others than of anything else.
    const fn crowded(&self) -> u64 {
        1 + (self.crowd / CROWD) as u64
    }

    /// How many times more seldom it is looked what answers, because others in this process look as well.
    fn slowdown(&self) -> u64 {
        self.shared.discovery.as_ref().map_or(1, ProcessDiscovery::crowd)
    }

    /// Hears what is answered until it is time to look at it; true when the service is told to stop. What peers send to this
    /// inbox does not pile up.
    async fn hear(&mut self) -> bool {
        let until = Instant::now() + LOOK;
        loop {
            tokio::select! {
                () = self.shared.stop.cancelled() => return true,
                () = time::sleep_until(until) => return false,
                Some(mut answer) = self.answers.next() => {
                    if answer.length <= LARGEST && self.early.len() < HEARD {
                        // In memory of its own: what it came with may be a thousand times as large.
                        answer.payload = Bytes::copy_from_slice(&answer.payload);
                        self.early.push(answer);
                    }
                }
            }
        }
    }

    /// Takes what has been answered. Answers why this instance must stop, if it must.
    async fn read(&mut self) -> Option<ServeError> {
        let now = Instant::now();
        let mut others = Vec::new();
        let mut streams = HashMap::new();
        let (mut crowd, mut told, mut understand) = (0, 0, 0);
        for answer in std::mem::take(&mut self.early) {
            if answer.status.is_some() {
                continue;
            }
            let token =
                answer.subject.rsplit('.').next().and_then(|token| u64::from_str_radix(token, 16).ok());
            let Some((asked, _)) = token.and_then(|token| self.open.get(&token)) else { continue };
            match *asked {
                Asked::Info => {
                    crowd += 1;
                    if let Some(name) = Info::read(&answer).and_then(|info| info.foreign(&self.shared.names))
                    {
                        note(&mut self.found.named, name, now);
                    }
                }
                Asked::Time => {
                    if let Some(at) = server_time::read(&answer.payload) {
                        self.shared.db.observe_time(at, server_time::is_elsewhere(&self.shared.client));
                    }
                }
                Asked::Who => {
                    let who = who_subject(&self.shared.names);
                    if self.is_an_answer(&answer, &who, &mut streams).await
                        && self.is_ours(&answer, &who, now)
                    {
                        told += 1;
                        understand += usize::from(bundle::of_instance(&answer.payload));
                        others.extend(serde_json::from_slice::<InstanceInfo>(&answer.payload).ok());
                    }
                }
                Asked::Query(place) => {
                    let (subject, _) = self.queries[place].clone();
                    if !self.is_an_answer(&answer, &subject, &mut streams).await {
                    } else if !wire::is_ours(&answer) && stored::PubAck::read(&answer.payload).is_some() {
                        // Named elsewhere, as every stream that is not ours.
                        self.stored.insert(subject, now);
                    } else {
                        self.is_ours(&answer, &subject, now);
                    }
                }
            }
        }
        if crowd > 0 {
            self.crowd = crowd;
        }
        self.bundles(told, understand).await;
        let found = self.shared.discovery.as_ref().map(|discovery| Arc::clone(&discovery.found.borrow()));
        for info in found.iter().flat_map(|found| found.iter()) {
            if let Some(name) = info.foreign(&self.shared.names) {
                note(&mut self.found.named, name, now);
            }
        }
        let counts = |times: u64| COUNTS.saturating_mul(u32::try_from(times).unwrap_or(u32::MAX));
        let (seldom, counts) = (counts(self.slowdown()), counts(self.crowded()));
        self.found.forget(seldom, counts, COUNTS);
        self.received(&others);
        self.compare(others, now).await
    }

    /// Whether a message answers what was asked on a subject. Once our own answer is there, a peer that sees it can have
    /// something else answered to its reply subject: a stream that stores what that peer publishes, or the server. What a
    /// stream acknowledges counts where it stores that subject. `streams`: what is known of that in this look.
    async fn is_an_answer(
        &self,
        answer: &Message,
        subject: &str,
        streams: &mut HashMap<String, Option<Vec<String>>>,
    ) -> bool {
        if wire::is_ours(answer) {
            return true;
        }
        let Some(ack) = stored::PubAck::read(&answer.payload) else {
            // The server's answers and those of services about themselves name their type.
            return !answer.payload.starts_with(b"{\"type\":\"io.nats.");
        };
        if !streams.contains_key(subject) {
            // Where JetStream may not be asked, any stream may store it.
            streams.insert(subject.to_owned(), self.shared.api.storing(subject).await.ok());
        }
        streams.get(subject).and_then(Option::as_ref).is_none_or(|all| all.contains(&ack.stream))
    }

    /// Whether an answer comes from a service on our database; notes it if not.
    fn is_ours(&mut self, answer: &Message, subject: &str, now: Instant) -> bool {
        match wire::database(answer) {
            Some(database) if wire::is_ours(answer) => {
                let ours = database == self.shared.db.id();
                if !ours {
                    note(&mut self.found.databases, database.chars().take(64).collect(), now);
                }
                ours
            }
            _ => {
                note(&mut self.found.kinds, subject.to_owned(), now);
                false
            }
        }
    }

    /// The stream takes bundles while all instances understand them; this one has told so, too.
    async fn bundles(&self, told: usize, understand: usize) {
        let Shared { stream, api, bundles, .. } = &*self.shared;
        let Some(stream) = stream else { return };
        // Not all may have been heard.
        if told > 0
            && bundles.look(told == understand)
            && let Err(e) = stream.take_bundles(api).await
        {
            tracing::debug!(stream = stream.name, "the stream takes no bundles: {e}");
        }
    }

    /// Hands over what each instance has received from the stream's consumer.
    fn received(&mut self, others: &[InstanceInfo]) {
        let Some(asked) = self.asked.take() else { return };
        let share = |who: &InstanceInfo| {
            let proven = self.shared.instance.is_proven(who);
            who.received.filter(|share| proven && share.up_to == asked.delivery)
        };
        let shares = others.iter().map(|who| (who.instance.clone(), share(who))).collect();
        self.shared.progress.received.answered(asked, shares);
    }

    async fn compare(&mut self, others: Vec<InstanceInfo>, now: Instant) -> Option<ServeError> {
        let mut strange = HashSet::new();
        let mut stop = None;
        for other in others {
            let shared = &self.shared;
            if shared.instance.has_another_clock(&other) {
                shared.db.observe_time(other.time, true);
            }
            if !shared.instance.is_strange(&shared.db, &other).await {
                continue;
            }
            // Twice in a row: between two looks every instance has written down again that it is there.
            if self.strange.contains(&other.instance) {
                if shared.instance.must_stop(&other) {
                    stop = Some(shared.instance.is_a_copy(&other, shared.total().done));
                } else {
                    self.found.note_copy(&other.instance, || shared.instance.of_a_copy(&other), now);
                }
            }
            strange.insert(other.instance);
        }
        self.strange = strange;
        stop
    }
}
