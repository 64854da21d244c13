//! One message: read it, apply it, answer it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_nats::{HeaderMap, Message, Subject};
use eitherway_layers::{Class, Classify};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::counters::count;
use super::outage::is_of_the_database;
use super::replies::To;
use super::taken::Taken;
use super::waiting::is_cut;
use crate::answer::{End, cut};
use crate::error::{Cause, Code};
use crate::headers::{DROPPED, UNREAD};
use crate::nats::wire;
use crate::operation::{Invalid, MAX_PAYLOAD, Operation, Spec};
use crate::reply::Reply;
use crate::request::{Head, Received, Request};
use crate::store::{DeadLetter, Store};

/// The pause before something that no client repeats is tried again, first and longest.
pub(super) const RETRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// An operation, by request or by plain publish.
pub(super) async fn operation<O: Operation, D: Store<O>>(shared: &Shared<O, D>, index: usize, taken: Taken) {
    let begun = Instant::now();
    let (spec, counters) = (&O::SPECS[index], shared.counters.of(index));
    if !spec.writes() && wire::is_look(&taken.message) {
        if let Some(to) = shared.way_to(&taken.message) {
            send_to(shared, &taken.message, to, wire::answer_headers(shared.db.id()), Vec::new()).await;
        }
        return;
    }
    count(&counters.taken);
    match shared.replies.of(&taken.message) {
        Ok(to) => match perform(shared, index, &taken).await {
            Ok(reply) => {
                count(&counters.done);
                answer(shared, spec, &taken.message, to, reply).await;
            }
            Err(cause) => refuse(shared, index, &taken, to, cause).await,
        },
        // Not done: the answer would be published under this service's rights, where the sender has chosen.
        Err(why) => {
            shared.troubles.not_inbox(&taken.message.subject, &why);
            let cause = Cause::new(Code::INVALID, why.to_string());
            refuse(shared, index, &taken, None, cause).await;
        }
    }
    counters.took(begun.elapsed());
}

/// Something on a subject of ours that is no operation: refused at once, as the server does where no subscription is.
pub(super) async fn unknown<O: Operation, D: Store<O>>(shared: &Shared<O, D>, message: Message) {
    let Some(to) = shared.way_to(&message) else { return };
    let cause = Cause::new(Code::UNKNOWN_OPERATION, "there is no such operation");
    let (headers, body) = refusal(shared, None, &cause);
    send_to(shared, &message, to, headers, body).await;
}

/// Headers and body of a refusal, as long as a message may be.
pub(super) fn refusal<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    spec: Option<&Spec>,
    cause: &Cause,
) -> (HeaderMap, Vec<u8>) {
    wire::refusal_within(shared.db.id(), spec, cause, shared.client.max_payload())
}

/// Whether the service is well: answered by the writer.
pub(super) async fn ping<O: Operation, D: Store<O>>(shared: &Shared<O, D>, message: Message) {
    shared.counters.asked();
    shared.troubles.sighted.note(&shared.names, &message.payload);
    let Some(to) = shared.way_to(&message) else { return };
    let (database, most) = (shared.db.id(), shared.most());
    let (headers, body) = match shared.db.ping().await {
        Ok(()) => {
            let mut notices = shared.notices.now();
            let version = env!("CARGO_PKG_VERSION");
            let stream = shared.stream.as_ref().map_or("", |stream| stream.name.as_str());
            let body = |notices: &[String]| {
                serde_json::json!({
                "service": shared.names.service, "version": version, "database_id": database,
                "mode": shared.mode().as_str(), "stream": stream,
                "bundles": shared.offer(), "id_header": wire::OPERATION_ID.to_string(), "names_operations": true,
                "instance": shared.instance.id, "seen": shared.instance.seen(),
                "file_id": shared.db.file_id().unwrap_or_default(),
                "foreign": shared.foreign.load(Ordering::Relaxed), "takeover": shared.takeover,
                "notices": notices, "noticed": shared.notices.so_far(),
                "not_inboxes": shared.troubles.not_inboxes(), "unknown": shared.troubles.unknowns(),
                "overruns": shared.troubles.overruns()})
                .to_string()
            };
            let (mut text, mut omitted) = (body(&notices), 0);
            while text.len() > most && notices.pop().is_some() {
                omitted += 1;
                text = body(&notices);
            }
            (wire::cut_headers(database, omitted), text.into_bytes())
        }
        Err(cause) => refusal(shared, None, &cause),
    };
    send(shared, to, headers, body).await;
}

/// Which database this instance writes to, and how it takes events: asked of all instances.
pub(super) async fn who<O: Operation, D: Store<O>>(shared: &Shared<O, D>, message: Message) {
    if let Some(to) = shared.way_to(&message) {
        let mode = shared.mode().as_str();
        let who = shared.instance.who(&shared.db, mode, &shared.progress.received, &message.payload).await;
        let body = serde_json::to_vec(&shared.bundles.of(who)).unwrap_or_default();
        send(shared, to, wire::answer_headers(shared.db.id()), body).await;
    }
}

/// Reads a message and applies it.
async fn perform<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    index: usize,
    Taken { message, arrival, id, .. }: &Taken,
) -> Result<Reply<O::Answer>, Cause> {
    if is_cut(message) {
        let (name, length) = (O::SPECS[index].name, message.length);
        let why = format!("{name}: {length} bytes, at most {MAX_PAYLOAD} are taken");
        return Err(Cause::new(Code::INVALID, why));
    }
    let head = wire::head_or(message.headers.as_ref(), &message.payload, *arrival, || id.clone())?;
    let asked = Asked { arrival: *arrival, most: shared.most(), plain: message.reply.is_none() };
    apply(shared, index, head, &message.payload, asked).await
}

/// How an operation was asked for.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// In unix milliseconds.
    pub(super) arrival: i64,
    /// How long its answer may be.
    pub(super) most: usize,
    /// Whether no answer is waited for.
    pub(super) plain: bool,
}

/// Applies an operation.
pub(super) async fn apply<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    index: usize,
    head: Head,
    payload: &[u8],
    Asked { arrival, most, plain: waits }: Asked,
) -> Result<Reply<O::Answer>, Cause> {
    head.check_deadline()?;
    let op = O::decode(index, payload)?;
    let spec = &O::SPECS[index];
    if waits && (!spec.writes() || spec.answer_is_list()) {
        // The answer would go nowhere; a claim would only keep its messages from the clients that want them.
        return Err(Cause::new(Code::INVALID, "a question without a reply subject"));
    }
    let mut request = Request::with_head(head, op);
    let mut store = shared.db.clone();
    // A caller who waits for an answer is told, and falls back or tries again. A plain publish has no other path.
    let (mut pause, mut again, mut failures) = (RETRY.0, shared.progress.taken(spec.name), 0);
    loop {
        let turn = match waits.then(|| shared.outage.enter(failures)) {
            Some(Err(pending)) => match shared.give_up.run_until_cancelled(pending).await {
                Some(turn) => Some(turn),
                None => return Err(Cause::new(Code::UNAVAILABLE, "the database fails to the end")),
            },
            turn => turn.and_then(Result::ok),
        };
        // What is handed out must fit into the answer. The time is judged as of the arrival: a retry makes nothing too old.
        let received = Received::new(arrival, most);
        let error = match store.call(request.with_received(received)).await {
            Ok(reply) => {
                // A full disk can be read as ever.
                if spec.writes() {
                    shared.troubles.database_serves();
                    match turn {
                        Some(turn) => turn.served(),
                        None => shared.outage.lives(),
                    }
                }
                return Ok(reply);
            }
            Err(error) => error,
        };
        let cause = error.cause().clone();
        let over = cause.class() == Class::Rejected || cause.code() == Code::EXPIRED;
        shared.counters.of(index).note(&cause);
        if !over {
            shared.troubles.database_fails(spec.name, &cause);
        }
        let hopeless = over || !waits;
        if !hopeless {
            again.because(&cause);
        }
        let of_the_database = is_of_the_database(&cause);
        if let Some(turn) = turn.filter(|_| of_the_database) {
            turn.failed();
            failures += 1;
        }
        match error.into_request() {
            Some(same) if !hopeless && (of_the_database || wait(&shared.give_up, &mut pause).await) => {
                request = same;
            }
            _ => return Err(cause),
        }
    }
}

async fn refuse<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    index: usize,
    taken: &Taken,
    to: Option<To>,
    cause: Cause,
) {
    let message = &taken.message;
    let letter = || letter(message, taken.arrival, &cause);
    refused(shared, index, (&message.subject, message.reply.is_none()), &cause, letter).await;
    if let Some(to) = to {
        let (headers, body) = refusal(shared, Some(&O::SPECS[index]), &cause);
        send_to(shared, message, to, headers, body).await;
    }
}

/// Counts an operation that is not done, and keeps what was refused, before the peer is told. It came on this subject; where it is
/// `plain`, no peer waits for its answer.
pub(super) async fn refused<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    index: usize,
    (subject, plain): (&Subject, bool),
    cause: &Cause,
    letter: impl FnOnce() -> DeadLetter,
) {
    let (spec, counters) = (&O::SPECS[index], shared.counters.of(index));
    counters.note(cause);
    if cause.code() == Code::EXPIRED {
        count(&counters.expired);
    } else if cause.class() == Class::Rejected {
        count(&counters.refused);
        shared.troubles.refused(index, subject, cause);
        // No client waits any more for a question that came too late.
        if spec.writes() && !(spec.max_age.is_some() && cause.code() == Code::CLOCK) {
            count(if keep_dead_letter(shared, spec.name, letter()).await {
                &counters.buried
            } else {
                &counters.lost
            });
        }
    } else {
        count(if plain { &counters.lost } else { &counters.failed });
    }
}

/// Keeps what was refused; tries until it is kept or the time for finishing is over.
pub(super) async fn keep_dead_letter<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    name: &'static str,
    letter: DeadLetter,
) -> bool {
    let (mut pause, mut again) = (RETRY.0, shared.progress.taken(name));
    while let Err(e) = shared.db.dead_letter(letter.clone(), false).await {
        shared.troubles.dead_letter_failed(name, &e);
        again.because(&e);
        if !wait(&shared.give_up, &mut pause).await {
            return false;
        }
    }
    notice(shared, name, &letter).await;
    true
}

/// A message that was refused.
pub(super) fn letter(message: &Message, at: i64, cause: &Cause) -> DeadLetter {
    let headers =
        message.headers.iter().flat_map(HeaderMap::iter).flat_map(|(name, values)| {
            values.iter().map(|value| (name.to_string(), value.as_str().to_owned()))
        });
    DeadLetter {
        at,
        cause: cause.clone(),
        subject: message.subject.to_string(),
        // These names are ours alone.
        headers: headers.filter(|(name, _)| !UNREAD.is(name) && !DROPPED.is(name)).collect(),
        payload: message.payload.to_vec(),
    }
    .bounded()
}

/// Publishes a notice that a dead letter was kept.
pub(super) async fn notice<O, D>(shared: &Shared<O, D>, name: &str, letter: &DeadLetter) {
    let notice = serde_json::json!({
        "subject": letter.subject, "code": letter.cause.code().name, "reason": letter.cause.to_string()});
    let subject = shared.names.dead_letters(name);
    if let Err(e) = shared.client.publish(subject, notice.to_string().into()).await {
        tracing::debug!("no notice of a dead letter: {e}");
    }
}

/// Waits before the next try; false when the time for finishing is over.
pub(super) async fn wait(give_up: &CancellationToken, pause: &mut Duration) -> bool {
    let this = *pause;
    *pause = (this * 2).min(RETRY.1);
    give_up.run_until_cancelled(time::sleep(this)).await.is_some()
}

async fn answer<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    spec: &Spec,
    message: &Message,
    to: Option<To>,
    reply: Reply<O::Answer>,
) {
    let Some(to) = to else { return };
    let (headers, body) = match encoded(spec, reply, shared.most(), O::encode_answer) {
        Ok((body, omitted)) => (wire::cut_headers(shared.db.id(), omitted), body),
        Err(cause) => refusal(shared, Some(spec), &cause),
    };
    send_to(shared, message, to, headers, body).await;
}

/// An answer of at most so many bytes, and how many entries were left out of it.
///
/// # Errors
/// `too_large`, if it cannot be shorter.
pub(super) fn encoded<A>(
    spec: &Spec,
    reply: Reply<A>,
    most: usize,
    encode: impl FnOnce(A) -> Result<Vec<u8>, Invalid>,
) -> Result<(Vec<u8>, u64), Cause> {
    let mut omitted = reply.omitted;
    let mut body = encode(reply.answer).map_err(|e| Cause::new(Code::DATABASE, e.0))?;
    // The way may carry less than it did when this was asked.
    if spec.answer_is_list() && body.len() > most {
        let end = if spec.writes() { End::Last } else { End::First };
        if let Some((less, gone)) = cut(&body, most, end) {
            omitted += gone;
            body = less;
        }
    }
    if body.len() > most {
        let why = format!("the answer has {} bytes, more than NATS carries; ask for less", body.len());
        return Err(Cause::new(Code::TOO_LARGE, why));
    }
    Ok((body, omitted))
}

/// Answers a message, and names the operation in it.
pub(super) async fn send_to<O, D>(
    shared: &Shared<O, D>,
    message: &Message,
    to: To,
    mut headers: HeaderMap,
    body: Vec<u8>,
) {
    wire::name_operation(&mut headers, message);
    send(shared, to, headers, body).await;
}

pub(super) async fn send<O, D>(shared: &Shared<O, D>, to: To, headers: HeaderMap, body: Vec<u8>) {
    if let Err(e) = shared.answering().publish_with_headers(to.subject(), headers, body.into()).await {
        shared.troubles.unanswered(&e);
    }
}
