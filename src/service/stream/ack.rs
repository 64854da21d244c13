//! Where a message of the stream comes from, and what is said of it to the stream.

use async_nats::{Client, Message, Subject};
use tokio_util::sync::CancellationToken;

use super::declare::CONSUMER;
use crate::request::OpId;
use crate::service::Shared;
use crate::service::handle::{RETRY, wait};

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
pub(super) const ACK: &str = "+ACK";
/// Not done; another instance may, in a moment: at once it would come back to a request for more that is still open here.
pub(super) const NAK: &str = "-NAK {\"delay\": 250000000}";
/// Still at it.
pub(super) const PROGRESS: &str = "+WPI";

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
