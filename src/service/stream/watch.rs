//! Watches the stream beside the work on it: whether what is acknowledged gets applied, whether the settings are still ours,
//! and whether something went without us.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{self, Instant};
use tokio_util::sync::CancellationToken;

use super::api::{ConsumerInfo, StreamInfo, StreamState};
use super::consumer_replacement::{Asked, ConsumerReplacement};
use super::declare::{CONSUMER, Declaration};
use super::other_programs::OtherPrograms;
use super::reasons::{self, events, lost, reason, unknown};
use super::removed_messages::RemovedMessages;
use super::settings;
use crate::operation::Operation;
use crate::rfc3339;
use crate::service::progress::{PATIENCE, Pace};
use crate::service::status::StreamStatus;
use crate::service::{Shared, denied};
use crate::store::Store;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// How long a change by hand is shown after it was put right.
const SHOWN: Duration = Duration::from_secs(10);

/// A consumer that has passed over a message is replaced after twice as long: its acknowledgement may be on the way.
const PASSED: Duration = Duration::from_secs(2);

/// What the keys of these notices begin with.
pub(super) const PREFIX: &str = "progress.";

/// What is known from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Where the stream ended at the looks of the last seconds.
    ends: VecDeque<(Instant, u64)>,
    /// The first message that is not applied, and since when it is the same one.
    first: Option<(u64, Instant)>,
    /// Since when there was something that was acknowledged long enough ago.
    behind: Option<Instant>,
    /// Since when JetStream does not answer.
    silent: Option<Instant>,
    pace: Pace,
    /// Which servers of a cluster answered for stream and consumer.
    leaders: (String, String),
    gone: RemovedMessages,
    others: OtherPrograms,
    replacement: ConsumerReplacement,
    asked: Asked,
    passed: ConsumerReplacement,
    /// When the stream was created, of one that was ours when it was looked at.
    ours: Option<String>,
    /// Settings that differ although they were put right: a server's own limits.
    pub(super) stubborn: Vec<String>,
    /// Notices of what was put right, and until when they are shown.
    pub(super) shown: BTreeMap<String, (Instant, String)>,
    times: u64,
}

/// Looks until it is told to stop.
pub(super) async fn run<O: Operation, D: Store<O>>(
    shared: Arc<Shared<O, D>>,
    declaration: Declaration,
    stop: CancellationToken,
) {
    let mut watch = Watch::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            found = watch.look(&shared, &declaration) => shared.notices.replace(PREFIX, found),
        }
        if stop.run_until_cancelled(time::sleep(EVERY)).await.is_none() {
            break;
        }
    }
    *shared.progress.stream.lock() = None;
    // At the end of the service nothing is over: what waits still waits.
    if !shared.stop.is_cancelled() {
        shared.notices.replace(PREFIX, BTreeMap::new());
    }
}

/// What is told of the stream.
fn status(name: &str, stream: &StreamInfo, consumer: Option<&ConsumerInfo>) -> StreamStatus {
    let StreamState { messages, bytes, first_ts, .. } = &stream.state;
    let oldest = rfc3339::nanos(first_ts).filter(|_| *messages > 0).map(|nanos| nanos / 1_000_000);
    StreamStatus {
        name: name.to_owned(),
        messages: *messages,
        bytes: *bytes,
        unacknowledged: consumer.map_or(0, |consumer| consumer.num_ack_pending),
        oldest,
    }
}

impl Watch {
    /// Looks once; what there is to say, by key.
    async fn look<O: Operation, D: Store<O>>(
        &mut self,
        shared: &Shared<O, D>,
        declaration: &Declaration,
    ) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let connection = *shared.connection.borrow();
        if !connection.up || std::mem::replace(&mut self.times, connection.times) != connection.times {
            // What a server knows after its crash may be older than what it told before; and what it handed out before, it hands out
            // again only after the whole of `ack_wait`.
            self.gone.forget();
            self.others.interrupted(&shared.progress.received);
            (self.first, self.silent) = (None, None);
            if !connection.up {
                *shared.progress.stream.lock() = None;
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
            let stream = api.stream(name).await?;
            stream.cluster.known()?;
            consumer.as_ref().map_or(Ok(()), |consumer| consumer.cluster.known())?;
            Ok((before.state, consumer, stream, before.cluster))
        };
        let looked = looked.await;
        *shared.progress.stream.lock() =
            looked.as_ref().ok().map(|(_, consumer, stream, _)| status(name, stream, consumer.as_ref()));
        match looked {
            Ok((before, consumer, stream, cluster)) => {
                self.silent = None;
                let of_consumer = consumer.as_ref().map(|c| c.cluster.leader.clone()).unwrap_or_default();
                let leaders = (stream.cluster.leader.clone(), of_consumer);
                let before_it = std::mem::replace(&mut self.leaders, leaders.clone());
                let moved = |from: &str, to: &str| !from.is_empty() && from != to;
                if cluster != stream.cluster
                    || moved(&before_it.0, &leaders.0)
                    || moved(&before_it.1, &leaders.1)
                {
                    self.unsure(shared);
                }
                self.found(shared, declaration, (before, consumer, stream), &mut found).await;
            }
            Err(e) if e.is_not_found() => {
                self.silent = None;
                if let Some(went) = self.gone.deleted() {
                    self.show("gone", lost(name, went));
                }
            }
            Err(e) => {
                self.unsure(shared);
                self.others.interrupted(&shared.progress.received);
                // Nothing was handed out meanwhile.
                self.ends.clear();
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

    /// Another server answers, or none did: it may know less than the one before has told, until it has caught up; and what was
    /// handed out, it hands out again only after the whole of `ack_wait`.
    fn unsure<O: Operation, D: Store<O>>(&mut self, shared: &Shared<O, D>) {
        self.first = None;
        self.gone.changed();
        self.others.forget(&shared.progress.received);
    }

    async fn found<O: Operation, D: Store<O>>(
        &mut self,
        shared: &Shared<O, D>,
        declaration: &Declaration,
        (before, consumer, stream): (StreamState, Option<ConsumerInfo>, StreamInfo),
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
        if consumer.is_some() && counts.is_none() {
            self.gone.changed();
        }
        let acknowledged = shared.progress.acknowledged.load(Ordering::Relaxed);
        if shared.progress.is_walking() {
            // What is taken out then is never handed out.
            self.gone.forget();
        } else if let Some(went) = self.gone.look(&before, &stream, counts, acknowledged) {
            self.show("gone", lost(name, went));
        }
        if let Some(consumer) = &consumer {
            let said = self.others.look(shared, declaration, consumer).await;
            said.took.into_iter().for_each(|took| self.show("elsewhere", took));
            found.extend(said.unknown.map(|unknown| (format!("{PREFIX}others"), unknown)));
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
        // What one of other settings never hands out stands before its floor as well.
        if let Some(consumer) = counts
            && settings::keeps_acknowledged(&stream.settings)
            && consumer.ack_floor.stream_seq >= stream.state.first_seq
            && let Err(e) = shared.api.purge(name, consumer.ack_floor.stream_seq).await
        {
            tracing::debug!("what is applied stays in the stream: {e}");
        }
        let worked = self.pace.look(&shared.total());
        if let Some(consumer) = &consumer {
            self.take_back(shared, declaration, consumer, &stream, worked).await;
            self.passed_over(shared, declaration, consumer, &stream).await;
        }
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
                    "{} in the stream {name:?} {} acknowledged and not applied, the first of them for {seconds} s or more: {reason}",
                    events(count),
                    if count == 1 { "is" } else { "are" },
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

    /// Takes back what another program was handed out and holds for longer than it may: all that the queue holds is handed out
    /// again, and the ledger knows what is applied.
    async fn take_back<O: Operation, D: Store<O>>(
        &mut self,
        shared: &Shared<O, D>,
        declaration: &Declaration,
        consumer: &ConsumerInfo,
        stream: &StreamInfo,
        worked: Option<(u64, Duration)>,
    ) {
        let Some((first, at)) = self.first else { return };
        let held = consumer.num_ack_pending.saturating_sub(worked.map_or(0, |(open, _)| open));
        let handed_out = first == stream.state.first_seq && first <= consumer.delivered.stream_seq;
        let own = shared.progress.stuck().is_some()
            || shared.progress.is_walking()
            || worked.is_some_and(|(_, time)| time >= PATIENCE)
            || shared.troubles.denials.publish(denied::ACKS);
        let left = consumer.paused || stream.is_sealed() || shared.connection.borrow().lame;
        let since =
            self.asked.look(at, consumer.num_waiting > 0 && self.others.hears_all(declaration.ack_wait));
        if held == 0
            || !handed_out
            || own
            || left
            || !self.replacement.is_due(first, since, declaration.ack_wait)
        {
            return;
        }
        match declaration.replace_consumer(&shared.api).await {
            Ok(_) => self.show("held", reasons::held(&declaration.name, held, since)),
            Err(e) => tracing::debug!("the consumer could not be replaced: {e}"),
        }
    }

    /// Replaces a consumer that has passed over the first message: it does not hand it out any more. That is so after a filter was
    /// taken away from it again, and while others come the rest moves.
    async fn passed_over<O: Operation, D: Store<O>>(
        &mut self,
        shared: &Shared<O, D>,
        declaration: &Declaration,
        consumer: &ConsumerInfo,
        stream: &StreamInfo,
    ) {
        let Some((first, since)) = self.first.map(|(first, at)| (first, at.elapsed())) else { return };
        let passed = first == stream.state.first_seq && first <= consumer.ack_floor.stream_seq;
        let left = consumer.paused || stream.is_sealed() || shared.connection.borrow().lame;
        if !passed
            || left
            || settings::keeps_acknowledged(&stream.settings)
            || shared.progress.is_walking()
            || shared.troubles.denials.publish(denied::ACKS)
            || !self.passed.is_due(first, since, PASSED)
        {
            return;
        }
        match declaration.replace_consumer(&shared.api).await {
            Ok(_) => {
                self.gone.changed();
                self.show("passed", reasons::passed(&declaration.name, first));
            }
            Err(e) => tracing::debug!("the consumer could not be replaced: {e}"),
        }
    }

    /// Shows something that is over already for long enough to be seen.
    pub(super) fn show(&mut self, key: &str, text: String) {
        self.shown.insert(key.to_owned(), (Instant::now() + SHOWN, text));
    }
}
