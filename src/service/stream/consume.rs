//! The consumer's work: takes messages for as long as there is a connection, declares what is missing, and notices when
//! nothing moves any more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Message;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{self, Instant, MissedTickBehavior};

use super::api::{ApiError, ConsumerInfo};
use super::declare::{CONSUMER, Declaration};
use super::message::{self, NAK, Place};
use super::pull::{Came, Pull};
use crate::operation::Persist;
use crate::service::Shared;
use crate::service::connection::Connection;
use crate::service::subscription::told;

/// A message that was delivered so often is tried with nothing beside it: it may be what ends the process.
const ALONE_FROM: u64 = 5;
/// The pause before something is declared again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is asked whether something moves.
const WATCH_EVERY: Duration = Duration::from_secs(2);

/// Takes messages until it is told to stop.
pub(in crate::service) struct Consume<O> {
    pub(in crate::service) shared: Arc<Shared<O>>,
    pub(in crate::service) declaration: Declaration,
    pub(in crate::service) connection: watch::Receiver<Connection>,
    pub(in crate::service) stop: watch::Receiver<bool>,
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

/// What is being worked on.
pub(super) struct Work {
    /// Each answers the bytes that it had.
    pub(super) running: JoinSet<usize>,
    /// The bytes of all of these.
    bytes: usize,
    pub(super) alone: VecDeque<Message>,
    /// Whether one is tried alone now.
    is_alone: bool,
    /// Messages that came since it was last asked.
    came: u64,
    /// The connection broke: what was on its way, messages or acknowledgements, may have been lost with it.
    pub(super) broke: bool,
    /// How often the connection had come up when that was last looked at.
    times: u64,
    /// The same, when it was last looked whether a message ended it.
    pub(super) looked: u64,
    /// When a message that cannot be read was found last.
    pub(super) unread: Option<Instant>,
}

/// How many bytes of messages are worked on at once, beside their number.
const BYTES: usize = 4 << 20;

impl Work {
    pub(super) fn has_room(&self, in_flight: usize) -> bool {
        self.running.len() < in_flight && self.bytes < BYTES
    }

    pub(super) fn begins(&mut self, length: usize) {
        self.bytes += length;
    }

    pub(super) fn ended(&mut self, ended: Result<usize, JoinError>) {
        self.bytes = self.bytes.saturating_sub(ended.unwrap_or_default());
        if self.running.is_empty() {
            self.bytes = 0;
        }
    }

    /// Passes over all that has ended.
    pub(super) fn reap(&mut self) {
        while let Some(ended) = self.running.try_join_next() {
            self.ended(ended);
        }
    }
}

impl<O: Persist> Consume<O> {
    /// Stream and consumer, as they have to be.
    ///
    /// # Errors
    /// What JetStream says.
    pub(in crate::service) async fn declare(&self) -> Result<(), ApiError> {
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
        let mut work = Work {
            running: JoinSet::new(),
            bytes: 0,
            alone: VecDeque::new(),
            is_alone: false,
            came: 0,
            broke: false,
            times: 0,
            looked: 0,
            unread: None,
        };
        work.times = self.connection.borrow().times;
        let mut complained = false;
        while !*self.stop.borrow() {
            let taken = match self.declare().await {
                Ok(()) => {
                    complained = false;
                    if self.must_walk(&mut work).await {
                        self.walk(&mut work).await
                    } else {
                        self.take(&mut work).await
                    }
                }
                Err(e) => {
                    if !std::mem::replace(&mut complained, true) {
                        let stream = &self.declaration.name;
                        tracing::error!(stream, "the stream cannot be declared; trying again, quietly: {e}");
                    }
                    self.pause(AGAIN).await;
                    continue;
                }
            };
            match taken {
                Ended::Stopped => break,
                Ended::Walked => {}
                Ended::Lame => {
                    let mut connection = self.connection.clone();
                    tokio::select! {
                        _ = connection.wait_for(|c| !c.lame) => {}
                        () = told(&mut self.stop) => {}
                    }
                }
                Ended::Lost(why) => {
                    let stream = &self.declaration.name;
                    if self.shared.troubles.unreadable.is_going_on() {
                        // The cause is told, and no more often than every ten seconds.
                        tracing::debug!(stream, "looking for the stream again: {why}");
                    } else {
                        tracing::info!(stream, "looking for the stream again: {why}");
                    }
                    self.connected().await;
                }
            }
        }
        self.give_back(work.alone.drain(..).collect()).await;
        while work.running.join_next().await.is_some() {}
    }

    /// One stretch of taking, over one subscription.
    async fn take(&mut self, work: &mut Work) -> Ended {
        let in_flight = self.shared.in_flight;
        let opened =
            Pull::open(&self.shared.client, &self.declaration.name, (in_flight / 2).clamp(1, 512)).await;
        let mut pull = match opened {
            Ok(pull) => pull,
            Err(e) => return Ended::Lost(e),
        };
        let times = self.connection.borrow_and_update().times;
        work.broke |= std::mem::replace(&mut work.times, times) != times;
        let mut watch = time::interval(WATCH_EVERY);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = None;
        let mut stopping = false;
        let ended = loop {
            // One that is tried alone waits for the others to end, and they for it.
            if work.running.is_empty() {
                work.is_alone = false;
                if let Some(message) = work.alone.pop_front() {
                    work.is_alone = true;
                    self.start(work, message);
                }
            }
            let room = work.alone.is_empty() && !work.is_alone && work.has_room(in_flight);
            tokio::select! {
                biased;
                () = told(&mut self.stop), if !stopping => {
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
                came = pull.next(), if room => match came {
                    Came::Message(message) => {
                        work.came += 1;
                        let place = message.reply.as_ref().and_then(|reply| Place::read(reply));
                        if place.is_some_and(|place| place.delivered >= ALONE_FROM) {
                            work.alone.push_back(message);
                        } else {
                            self.start(work, message);
                        }
                    }
                    Came::Lost(why) => break Ended::Lost(why),
                    Came::Finished => break Ended::Stopped,
                },
                _ = watch.tick(), if room && !stopping => {
                    match self.watch(work, &mut before).await {
                        Ok(()) => {}
                        Err(e) => break Ended::Lost(e.to_string()),
                    }
                }
            }
        };
        self.give_back(pull.close().await).await;
        ended
    }

    fn start(&self, work: &mut Work, message: Message) {
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        let ack_wait = self.declaration.ack_wait;
        let length = message.length;
        work.begins(length);
        work.running.spawn(async move {
            message::apply(&shared, message, stop, ack_wait).await;
            length
        });
    }

    /// Whether the consumer still delivers. After a crash of the server its state may be ahead of the stream's, and then it
    /// waits for messages that are long there. A queue that holds more than the consumer knows of, or a consumer that
    /// hands out nothing to whoever asks, with no change between two looks, is such a one: it is replaced, and the ledger
    /// knows what is delivered again. So is one, once after each break of the connection, that waits for words that were
    /// lost on the way: it would wait for the whole of `ack_wait`.
    async fn watch(&self, work: &mut Work, before: &mut Option<ConsumerInfo>) -> Result<(), ApiError> {
        if std::mem::take(&mut work.came) > 0 || !work.running.is_empty() {
            *before = None;
            return Ok(());
        }
        let name = &self.declaration.name;
        let consumer = self.shared.api.consumer(name, CONSUMER).await?;
        let messages = self.shared.api.stream(name).await?.state.messages;
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

    /// What is not begun, somebody else may do at once.
    pub(super) async fn give_back(&self, messages: Vec<Message>) {
        for message in messages {
            if let Some(reply) = &message.reply {
                message::say(&self.shared.client, reply, NAK).await;
            }
        }
    }

    /// Waits for a connection, a moment at least.
    async fn connected(&mut self) {
        self.pause(Duration::from_millis(20)).await;
        let mut connection = self.connection.clone();
        tokio::select! {
            _ = connection.wait_for(|c| c.up) => {}
            () = told(&mut self.stop) => {}
        }
    }

    async fn pause(&mut self, time: Duration) {
        tokio::select! {
            () = time::sleep(time) => {}
            () = told(&mut self.stop) => {}
        }
    }
}
