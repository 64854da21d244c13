//! Bundles: the operations of one message, each applied like one that came alone, and answered together with those that are done
//! at the same time.

mod agreed;

use std::time::Instant;

use async_nats::{Message, Subject};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::task::{coop::unconstrained, yield_now};

pub(super) use agreed::{Bundles, of_instance};

use super::Shared;
use super::counters::count;
use super::handle::{self, Asked};
use super::taken::Taken;
use super::waiting::{self, is_cut};
use crate::error::{Cause, Code};
use crate::nats::bundle::answers::{Answers, ENVELOPE, Fate};
use crate::nats::bundle::operations::{self, Entry};
use crate::nats::wire;
use crate::operation::{Operation, Spec};
use crate::store::{DeadLetter, Store};

/// A bundle that cannot be read, in the log and among the dead letters.
const NAME: &str = "batch";

/// All that is in one message.
pub(super) async fn serve<O: Operation, D: Store<O>>(shared: &Shared<O, D>, taken: Taken) {
    let message = &taken.message;
    if !shared.bundles.are_taken() {
        shared.troubles.unknown(&message.subject);
        return handle::unknown(shared, taken.message).await;
    }
    // Of one that is cut the beginning may be a bundle.
    let read = if is_cut(message) {
        Err(operations::too_large(message.length))
    } else {
        operations::read(&message.payload, taken.arrival)
    };
    let entries = match read {
        Ok(entries) => entries,
        Err(cause) => return refuse(shared, &taken, cause).await,
    };
    let (to, why) = match shared.replies.of(message) {
        Ok(to) => (to, None),
        // Not done: see what comes alone.
        Err(why) => {
            shared.troubles.not_inbox(&message.subject, &why);
            (None, Some(Cause::new(Code::INVALID, why.to_string())))
        }
    };
    let most = shared.most().saturating_sub(ENVELOPE);
    let asked = Asked { arrival: taken.arrival, most, plain: message.reply.is_none() };
    let works = entries.into_iter().enumerate().map(|(n, entry)| {
        let why = why.clone();
        async move { (n, one(shared, entry, message, asked, why).await) }
    });
    let (mut working, mut answers) = (works.collect::<FuturesUnordered<_>>(), Answers::new(shared.most()));
    let send = async |body: Vec<u8>| {
        if let Some(to) = to.clone() {
            handle::send_to(shared, message, to, wire::answer_headers(shared.db.id()), body).await;
        }
    };
    // Outside of tokio's budget: it would say "nothing more" in the middle of what was committed together.
    while let Some(first) = unconstrained(working.next()).await {
        // What was committed together is answered together.
        yield_now().await;
        let mut done = Some(first);
        while let Some((n, fate)) = done {
            if let Some(full) = answers.add(n, fate) {
                send(full).await;
            }
            done = unconstrained(working.next()).now_or_never().flatten();
        }
        if let Some(rest) = answers.take() {
            send(rest).await;
        }
    }
}

/// One that cannot be read: nothing of it is done. It is kept only if no sender gets the refusal.
async fn refuse<O: Operation, D: Store<O>>(shared: &Shared<O, D>, taken: &Taken, cause: Cause) {
    let message = &taken.message;
    shared.troubles.refused(usize::MAX, &message.subject, &cause);
    if message.reply.is_none() {
        let letter = handle::letter(message, taken.arrival, &cause);
        handle::keep_dead_letter(shared, NAME, letter).await;
    } else if let Some(to) = shared.way_to(message) {
        let (headers, body) = handle::refusal(shared, None, &cause);
        handle::send_to(shared, message, to, headers, body).await;
    }
}

/// One operation, as one that came alone.
async fn one<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    entry: Entry,
    message: &Message,
    asked: Asked,
    why: Option<Cause>,
) -> Fate<Vec<u8>> {
    let Some(index) = index::<O>(&entry.name) else {
        shared.troubles.unknown(&message.subject);
        return Fate::Refused(Cause::new(Code::UNKNOWN_OPERATION, "there is no such operation"));
    };
    // In the order in which they stand there.
    let _room = shared.bundles.enter().await;
    let _place = shared.work_limit.enter().await;
    let (begun, counters, spec) = (Instant::now(), shared.counters.of(index), &O::SPECS[index]);
    count(&counters.taken);
    let payload = &message.payload[entry.payload.clone()];
    let done = match (why, entry.head.clone()) {
        (Some(cause), _) | (None, Err(cause)) => Err(cause),
        (None, Ok(head)) => handle::apply(shared, index, head, payload, asked).await,
    };
    let fate = match done {
        Ok(reply) => {
            count(&counters.done);
            match handle::encoded(spec, reply, asked.most, O::encode_answer) {
                Ok((body, 0)) if body == spec.empty_answer.as_bytes() => Fate::Done,
                Ok((body, omitted)) => Fate::Answered { body, omitted },
                Err(cause) => Fate::Refused(cause),
            }
        }
        Err(cause) => {
            let subject = shared.names.subject(index);
            let letter = || letter(&entry, Ok((subject, spec)), &message.payload, asked.arrival, &cause);
            handle::refused(shared, index, (subject, asked.plain), &cause, letter).await;
            Fate::Refused(cause)
        }
    };
    counters.took(begun.elapsed());
    fate
}

/// What a message costs while it is worked on: each operation as much as if it had come alone.
pub(super) fn cost(taken: &Taken) -> usize {
    let operations = operations::at_most(&taken.message.payload);
    taken.place.cost() + operations * waiting::OVERHEAD
}

/// The operation of this name.
pub(super) fn index<O: Operation>(name: &str) -> Option<usize> {
    O::NAMES.iter().position(|own| *own == name)
}

/// What was refused, as if it had come alone: an operation; or, as a bundle of its own, what came in one on this subject and has
/// the name of no operation.
pub(super) fn letter(
    entry: &Entry,
    of: Result<(&Subject, &Spec), &Subject>,
    bundle: &[u8],
    at: i64,
    cause: &Cause,
) -> DeadLetter {
    let headers = entry.head.as_ref().map(wire::head_to_headers).ok();
    let payload = &bundle[entry.payload.clone()];
    let payload = match (&entry.head, of) {
        (Ok(head), Ok((_, spec))) => wire::stamped(payload, spec, head.occurred_at),
        (Err(_), Ok(_)) => payload.to_vec(),
        // The subject does not name it.
        (_, Err(_)) => bundle[entry.whole.clone()].to_vec(),
    };
    let (Ok((subject, _)) | Err(subject)) = of;
    let message = Message {
        subject: subject.clone(),
        reply: None,
        length: payload.len(),
        payload: payload.into(),
        headers,
        status: None,
        description: None,
    };
    handle::letter(&message, at, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::OpId;
    use crate::service::waiting::Capacity;

    #[test]
    fn an_operation_of_a_bundle_costs_as_much_as_one_that_came_alone() {
        let message = |payload: &str| Message {
            subject: "s".into(),
            reply: None,
            payload: payload.to_owned().into(),
            headers: None,
            status: None,
            description: None,
            length: payload.len(),
        };
        let taken = |payload: &str| {
            let mut message = message(payload);
            let place = Capacity::new(waiting::MOST, None).take(&mut message).expect("room");
            Taken { message, arrival: 0, id: OpId::new(), place, _running: None }
        };
        let one = "{\"name\":\"x\",\"id\":\"a\",\"size\":0}\n\n";
        for many in [1, 100, 512] {
            let alone = many * waiting::cost(&message(one));
            assert!((alone..alone + 1024).contains(&cost(&taken(&one.repeat(many)))), "{many}");
        }
    }
}
