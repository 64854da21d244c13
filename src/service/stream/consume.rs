//! The consumer's work: takes messages for as long as there is a connection, declares what is missing, and notices when
//! nothing moves any more.

use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use tokio::sync::watch::Receiver;
use tokio::time::{self, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::ack::{self, AckInfo, NAK};
use super::api::{ApiError, ConsumerInfo};
use super::declare::{CONSUMER, Declaration};
use super::limits;
use super::message;
use super::pull::{Pull, PullEvent};
use super::watch;
use super::work::{Size, Work};
use crate::nats::bundle::Offer;
use crate::operation::Operation;
use crate::service::Shared;
use crate::service::connection::Connection;
use crate::service::progress::PATIENCE;
use crate::service::waiting;
use crate::service::work_limit::WorkPermit;
use crate::store::Store;

/// A message that was delivered so often is tried with nothing beside it: it may be what ends the process.
const ALONE_FROM: u64 = 5;
/// The pause before something is declared again.
const AGAIN: Duration = Duration::from_secs(1);
/// The pause before the stream is looked for again, if the last time nothing came.
const BARREN: Duration = Duration::from_millis(500);
/// How often it is asked whether something moves.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// The notice that stream or consumer cannot be declared.
const UNDECLARED: &str = "undeclared";

/// Takes messages until it is told to stop.
pub(in crate::service) struct Consume<O, D> {
    pub(in crate::service) shared: Arc<Shared<O, D>>,
    pub(in crate::service) declaration: Declaration,
    pub(in crate::service) connection: Receiver<Connection>,
    pub(in crate::service) stop: CancellationToken,
}

/// Why taking ended.
pub(super) enum Ended {
    Stopped,
    /// There was what cannot be read, and all of it is set aside.
    Walked,
    /// The server is about to stop.
    Lame,
    Lost(String),
}

impl<O: Operation, D: Store<O>> Consume<O, D> {
    /// Stream and consumer, as they have to be.
    ///
    /// # Errors
    /// What JetStream says.
    pub(in crate::service) async fn declare(&self) -> Result<ConsumerInfo, ApiError> {
        self.declaration.ensure(&self.shared.api).await
    }

    /// The last place of the stream that was given away.
    ///
    /// # Errors
    /// What JetStream says.
    pub(in crate::service) async fn last(&self) -> Result<u64, ApiError> {
        Ok(self.shared.api.stream(&self.declaration.name).await?.state.last())
    }

    /// Runs until it is told to stop; returns when everything taken is done, or given back.
    pub(in crate::service) async fn run(mut self) {
        let mut work = Work::default();
        let (shared, declaration, stop) = (self.shared.clone(), self.declaration.clone(), self.stop.clone());
        let watching = tokio::spawn(watch::run(shared, declaration, stop).in_current_span());
        work.times = self.connection.borrow().times;
        let mut failing = None;
        while !self.stop.is_cancelled() {
            let since = time::Instant::now();
            let taken = match self.declare().await {
                Ok(consumer) => {
                    failing = None;
                    self.shared.notices.clear(UNDECLARED);
                    work.limits = work.limits.within(&consumer.config);
                    if self.must_walk(&mut work).await {
                        self.scan(&mut work).await
                    } else {
                        self.take(&mut work).await
                    }
                }
                Err(e) => {
                    self.undeclared(&e, failing.get_or_insert(since).elapsed());
                    self.pause(AGAIN).await;
                    continue;
                }
            };
            match taken {
                Ended::Stopped => break,
                Ended::Walked => {}
                Ended::Lame => {
                    let mut connection = self.connection.clone();
                    self.stop.run_until_cancelled(connection.wait_for(|c| !c.lame)).await;
                }
                Ended::Lost(why) => {
                    let stream = &self.declaration.name;
                    if self.shared.troubles.unreadable.is_going_on() {
                        // The cause is told, and no more often than every ten seconds.
                        tracing::debug!(stream, "looking for the stream again: {why}");
                    } else {
                        tracing::info!(stream, "looking for the stream again: {why}");
                        if since.elapsed() < BARREN {
                            self.pause(BARREN).await;
                        }
                    }
                    self.connected().await;
                }
            }
        }
        self.give_back(work.alone.drain(..).collect()).await;
        while work.running.join_next().await.is_some() {}
        // It ends with the same word.
        let _ = watching.await;
        self.shared.notices.clear(UNDECLARED);
    }

    /// Stream or consumer cannot be declared, for so long by now. A server that is busy beginning is no matter.
    fn undeclared(&self, error: &ApiError, time: Duration) {
        let refused = matches!(error, ApiError::Refused { .. } | ApiError::Declined(_));
        if !self.connection.borrow().up || !(refused || time >= PATIENCE) {
            tracing::debug!(stream = self.declaration.name, "the stream cannot be declared yet: {error}");
            return;
        }
        let help = limits::help(error).map(|help| format!("; to have one, {help}"));
        let (name, help) = (&self.declaration.name, help.unwrap_or_default());
        self.shared.notices.raise(
            UNDECLARED,
            format!(
                "the stream {name:?} or its consumer cannot be declared: {error}{help}. Nothing is taken from it until that works; \
                 it is tried again every second"
            ),
        );
    }

    /// One stretch of taking, over one subscription.
    async fn take(&mut self, work: &mut Work) -> Ended {
        let in_flight = self.shared.in_flight;
        let (name, batch) = (&self.declaration.name, (in_flight / 2).clamp(1, 512));
        let opened = Pull::open(&self.shared.client, name, batch, work.limits).await;
        let mut pull = match opened {
            Ok(pull) => pull,
            Err(e) => return Ended::Lost(e),
        };
        let shared = Arc::clone(&self.shared);
        let received = &shared.progress.received;
        let _counting = received.begin();
        let times = self.connection.borrow_and_update().times;
        work.broke |= std::mem::replace(&mut work.times, times) != times;
        let mut watch = time::interval(WATCH_EVERY);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        let (mut stopping, mut refused, mut place) = (false, true, None);
        let ended = loop {
            // One that is tried alone waits for the others to end, and they for it.
            if work.running.is_empty() {
                work.is_alone = false;
                if let Some(message) = work.alone.pop_front() {
                    work.is_alone = true;
                    self.start(work, message, place.take());
                }
            }
            let room = work.alone.is_empty() && !work.is_alone && work.has_room(in_flight);
            tokio::select! {
                biased;
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    pull.finish();
                }
                Ok(()) = self.connection.changed() => {
                    let now = *self.connection.borrow_and_update();
                    if now.lame {
                        break Ended::Lame;
                    }
                    if now.times != times {
                        // The server has forgotten what it was asked for.
                        break Ended::Lost("the connection is new".to_owned());
                    }
                }
                Some(ended) = work.running.join_next(), if !work.running.is_empty() => work.ended(ended),
                free = shared.work_limit.enter(), if room && place.is_none() => place = Some(free),
                came = pull.next(), if room && place.is_some() => match came {
                    PullEvent::Message(message) => {
                        if std::mem::take(&mut refused) {
                            self.shared.progress.pull(None);
                        }
                        work.came += 1;
                        let at = AckInfo::of(&message, &self.declaration.name);
                        if let Some(at) = &at {
                            received.note(at.delivery, at.sequence, at.delivered);
                        }
                        if at.is_some_and(|at| at.delivered >= ALONE_FROM) {
                            work.alone.push_back(message);
                        } else {
                            self.start(work, message, place.take());
                        }
                    }
                    PullEvent::Refused(why) => {
                        refused = true;
                        self.shared.progress.pull(Some(why));
                    }
                    PullEvent::Lost(why) => {
                        if self.connection.borrow().up {
                            self.shared.progress.pull(Some(why.clone()));
                        }
                        break Ended::Lost(why);
                    }
                    PullEvent::Stray(message) => self.stray(&message),
                    PullEvent::Finished => break Ended::Stopped,
                },
                _ = watch.tick(), if room && !stopping => {
                    match self.watch(work, &mut before).await {
                        Ok(()) => {}
                        Err(e) => break Ended::Lost(e.to_string()),
                    }
                }
            }
        };
        work.limits = pull.limits();
        self.give_back(pull.close().await).await;
        ended
    }

    /// Begins one, which has `free` until it is done.
    fn start(&self, work: &mut Work, message: Message, free: Option<WorkPermit>) {
        let Some(place) = AckInfo::of(&message, &self.declaration.name) else { return self.stray(&message) };
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        let ack_wait = self.declaration.ack_wait;
        let bytes = waiting::cost(&message);
        if ack::is_without_payload(&message) {
            // How many a bundle has is not known yet.
            let is_bundle = shared.names.is_of_bundles(&message.subject);
            let size = Size { operations: if is_bundle { Offer::MOST.operations } else { 1 }, bytes };
            work.begins(size);
            work.running.spawn(
                async move {
                    if let Some(message) = ack::with_payload(&shared, message, &place, &stop).await {
                        let begun = message::begin(&shared, message, place);
                        message::apply(&shared, (begun, free), &stop, ack_wait).await;
                    }
                    size
                }
                .in_current_span(),
            );
            return;
        }
        // In the order of the stream: from here on they run side by side.
        let begun = message::begin(&self.shared, message, place);
        let size = Size { operations: begun.operations(), bytes };
        work.begins(size);
        work.running.spawn(
            async move {
                message::apply(&shared, (begun, free), &stop, ack_wait).await;
                size
            }
            .in_current_span(),
        );
    }

    fn is_ours(&self, message: &Message) -> bool {
        AckInfo::of(message, &self.declaration.name).is_some()
    }

    /// What is no message of our stream is neither applied nor acknowledged: that would be said to whatever its sender
    /// has named.
    fn stray(&self, message: &Message) {
        let why = "it is no message that our consumer gave out of the stream";
        self.shared.troubles.not_inbox(&message.subject, &why);
    }

    /// Whether the consumer still delivers. After a crash of the server its state may be ahead of the stream's, and then it
    /// waits for messages that are long there. A queue that holds more than the consumer knows of, or a consumer that
    /// hands out nothing to open requests, with no change between two looks, is such a one: it is replaced, and the ledger
    /// knows what is delivered again. So is one, once after each break of the connection, that waits for words that were
    /// lost on the way: it would wait for the whole of `ack_wait`.
    async fn watch(&self, work: &mut Work, before: &mut Option<ConsumerInfo>) -> Result<(), ApiError> {
        if std::mem::take(&mut work.came) > 0 || !work.running.is_empty() {
            *before = None;
            return Ok(());
        }
        let name = &self.declaration.name;
        let consumer = self.shared.api.consumer(name, CONSUMER).await?;
        let stream = self.shared.api.stream(name).await?;
        // What is applied cannot leave a sealed one: no consumer would help. And one without a majority is not one that is gone.
        let majority = consumer.cluster.known().and(stream.cluster.known()).is_ok();
        if stream.is_sealed() || !majority {
            *before = None;
            return Ok(());
        }
        let messages = stream.state.messages;
        let unknown = messages > consumer.num_pending + consumer.num_ack_pending;
        let idle = consumer.num_pending > 0 && consumer.num_waiting > 0 && consumer.num_ack_pending == 0;
        let waits = work.broke && consumer.num_ack_pending > 0;
        let stalled = (unknown || idle || waits) && !consumer.paused;
        if stalled && before.as_ref() == Some(&consumer) {
            tracing::warn!(stream = name, messages, "the consumer delivers nothing any more; replacing it");
            self.declaration.replace_consumer(&self.shared.api).await?;
            *before = None;
            work.broke = false;
            return Err(ApiError::Silent("the consumer was replaced".to_owned()));
        }
        *before = stalled.then_some(consumer);
        Ok(())
    }

    /// Returns what is not begun, so that another instance may take it at once.
    pub(super) async fn give_back(&self, messages: Vec<Message>) {
        for message in messages {
            if let Some(reply) = message.reply.as_ref().filter(|_| self.is_ours(&message)) {
                ack::say(&self.shared.client, reply, NAK).await;
            }
        }
    }

    /// Waits for a connection, a moment at least.
    async fn connected(&self) {
        self.pause(Duration::from_millis(20)).await;
        let mut connection = self.connection.clone();
        self.stop.run_until_cancelled(connection.wait_for(|c| c.up)).await;
    }

    async fn pause(&self, time: Duration) {
        self.stop.run_until_cancelled(time::sleep(time)).await;
    }
}
