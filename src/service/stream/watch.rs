//! Watches the stream beside the work on it: whether what is acknowledged gets applied, whether the settings are still ours,
//! and whether something went without us.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch::Receiver;
use tokio::time::{self, Instant};

use super::api::{ApiError, ConsumerInfo, StreamInfo};
use super::declare::{CONSUMER, Declaration};
use super::gone::{Gone, Went};
use super::settings;
use crate::operation::Persist;
use crate::service::progress::{PATIENCE, Pace, worker};
use crate::service::subscription::told;
use crate::service::{Shared, denied};

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// How long a change by hand is shown after it was put right.
const SHOWN: Duration = Duration::from_secs(10);

/// What the keys of these notices begin with.
const PREFIX: &str = "progress.";

/// What is known from one look to the next.
#[derive(Debug, Default)]
struct Watch {
    /// Where the stream ended at the looks of the last seconds.
    ends: VecDeque<(Instant, u64)>,
    /// The first message that is not applied, and since when it is the same one.
    first: Option<(u64, Instant)>,
    /// Since when there was something that was acknowledged long enough ago.
    behind: Option<Instant>,
    /// Since when JetStream does not answer.
    silent: Option<Instant>,
    pace: Pace,
    gone: Gone,
    /// When the stream was created, of one that was ours when it was looked at.
    ours: Option<String>,
    /// Settings that differ although they were put right: a server's own limits.
    stubborn: Vec<String>,
    /// Notices of what was put right, and until when they are shown.
    shown: BTreeMap<String, (Instant, String)>,
    times: u64,
}

/// Looks until it is told to stop.
pub(super) async fn run<O: Persist>(
    shared: Arc<Shared<O>>,
    declaration: Declaration,
    mut stop: Receiver<bool>,
) {
    let mut watch = Watch::default();
    loop {
        tokio::select! {
            () = told(&mut stop) => break,
            found = watch.look(&shared, &declaration) => shared.notices.replace(PREFIX, found),
        }
        tokio::select! {
            () = told(&mut stop) => break,
            () = time::sleep(EVERY) => {}
        }
    }
    // At the end of the service nothing is over: what waits still waits.
    if !*shared.stop.borrow() {
        shared.notices.replace(PREFIX, BTreeMap::new());
    }
}

impl Watch {
    /// Looks once; what there is to say, by key.
    async fn look<O: Persist>(
        &mut self,
        shared: &Shared<O>,
        declaration: &Declaration,
    ) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let connection = *shared.connection.borrow();
        if !connection.up || std::mem::replace(&mut self.times, connection.times) != connection.times {
            // What a server knows after its crash may be older than what it told before.
            self.gone.forget();
            self.silent = None;
            if !connection.up {
                return found;
            }
        }
        let (api, name) = (&shared.api, &declaration.name);
        let looked = async {
            let before = api.stream(name).await?;
            let consumer = match api.consumer(name, CONSUMER).await {
                Ok(consumer) => Some(consumer),
                Err(e) if e.is_not_found() => None,
                Err(e) => return Err(e),
            };
            // Between two looks at the stream, how far it had got for the consumer is known.
            Ok((before.state.last_seq, consumer, api.stream(name).await?))
        };
        match looked.await {
            Ok((before, consumer, stream)) => {
                self.silent = None;
                self.found(shared, declaration, (before, consumer, stream), &mut found).await;
            }
            Err(e) if e.is_not_found() => {
                self.silent = None;
                if let Some(went) = self.gone.deleted() {
                    self.show("gone", lost(name, went));
                }
            }
            Err(e) => {
                let since = self.silent.get_or_insert_with(Instant::now).elapsed();
                if since >= PATIENCE {
                    found.insert(format!("{PREFIX}silent"), unknown(name, since, &e));
                }
            }
        }
        self.shown.retain(|_, (until, _)| *until > Instant::now());
        let shown = self.shown.iter().map(|(key, (_, text))| (format!("{PREFIX}{key}"), text.clone()));
        found.extend(shown);
        found
    }

    async fn found<O: Persist>(
        &mut self,
        shared: &Shared<O>,
        declaration: &Declaration,
        (before, consumer, stream): (u64, Option<ConsumerInfo>, StreamInfo),
        found: &mut BTreeMap<String, String>,
    ) {
        let name = &declaration.name;
        if declaration.is_ours(&stream) {
            self.ours = Some(stream.created.clone());
        } else if self.ours.as_ref() != Some(&stream.created) {
            let sentence = declaration.foreign(&stream, true).to_string();
            found.insert(format!("{PREFIX}description"), sentence);
            return;
        } else {
            // The same stream, renamed by hand: clients do not know it as ours any more.
            match declaration.put_whole(&shared.api, &stream).await {
                Ok(()) => self.show(
                    "description",
                    format!("the description of the stream {name:?} was changed by hand; by it clients know whose stream it is. It is \
                             put right"),
                ),
                Err(e) => drop(found.insert(
                    format!("{PREFIX}description"),
                    format!("the description of the stream {name:?} was changed by hand, and cannot be put right: {e}"),
                )),
            }
        }
        let wrong = consumer.as_ref().map(|c| settings::of_consumer(&c.config, &declaration.consumer()));
        // One that shows only a part counts only that.
        let counts =
            consumer.as_ref().filter(|_| wrong.as_ref().is_some_and(|w| settings::only_of_requests(w)));
        if shared.progress.is_walking() {
            // What is taken out then is never handed out.
            self.gone.forget();
        } else if let Some(went) = self.gone.look(before, &stream, counts) {
            self.show("gone", lost(name, went));
        }
        self.stream_settings(shared, declaration, &stream, found).await;
        if let Some(wrong) = wrong {
            self.consumer_settings(shared, declaration, wrong, found).await;
        }
        if consumer.as_ref().is_some_and(|consumer| consumer.paused) {
            found.insert(
                format!("{PREFIX}paused"),
                format!(
                    "the consumer {CONSUMER:?} of the stream {name:?} is paused: {} events are acknowledged and wait. Go on with \
                     nats consumer resume {name} {CONSUMER}",
                    stream.state.messages
                ),
            );
        }
        let worked = self.pace.look(&shared.total());
        if let Some((time, moves)) = self.behind(&stream) {
            let reason = match (&consumer, moves) {
                (Some(consumer), false) => reason(shared, declaration, consumer, worked),
                (None, _) => "its consumer is not there, and is created again".to_owned(),
                (_, true) => "they are being applied, slower than they came".to_owned(),
            };
            let (count, seconds) = (stream.state.messages, time.as_secs());
            found.insert(
                format!("{PREFIX}behind"),
                format!(
                    "{count} events in the stream {name:?} are acknowledged and not applied, the first of them for {seconds} s or \
                     more: {reason}"
                ),
            );
        }
    }

    /// Whether something is in the stream that was there long enough ago: for how long at least, and whether the queue moves.
    fn behind(&mut self, stream: &StreamInfo) -> Option<(Duration, bool)> {
        let now = Instant::now();
        let state = &stream.state;
        if state.messages == 0 {
            (self.first, self.behind) = (None, None);
        } else if self.first.is_none_or(|(first, _)| first != state.first_seq) {
            self.first = Some((state.first_seq, now));
        }
        if self.ends.back().is_some_and(|(_, last)| *last > state.last_seq) {
            self.ends.clear(); // it was created again
        }
        while self.ends.get(1).is_some_and(|(at, _)| now - *at >= PATIENCE) {
            self.ends.pop_front();
        }
        let old = self.ends.front().filter(|(at, _)| now - *at >= PATIENCE);
        let waits = state.messages > 0 && old.is_some_and(|(_, last)| *last >= state.first_seq);
        self.ends.push_back((now, state.last_seq));
        if !waits {
            self.behind = None;
            return None;
        }
        let since = *self.behind.get_or_insert(now);
        let moves = self.first.is_some_and(|(_, at)| now - at < PATIENCE);
        Some((now - since + PATIENCE, moves))
    }

    async fn stream_settings<O: Persist>(
        &mut self,
        shared: &Shared<O>,
        declaration: &Declaration,
        stream: &StreamInfo,
        found: &mut BTreeMap<String, String>,
    ) {
        let name = &declaration.name;
        for (setting, meaning) in settings::for_good(&stream.settings) {
            found.insert(
                format!("{PREFIX}settings.{setting}"),
                format!("the stream {name:?} has {setting}, and no server takes that back: {meaning}"),
            );
        }
        let mut wrong = settings::of_stream(&stream.settings, &declaration.stream());
        // A stream of an older version takes more: that waits for the next declaration.
        let size = |settings: &Value| settings["max_msg_size"].as_i64().filter(|size| *size > 0);
        let smaller =
            size(&stream.settings).zip(size(&declaration.stream())).is_some_and(|(now, ours)| now < ours);
        wrong.retain(|setting| setting != "max_msg_size" || smaller);
        let listed = wrong.join(", ");
        if wrong.is_empty() || self.stubborn.contains(&listed) {
            return;
        }
        match declaration.put_right(&shared.api, stream).await {
            Ok(_) => {
                if self.shown.contains_key("settings") && declaration.unchanged(&shared.api, &wrong).await {
                    self.stubborn.push(listed.clone());
                }
                self.show(
                    "settings",
                    format!(
                        "the settings of the stream {name:?} were changed by hand ({listed}), so that events may be lost or refused: \
                         they are put right. What this service lets an operator choose are its options"
                    ),
                );
            }
            Err(e) => drop(found.insert(
                format!("{PREFIX}settings"),
                format!(
                    "the settings of the stream {name:?} were changed by hand ({listed}), so that events may be lost or refused, and \
                     cannot be put right: {e}. Put them right (nats stream edit {name})"
                ),
            )),
        }
    }

    async fn consumer_settings<O: Persist>(
        &mut self,
        shared: &Shared<O>,
        declaration: &Declaration,
        wrong: Vec<String>,
        found: &mut BTreeMap<String, String>,
    ) {
        let (name, listed) = (&declaration.name, wrong.join(", "));
        if wrong.is_empty() || self.stubborn.contains(&listed) {
            return;
        }
        match declaration.ensure_consumer(&shared.api).await {
            Ok(now) => {
                let left = settings::of_consumer(&now.config, &declaration.consumer());
                if left == wrong {
                    // The server's own, for every consumer.
                    tracing::info!(stream = name, "the server sets {listed} of the consumer; adapting to it");
                    self.stubborn.push(listed);
                    return;
                }
                self.show(
                    "consumer",
                    format!(
                        "the settings of the consumer {CONSUMER:?} of the stream {name:?} were changed by hand ({listed}), so that \
                         events may stay where they are: they are put right"
                    ),
                );
            }
            Err(e) => drop(found.insert(
                format!("{PREFIX}consumer"),
                format!(
                    "the settings of the consumer {CONSUMER:?} of the stream {name:?} were changed by hand ({listed}), and cannot be \
                     put right: {e}. Delete it, and it is created anew (nats consumer rm {name} {CONSUMER})"
                ),
            )),
        }
    }

    /// Shows something that is over already for long enough to be seen.
    fn show(&mut self, key: &str, text: String) {
        self.shown.insert(key.to_owned(), (Instant::now() + SHOWN, text));
    }
}

/// Why nothing moves.
fn reason<O: Persist>(
    shared: &Shared<O>,
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
    if own == 0 && consumer.num_ack_pending > 0 {
        let (held, wait) = (consumer.num_ack_pending, declaration.ack_wait);
        let full = consumer.config["max_ack_pending"].as_u64().is_some_and(|most| most > 0 && held >= most);
        let full = if full { ", and no more are handed out until it does (max_ack_pending)" } else { "" };
        return format!(
            "{held} of them were handed out to another instance or program that has not acknowledged them{full}. They come here \
             {wait:?} after they were handed out; if it hangs, end it"
        );
    }
    if let Some(refused) = shared.progress.refused() {
        return format!(
            "the consumer hands out nothing when it is asked: {refused}. It is asked again, and asked for less"
        );
    }
    "the consumer hands out nothing, and no cause is known; it is replaced if that lasts. See the log of the NATS server".to_owned()
}

fn lost(stream: &str, went: Went) -> String {
    let again = "What its senders still have, they may send again: nothing is applied twice";
    match went {
        Went::Removed(count) => format!(
            "{count} events that the stream {stream:?} had acknowledged went without being applied: it was purged, or one of its \
             limits was reached (max_msgs, max_age, discard: old). {again}"
        ),
        Went::Deleted(0) => {
            format!(
                "the stream {stream:?} was deleted, with nothing in it that was not taken. It is created anew"
            )
        }
        Went::Deleted(count) => format!(
            "{count} events that the stream {stream:?} had acknowledged went without being applied: the stream was deleted. It is \
             created anew. {again}"
        ),
    }
}

fn unknown(stream: &str, since: Duration, error: &ApiError) -> String {
    let seconds = since.as_secs();
    format!(
        "whether events wait in the stream {stream:?} has not been known for {seconds} s: {error}. See whether JetStream has a leader \
         and its disk, and whether this user may publish to $JS.API.>"
    )
}
