//! One message of the stream: applied, then acknowledged.

use std::time::{Duration, Instant};

use async_nats::{Client, Message, Subject};
use rosey_layers::{Class, Classify};
use tokio::sync::watch;
use tower::Service;

use crate::error::Cause;
use crate::nats::wire;
use crate::operation::Persist;
use crate::request::{OpId, Request};
use crate::service::counters::count;
use crate::service::handle::{self, RETRY};
use crate::service::{Shared, handle::wait};
use crate::sql::DeadLetter;

/// What the subject to which a message is acknowledged tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) stream: String,
    /// How often it was delivered, with this time.
    pub(super) delivered: u64,
    pub(super) sequence: u64,
    /// When it was stored, in unix nanoseconds.
    pub(super) stored: i64,
}

impl Place {
    /// Reads `$JS.ACK.STREAM.CONSUMER.DELIVERED.SEQUENCE.CONSUMER_SEQUENCE.TIME.PENDING`, or the newer form that has the
    /// domain and the account before the stream.
    pub(super) fn read(reply: &str) -> Option<Self> {
        let tokens: Vec<&str> = reply.strip_prefix("$JS.ACK.")?.split('.').collect();
        let own = match tokens.len() {
            7 => &tokens[..],
            9.. => &tokens[2..],
            _ => return None,
        };
        Some(Self {
            stream: own[0].to_owned(),
            delivered: own[2].parse().ok()?,
            sequence: own[3].parse().ok()?,
            stored: own[5].parse().ok()?,
        })
    }

    /// When it was stored, in unix milliseconds.
    pub(super) fn arrival(&self) -> i64 {
        self.stored / 1_000_000
    }

    /// The id of a message that brought none: the same one each time it is delivered, to whichever instance. The stream's
    /// creation is not in it: an instance that has not heard of a stream created anew would derive another id than the
    /// next one; and a sequence that is used again is used at another nanosecond.
    pub(super) fn id(&self) -> OpId {
        OpId::derived(self.arrival(), &self.stream, &format!("{} {}", self.stored, self.sequence))
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
/// Not done; somebody else may.
pub(super) const NAK: &str = "-NAK";
/// Still at it.
const PROGRESS: &str = "+WPI";

/// How a message ended.
enum End {
    Applied,
    Buried,
    Returned,
}

/// Applies a message, or keeps it as a dead letter; then acknowledges it. What the database's environment refuses is
/// tried again until it is applied, or until `stop`: then the stream gets it back. Answers whether it is done.
pub(super) async fn apply<O: Persist>(
    shared: &Shared<O>,
    message: Message,
    mut stop: watch::Receiver<bool>,
    ack_wait: Duration,
) -> bool {
    let Some(reply) = message.reply.clone() else { return true };
    let Some(place) = Place::read(&reply) else {
        let cause =
            Cause::new(crate::Code::INVALID, "a message as of a stream, which cannot be acknowledged");
        shared.troubles.refused(usize::MAX, &reply, &cause);
        return true;
    };
    let begun = Instant::now();
    let index = O::SPECS.iter().position(|spec| spec.subject == message.subject.as_str());
    let mut attempt = Attempt { shared, message: &message, place, reply: &reply, ack_wait, told: begun };
    let counters = index.map(|index| shared.counters.of(index));
    if let Some(counters) = counters {
        count(&counters.taken);
    }
    let end = match index {
        Some(index) => attempt.perform(index, &mut stop).await,
        // Only if the stream was given other subjects by hand.
        None => {
            let cause = Cause::new(crate::Code::INVALID, "no event of ours has this subject");
            attempt.bury("unknown", cause, &mut stop).await
        }
    };
    let done = !matches!(end, End::Returned);
    say(&shared.client, &reply, if done { ACK } else { NAK }).await;
    if let Some(counters) = counters {
        match end {
            End::Applied => count(&counters.done),
            End::Returned => count(&counters.returned),
            End::Buried => {
                count(&counters.refused);
                count(&counters.buried);
            }
        }
        counters.took(begun.elapsed());
    }
    done
}

struct Attempt<'a, O> {
    shared: &'a Shared<O>,
    message: &'a Message,
    place: Place,
    reply: &'a Subject,
    ack_wait: Duration,
    /// When the stream last heard of this message.
    told: Instant,
}

impl<O: Persist> Attempt<'_, O> {
    async fn perform(&mut self, index: usize, stop: &mut watch::Receiver<bool>) -> End {
        let name = O::SPECS[index].name;
        let (headers, payload) = (self.message.headers.as_ref(), &self.message.payload);
        let head = wire::head_or(headers, payload, self.place.arrival(), || self.place.id());
        let read = head.and_then(|head| Ok((head, O::decode(index, payload)?)));
        let mut request = match read {
            Ok((head, op)) => Request::with_head(head, op),
            Err(cause) => return self.bury(name, cause, stop).await,
        };
        let mut pause = RETRY.0;
        loop {
            let error = match self.shared.db.clone().call(request).await {
                Ok(_) => {
                    self.shared.troubles.database_serves();
                    return End::Applied;
                }
                Err(error) => error,
            };
            let cause = error.cause().clone();
            if cause.class() == Class::Rejected {
                return self.bury(name, cause, stop).await;
            }
            tracing::debug!(operation = name, sequence = self.place.sequence, "later: {cause}");
            self.shared.troubles.database_fails(name, &cause);
            self.note(name, &cause);
            match error.into_request() {
                Some(same) if self.wait(stop, &mut pause).await => request = same,
                _ => return End::Returned,
            }
        }
    }

    /// Keeps a message that cannot be applied, before it is acknowledged.
    async fn bury(&mut self, name: &str, cause: Cause, stop: &mut watch::Receiver<bool>) -> End {
        let index = O::SPECS.iter().position(|spec| spec.name == name).unwrap_or(usize::MAX);
        self.shared.troubles.refused(index, &self.message.subject, &cause);
        self.note(name, &cause);
        let mut letter = handle::letter(self.message, self.place.arrival(), &cause);
        // Offered again, it must be the message it was.
        let id = wire::ID.to_string();
        if !letter.headers.iter().any(|(name, _)| *name == id) {
            letter.headers.push((id, self.place.id().to_string()));
        }
        let mut pause = RETRY.0;
        while let Err(e) = self.keep(&letter).await {
            self.shared.troubles.unburied(name, &e);
            if !self.wait(stop, &mut pause).await {
                return End::Returned;
            }
        }
        handle::notice(self.shared, name, &letter).await;
        End::Buried
    }

    fn note(&self, name: &str, cause: &Cause) {
        if let Some(index) = O::SPECS.iter().position(|spec| spec.name == name) {
            self.shared.counters.of(index).note(cause);
        }
    }

    async fn keep(&self, letter: &DeadLetter) -> Result<(), Cause> {
        // Kept, and not acknowledged because the process died in between: then it is here already.
        if self.place.delivered > 1 && self.shared.db.is_buried(letter).await? {
            return Ok(());
        }
        self.shared.db.bury(letter.clone()).await
    }

    /// Waits before the next try, and sees to it that nobody else is given the message meanwhile.
    async fn wait(&mut self, stop: &mut watch::Receiver<bool>, pause: &mut Duration) -> bool {
        if self.told.elapsed() > self.ack_wait / 4 {
            say(&self.shared.client, self.reply, PROGRESS).await;
            self.told = Instant::now();
        }
        // Never longer than the stream may wait for a word.
        *pause = (*pause).min(self.ack_wait / 4);
        wait(stop, pause).await
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn the_place_of_a_message_is_read_from_both_forms() {
        let place =
            Place { stream: "ROSEY".into(), delivered: 5, sequence: 42, stored: 1_700_000_000_123_456_789 };
        let old = "$JS.ACK.ROSEY.writer.5.42.40.1700000000123456789.7";
        let new = "$JS.ACK._.ACCHASH.ROSEY.writer.5.42.40.1700000000123456789.7.token";
        assert_eq!(Place::read(old), Some(place.clone()));
        assert_eq!(Place::read(new), Some(place.clone()));
        assert_eq!(place.arrival(), 1_700_000_000_123);
        for none in ["", "_INBOX.x", "$JS.ACK.ROSEY.writer.x.42.40.1.7", "$JS.ACK.ROSEY.writer"] {
            assert_eq!(Place::read(none), None, "{none}");
        }
    }

    #[test]
    fn a_message_without_an_id_has_the_same_one_each_time_it_is_delivered() {
        let place =
            |delivered, sequence, stored| Place { stream: "ROSEY".into(), delivered, sequence, stored };
        let first = place(1, 42, 1_700_000_000_123_456_789).id();
        assert_eq!(place(2, 42, 1_700_000_000_123_456_789).id(), first);
        assert_ne!(place(1, 43, 1_700_000_000_123_456_789).id(), first);
        // The stream was created again, and counts from the beginning.
        assert_ne!(place(1, 42, 1_700_000_000_123_456_790).id(), first);
    }
}
