//! One message of the stream: applied, then acknowledged. It is begun in the order of the stream, and may end in any.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subject};
use eitherway_layers::{Class, Classify};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::declare::CONSUMER;
use crate::clock;
use crate::error::Cause;
use crate::nats::wire;
use crate::operation::Operation;
use crate::request::{Head, OpId, Received, Request};
use crate::service::counters::count;
use crate::service::handle::{self, RETRY};
use crate::service::outage::{RetryPermit, Ticket, is_of_the_database};
use crate::service::work_limit::WorkPermit;
use crate::service::{Shared, handle::wait};
use crate::store::{DeadLetter, Store};

/// What the subject to which a message is acknowledged tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AckInfo {
    pub(super) stream: String,
    pub(super) consumer: String,
    /// How often it was delivered, with this time.
    pub(super) delivered: u64,
    pub(super) sequence: u64,
    /// The number of this delivery among all of the consumer.
    pub(super) delivery: u64,
    /// When it was stored, in unix nanoseconds.
    pub(super) stored: i64,
}

impl AckInfo {
    /// Reads `$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.CONSUMER_SEQUENCE.TIME.PENDING`, or the newer form that has the
    /// domain and the account before the stream.
    pub(super) fn read(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let plain = |token: &&str| {
            !token.is_empty() && token.chars().all(|c| c.is_ascii_graphic() && !"*>".contains(c))
        };
        if !tokens.iter().all(plain) {
            return None;
        }
        let own = match tokens.len() {
            7 => &tokens[..],
            9.. => &tokens[2..],
            _ => return None,
        };
        let _pending: u64 = own[6].parse().ok()?;
        Some(Self {
            stream: own[0].to_owned(),
            consumer: own[1].to_owned(),
            delivered: own[2].parse().ok()?,
            sequence: own[3].parse().ok()?,
            delivery: own[4].parse().ok()?,
            stored: own[5].parse().ok()?,
        })
    }

    /// The same, if our consumer gave it out of this stream: nowhere else is anything said to.
    pub(super) fn of(message: &Message, stream: &str) -> Option<Self> {
        let info = Self::read(message.reply.as_ref()?)?;
        (info.stream == stream && info.consumer == CONSUMER).then_some(info)
    }

    /// When it was stored, in unix milliseconds.
    pub(super) fn arrival(&self) -> i64 {
        self.stored / 1_000_000
    }

    /// The id of a message that brought none: the same one each time it is delivered, to whichever instance, and behind that
    /// of the one before it. The stream's
    /// creation is not in it: an instance that has not heard of a stream created anew would derive another id than the
    /// next one; and a sequence that is used again is used at another nanosecond.
    pub(super) fn id(&self) -> OpId {
        OpId::placed(&self.stream, self.stored, self.sequence)
    }
}

/// Says something of a message to the stream.
pub(super) async fn say(client: &Client, to: &Subject, what: &'static str) {
    if let Err(e) = client.publish(to.clone(), what.into()).await {
        // Then it is delivered again, and the ledger knows it.
        tracing::debug!("a message could not be acknowledged: {e}");
    }
}

/// Done.
const ACK: &str = "+ACK";
/// Not done; another instance may, in a moment: at once it would come back to a request for more that is still open here.
pub(super) const NAK: &str = "-NAK {\"delay\": 250000000}";
/// Still at it.
const PROGRESS: &str = "+WPI";

/// With this header instead of its payload comes a message whose consumer was set to hand out headers only.
const SIZE_OF_PAYLOAD: &str = "Nats-Msg-Size";

pub(super) fn is_without_payload(message: &Message) -> bool {
    message.payload.is_empty()
        && message.headers.as_ref().is_some_and(|headers| headers.get(SIZE_OF_PAYLOAD).is_some())
}

/// The message as the stream has it, where the consumer left out the payload. A peer that wrote that header has sent no
/// payload, and none is in the stream. None, once the message is settled or given back.
pub(super) async fn with_payload<O, D>(
    shared: &Shared<O, D>,
    mut message: Message,
    info: &AckInfo,
    stop: &CancellationToken,
) -> Option<Message> {
    let reply = message.reply.clone()?;
    let stored = shared.api.message(&info.stream, info.sequence).await.map_err(|e| e.to_string());
    let readable = stored.and_then(|stored| match stored {
        Some(stored) => stored.readable().map(|headers| Some((headers, stored.payload))),
        None => Ok(None),
    });
    match readable {
        Ok(Some((headers, payload))) => {
            message.payload = payload.into();
            message.headers = headers.filter(|headers| !headers.is_empty());
            return Some(message);
        }
        // The stream does not hold it any more.
        Ok(None) => say(&shared.client, &reply, ACK).await,
        Err(e) => {
            tracing::debug!(sequence = info.sequence, "the payload of a message does not come: {e}");
            // Not at once again: the consumer has to be put right first.
            let mut pause = RETRY.1;
            let _ = wait(stop, &mut pause).await;
            say(&shared.client, &reply, NAK).await;
        }
    }
    None
}

/// How a message ended.
enum End {
    Applied,
    /// Kept as a dead letter; or it was kept before.
    Buried {
        new: bool,
    },
    Returned,
}

/// A message that is begun.
pub(super) struct Begun<O: Operation, D: Store<O>> {
    message: Message,
    info: AckInfo,
    since: Instant,
    /// Which operation it is, if it is one.
    index: Option<usize>,
    /// Why it cannot be read, if so.
    first: Result<First<O, D>, Cause>,
}

/// The first try.
enum First<O: Operation, D: Store<O>> {
    /// It lies before the database.
    Called(RetryPermit, D::Future),
    /// The database fails.
    Waits(Ticket, Request<O>),
}

/// Reads a message, and hands it to the database. Where they are begun one by one, they come there in order.
pub(super) fn begin<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    message: Message,
    info: AckInfo,
) -> Begun<O, D> {
    let since = Instant::now();
    let index = shared.names.index(&message.subject);
    let read = |index| {
        let (headers, payload) = (message.headers.as_ref(), &message.payload);
        // A server whose clock is far ahead has claimed nothing: then it is the time here, in the order of the stream still.
        let tolerance = i64::try_from(shared.db.future_tolerance().as_millis()).unwrap_or(i64::MAX);
        let ahead = info.arrival() > clock::now().saturating_add(tolerance);
        let arrival = if ahead { clock::issue() } else { info.arrival() };
        // It was acknowledged when it was stored: now it is applied, however late.
        let head = Head { deadline: None, ..wire::head_or(headers, payload, arrival, || info.id())? };
        let received = Received::new(info.arrival(), usize::MAX);
        Ok(Request::with_head(head, O::decode(index, payload)?).with_received(received))
    };
    let first = match index {
        Some(index) => read(index).map(|request| match shared.outage.enter(0) {
            Ok(permit) => First::Called(permit, shared.db.clone().call(request)),
            Err(ticket) => First::Waits(ticket, request),
        }),
        // Only if the stream was given other subjects by hand.
        None => Err(Cause::new(crate::Code::INVALID, "no event of ours has this subject")),
    };
    Begun { message, info, since, index, first }
}

/// Applies a message, or keeps it as a dead letter; then acknowledges it. What the database's environment refuses is
/// tried again until it is applied, or until `stop`: then the stream gets it back. Returns whether it is done. While it only
/// waits, its place is free for others.
pub(super) async fn apply<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    (begun, free): (Begun<O, D>, Option<WorkPermit>),
    stop: &CancellationToken,
    ack_wait: Duration,
) -> bool {
    let Begun { message, info, since: begun, index, first } = begun;
    let Some(reply) = message.reply.clone() else { return true };
    let mut attempt =
        Attempt { shared, message: &message, info, free, reply: &reply, ack_wait, kept_alive: begun };
    let counters = index.map(|index| shared.counters.of(index));
    if let Some(counters) = counters {
        count(&counters.taken);
    }
    let name = index.map_or("unknown", |index| O::SPECS[index].name);
    let end = match first {
        Ok(first) => attempt.perform(name, first, stop).await,
        Err(cause) => attempt.keep_dead_letter(name, cause, stop).await,
    };
    let done = !matches!(end, End::Returned);
    if done {
        // Before the stream can be seen without it.
        shared.progress.acknowledged.fetch_add(1, Ordering::Relaxed);
    }
    say(&shared.client, &reply, if done { ACK } else { NAK }).await;
    if let Some(counters) = counters {
        match end {
            End::Applied => count(&counters.done),
            End::Returned => count(&counters.returned),
            End::Buried { new } => {
                count(&counters.refused);
                if new {
                    count(&counters.buried);
                }
            }
        }
        counters.took(begun.elapsed());
    }
    done
}

struct Attempt<'a, O, D> {
    shared: &'a Shared<O, D>,
    message: &'a Message,
    info: AckInfo,
    free: Option<WorkPermit>,
    reply: &'a Subject,
    ack_wait: Duration,
    /// When the stream last heard of this message.
    kept_alive: Instant,
}

impl<O: Operation, D: Store<O>> Attempt<'_, O, D> {
    async fn perform(&mut self, name: &'static str, first: First<O, D>, stop: &CancellationToken) -> End {
        let shared = self.shared;
        let (mut pause, mut again, mut failures) = (RETRY.0, shared.progress.taken(name), 0);
        let (mut permit, mut call) = match first {
            First::Called(permit, call) => (permit, call),
            First::Waits(ticket, request) => match self.wait_for_permit(ticket, stop).await {
                Some(permit) => (permit, shared.db.clone().call(request)),
                None => return End::Returned,
            },
        };
        loop {
            let error = match call.await {
                Ok(_) => {
                    shared.troubles.database_serves();
                    permit.served();
                    return End::Applied;
                }
                Err(error) => error,
            };
            let cause = error.cause().clone();
            if cause.class() == Class::Rejected {
                drop(permit);
                return self.keep_dead_letter(name, cause, stop).await;
            }
            tracing::debug!(operation = name, sequence = self.info.sequence, "later: {cause}");
            self.shared.troubles.database_fails(name, &cause);
            self.note(name, &cause);
            again.because(&cause);
            if is_of_the_database(&cause) {
                permit.failed();
                failures += 1;
            } else {
                drop(permit);
                if !self.wait(stop, &mut pause).await {
                    return End::Returned;
                }
            }
            let next = match shared.outage.enter(failures) {
                Ok(permit) => Some(permit),
                Err(ticket) => self.wait_for_permit(ticket, stop).await,
            };
            match error.into_request().zip(next) {
                Some((same, next)) => (permit, call) = (next, shared.db.clone().call(same)),
                None => return End::Returned,
            }
        }
    }

    /// Keeps a message that cannot be applied, before it is acknowledged.
    async fn keep_dead_letter(&mut self, name: &str, cause: Cause, stop: &CancellationToken) -> End {
        let index = O::SPECS.iter().position(|spec| spec.name == name).unwrap_or(usize::MAX);
        self.shared.troubles.refused(index, &self.message.subject, &cause);
        self.note(name, &cause);
        let mut letter = handle::letter(self.message, self.info.arrival(), &cause);
        // Offered again, it must be the message it was.
        if !wire::names_id(self.message.headers.as_ref()) {
            letter.headers.push((wire::ID.to_string(), self.info.id().to_string()));
        }
        let known = O::SPECS.get(index).map_or("unknown", |spec| spec.name);
        let (mut pause, mut again) = (RETRY.0, self.shared.progress.taken(known));
        let mut failures = 0;
        let new = loop {
            let permit = match self.shared.outage.enter(failures) {
                Ok(permit) => permit,
                Err(ticket) => match self.wait_for_permit(ticket, stop).await {
                    Some(permit) => permit,
                    None => return End::Returned,
                },
            };
            let cause = match self.keep(&letter).await {
                Ok(new) => {
                    permit.served();
                    break new;
                }
                Err(cause) => cause,
            };
            self.shared.troubles.unburied(name, &cause);
            again.because(&cause);
            if is_of_the_database(&cause) {
                permit.failed();
                failures += 1;
            } else {
                drop(permit);
                if !self.wait(stop, &mut pause).await {
                    return End::Returned;
                }
            }
        };
        if new {
            handle::notice(self.shared, name, &letter).await;
        }
        End::Buried { new }
    }

    fn note(&self, name: &str, cause: &Cause) {
        if let Some(index) = O::SPECS.iter().position(|spec| spec.name == name) {
            self.shared.counters.of(index).note(cause);
        }
    }

    /// Keeps a letter; whether it was not kept before.
    async fn keep(&self, letter: &DeadLetter) -> Result<bool, Cause> {
        // The process may have died between keeping it and acknowledging it.
        let again = self.info.delivered > 1;
        self.shared.db.dead_letter(letter.clone(), again).await
    }

    /// Waits for the turn, and keeps the server from delivering the message again meanwhile; none, when it is time to stop.
    async fn wait_for_permit(&mut self, mut ticket: Ticket, stop: &CancellationToken) -> Option<RetryPermit> {
        let places = self.free.take().map(|_| &self.shared.work_limit);
        let permit = loop {
            let silent = (self.ack_wait / 4).saturating_sub(self.kept_alive.elapsed());
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                permit = &mut ticket => break permit,
                () = time::sleep(silent) => {
                    say(&self.shared.client, self.reply, PROGRESS).await;
                    self.kept_alive = Instant::now();
                }
            }
        };
        if let Some(places) = places {
            self.free = Some(places.enter().await);
        }
        Some(permit)
    }

    /// Waits before the next try, and keeps the server from delivering the message again meanwhile.
    async fn wait(&mut self, stop: &CancellationToken, pause: &mut Duration) -> bool {
        if self.kept_alive.elapsed() > self.ack_wait / 4 {
            say(&self.shared.client, self.reply, PROGRESS).await;
            self.kept_alive = Instant::now();
        }
        // Never longer than the stream may wait for a word.
        *pause = (*pause).min(self.ack_wait / 4);
        wait(stop, pause).await
    }
}

#[cfg(test)]
mod tests {
    use super::AckInfo;

    #[test]
    fn the_place_of_a_message_is_read_from_both_forms() {
        let info = AckInfo {
            stream: "SHOP".into(),
            consumer: "writer".into(),
            delivered: 5,
            sequence: 42,
            delivery: 40,
            stored: 1_700_000_000_123_456_789,
        };
        let old = "$JS.ACK.SHOP.writer.5.42.40.1700000000123456789.7";
        let new = "$JS.ACK._.ACCHASH.SHOP.writer.5.42.40.1700000000123456789.7.token";
        assert_eq!(AckInfo::read(old), Some(info.clone()));
        assert_eq!(AckInfo::read(new), Some(info.clone()));
        assert_eq!(info.arrival(), 1_700_000_000_123);
        for none in [
            "",
            "_INBOX.x",
            "$JS.ACK.SHOP.writer.x.42.40.1.7",
            "$JS.ACK.SHOP.writer",
            "$JS.ACK.SHOP.writer.5.42.x.1.7",
            "$JS.ACK.SHOP.writer.5.42.40.1.>",
            "$JS.ACK.SHOP..5.42.40.1.7",
            "$JS.ACK.*.writer.5.42.40.1.7",
            "$JS.API.STREAM.PURGE.SHOP",
        ] {
            assert_eq!(AckInfo::read(none), None, "{none}");
        }
    }

    #[test]
    fn a_message_without_an_id_has_the_same_one_each_time_it_is_delivered() {
        let info = |delivered, sequence, stored| AckInfo {
            stream: "SHOP".into(),
            consumer: "writer".into(),
            delivered,
            sequence,
            delivery: 40,
            stored,
        };
        let first = info(1, 42, 1_700_000_000_123_456_789).id();
        assert_eq!(info(2, 42, 1_700_000_000_123_456_789).id(), first);
        assert_ne!(info(1, 43, 1_700_000_000_123_456_789).id(), first);
        // The stream was created again, and counts from the beginning.
        assert_ne!(info(1, 42, 1_700_000_000_123_456_790).id(), first);
    }
}
