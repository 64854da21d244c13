//! Why something waits, or has gone, in words: the cause and what to do.

use std::time::Duration;

use super::api::{ApiError, ConsumerInfo};
use super::consumer_replacement::REPLACE_AFTER;
use super::declare::{CONSUMER, Declaration};
use super::removed_messages::LostMessages;
use crate::operation::Operation;
use crate::service::progress::{PATIENCE, counted, worker};
use crate::service::{Shared, denied};
use crate::store::Store;

/// Why nothing moves.
pub(super) fn reason<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    declaration: &Declaration,
    consumer: &ConsumerInfo,
    worked: Option<(u64, Duration)>,
) -> String {
    let name = &declaration.name;
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{name}.{CONSUMER}");
    let own = worked.map_or(0, |(open, _)| open);
    if consumer.paused {
        return format!("the consumer is paused. Go on with nats consumer resume {name} {CONSUMER}");
    }
    if let Some(stuck) = shared.progress.stuck() {
        return stuck.reason();
    }
    if shared.connection.borrow().lame {
        return "the NATS server is about to stop, and nothing more is taken from it".to_owned();
    }
    if shared.troubles.denials.publish(&next) {
        return format!(
            "the NATS server does not let this service publish to {next:?}; allow it to this user"
        );
    }
    if shared.troubles.denials.publish(denied::ACKS) {
        return "what is applied cannot be acknowledged: allow this service to publish to \"$JS.ACK.>\""
            .to_owned();
    }
    if let Some((open, time)) = worked.filter(|(_, time)| *time >= PATIENCE) {
        return worker(open, time);
    }
    if consumer.num_ack_pending > own {
        let (held, wait) = (consumer.num_ack_pending - own, declaration.ack_wait);
        let full = consumer.config["max_ack_pending"].as_u64();
        let full = full.is_some_and(|most| most > 0 && consumer.num_ack_pending >= most);
        let full = if full { ", and no more are handed out until it does (max_ack_pending)" } else { "" };
        return format!(
            "{held} of them {} handed out to another instance or program that has not acknowledged them{full}. They come here \
             {wait:?} after they were handed out, and after {:?} the consumer is replaced if that program has put them off for \
             longer; if it hangs, or is not ours, end it",
            if held == 1 { "was" } else { "were" },
            wait * REPLACE_AFTER
        );
    }
    if let Some(refused) = shared.progress.refused() {
        return format!(
            "the consumer hands out nothing when it is asked: {refused}. It is asked again, and asked for less"
        );
    }
    "the consumer hands out nothing, and no cause is known; it is replaced if that lasts. See the log of the NATS server".to_owned()
}

/// A number of events, in words.
pub(super) fn events(count: u64) -> String {
    counted(count, "event")
}

/// That the consumer was replaced because it had passed over a message.
pub(super) fn passed(stream: &str, first: u64) -> String {
    format!(
        "the consumer {CONSUMER:?} of the stream {stream:?} had passed over events that are not applied (from sequence {first} on), as \
         one does whose filter_subject was changed by hand: it is replaced, and they are applied"
    )
}

pub(super) fn lost(stream: &str, went: LostMessages) -> String {
    let again = "What its senders still have, they may send again: nothing is applied twice";
    match went {
        LostMessages::Removed(count) => format!(
            "{} that the stream {stream:?} had acknowledged went without being applied: it was purged, or one of its \
             limits was reached (max_msgs, max_age, discard: old). {again}",
            events(count)
        ),
        LostMessages::Deleted(0) => {
            format!(
                "the stream {stream:?} was deleted, with nothing in it that was not taken. It is created anew"
            )
        }
        LostMessages::Deleted(count) => format!(
            "{} that the stream {stream:?} had acknowledged went without being applied: the stream was deleted. It is \
             created anew. {again}",
            events(count)
        ),
    }
}

pub(super) fn unknown(stream: &str, since: Duration, error: &ApiError) -> String {
    let seconds = since.as_secs();
    format!(
        "whether events wait in the stream {stream:?} has not been known for {seconds} s: {error}. See whether JetStream has a leader \
         and its disk, and whether this user may publish to $JS.API.>"
    )
}

/// That it is not known whether another program takes what is ours.
pub(super) fn unknown_others(stream: &str, since: Duration, why: &str) -> String {
    format!(
        "whether another program takes events from the consumer {CONSUMER:?} of the stream {stream:?} has not been known for {} s: {why}",
        since.as_secs()
    )
}

/// That the consumer was replaced because of what another program held.
pub(super) fn held(stream: &str, held: u64, since: Duration) -> String {
    format!(
        "{} in the stream {stream:?} {} handed out to another instance or program that has neither acknowledged nor returned \
         what it has for {} s: the consumer {CONSUMER:?} is replaced, and all is applied here. If it is another program, end it: what it takes is late here",
        events(held),
        if held == 1 { "was" } else { "were" },
        since.as_secs()
    )
}
