//! What the client library cannot read ends the connection each time it is delivered, and with it whatever is on its way. So
//! when a connection has ended, what was delivered last is read in another way; and where such a message is found, nothing is
//! asked of the consumer any more: the stream is walked message by message until no more of them come.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{self, Instant};
use tracing::Instrument;

use super::api::{Api, ApiError};
use super::consume::{Consume, Ended};
use super::declare::CONSUMER;
use super::message;
use super::raw::{Raw, Reader};
use super::work::{Size, Work};
use crate::error::{Cause, Code};
use crate::headers::{DROPPED, MSG_ID, OPERATION_ID, UNREAD};
use crate::nats::unreadable;
use crate::operation::Operation;
use crate::service::counters::count;
use crate::service::handle::{self, RETRY};
use crate::service::waiting;
use crate::store::{DeadLetter, Store};

/// After so long without another one the consumer is asked again.
const CALM: Duration = Duration::from_secs(10);
/// The pause between looks for more.
const LOOK: Duration = Duration::from_millis(20);

impl<O: Operation, D: Store<O>> Consume<O, D> {
    /// Whether the stream has to be walked: after a connection that ended, if what was delivered over it and not acknowledged
    /// has a message that cannot be read.
    pub(super) async fn must_walk(&self, work: &mut Work) -> bool {
        if work.unread.is_some_and(|at| at.elapsed() < CALM) {
            return true;
        }
        let times = self.connection.borrow().times;
        if work.looked == times {
            return false;
        }
        match self.is_stuck().await {
            Ok(stuck) => {
                work.looked = times;
                stuck
            }
            Err(e) => {
                tracing::debug!("what was delivered last is not known: {e}");
                false
            }
        }
    }

    async fn is_stuck(&self) -> Result<bool, ApiError> {
        let (api, name) = (&self.shared.api, &self.declaration.name);
        let consumer = api.consumer(name, CONSUMER).await?;
        if consumer.num_ack_pending == 0 {
            return Ok(false);
        }
        let first = api.stream(name).await?.state.first_seq;
        let mut reader = Reader::new(first.max(consumer.ack_floor.stream_seq + 1));
        while reader.next() <= consumer.delivered.stream_seq {
            let some = reader.read(api, name, consumer.delivered.stream_seq).await?;
            if some.iter().any(|raw| raw.readable().is_err()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Walks the stream, applies what can be read and sets the rest aside, until nothing of that kind comes any more.
    pub(super) async fn scan(&mut self, work: &mut Work) -> Ended {
        work.unread = Some(Instant::now());
        self.give_back(work.alone.drain(..).collect()).await;
        self.shared.progress.walks(true);
        let walked = self.walk_on(work).await;
        self.shared.progress.walks(false);
        match walked {
            Ok(ended) => ended,
            Err(e) => Ended::Lost(e.to_string()),
        }
    }

    async fn walk_on(&mut self, work: &mut Work) -> Result<Ended, ApiError> {
        let (api, name) = (self.shared.api.clone(), self.declaration.name.clone());
        let mut reader = Reader::new(1);
        loop {
            let last = api.stream(&name).await?.state.last();
            if reader.next() > last + 1 {
                // The stream was created anew.
                reader = Reader::new(1);
            }
            while reader.next() <= last {
                if self.stop.is_cancelled() {
                    return Ok(Ended::Stopped);
                }
                let mut unread = Vec::new();
                for raw in reader.read(&api, &name, last).await? {
                    match raw.readable() {
                        Err(why) => unread.push((raw, why)),
                        Ok(headers) => {
                            if !self.has_room(work).await {
                                return Ok(Ended::Stopped);
                            }
                            self.take_out(work, raw, headers);
                        }
                    }
                }
                if !unread.is_empty() {
                    work.unread = Some(Instant::now());
                    let all = unread.into_iter().map(|(raw, why)| self.set_aside(raw, why));
                    if join_all(all).await.contains(&false) {
                        return Ok(Ended::Stopped);
                    }
                }
            }
            if self.connection.borrow().lame {
                return Ok(Ended::Lame);
            }
            if work.running.is_empty() && work.unread.is_none_or(|at| at.elapsed() > CALM) {
                break;
            }
            if self.stop.run_until_cancelled(time::sleep(LOOK)).await.is_none() {
                return Ok(Ended::Stopped);
            }
            work.reap();
        }
        // What it still waits for was lost with a connection, and is done.
        if api.consumer(&name, CONSUMER).await?.num_ack_pending > 0 {
            self.declaration.replace_consumer(&api).await?;
        }
        work.broke = false;
        Ok(Ended::Walked)
    }

    /// Waits until one more may be worked on; false when it is time to stop.
    async fn has_room(&mut self, work: &mut Work) -> bool {
        work.reap();
        while !work.has_room(self.shared.in_flight) {
            tokio::select! {
                () = self.stop.cancelled() => return false,
                Some(ended) = work.running.join_next() => work.ended(ended),
            }
        }
        true
    }

    /// Applies a message as one that was delivered, and takes it out of the stream.
    fn take_out(&self, work: &mut Work, raw: Raw, headers: Option<async_nats::HeaderMap>) {
        let (shared, stop) = (Arc::clone(&self.shared), self.stop.clone());
        let (ack_wait, stream) = (self.declaration.ack_wait, self.declaration.name.clone());
        let (place, message) = (raw.place.clone(), raw.message(headers));
        let (bytes, sequence) = (waiting::cost(&message), place.sequence);
        let begun = message::begin(&shared, message, place);
        let size = Size { operations: begun.operations(), bytes };
        work.begins(size);
        work.running.spawn(
            async move {
                if message::apply(&shared, (begun, None), &stop, ack_wait).await {
                    remove(&shared.api, &stream, sequence).await;
                }
                size
            }
            .in_current_span(),
        );
    }

    /// Keeps a message that cannot be read as a dead letter, and takes it out of the stream. False when it is time to stop
    /// and that has not been done.
    async fn set_aside(&self, raw: Raw, why: String) -> bool {
        let (shared, stream) = (&self.shared, &self.declaration.name);
        let sequence = raw.place.sequence;
        let index = shared.names.index(&raw.subject);
        let name = index.map_or("unknown", |index| O::SPECS[index].name);
        let letter = letter(raw, stream, &why);
        let mut pause = RETRY.0;
        let new = loop {
            match shared.db.dead_letter(letter.clone(), true).await {
                Ok(new) => break new,
                Err(e) => shared.troubles.dead_letter_failed(name, &e),
            }
            if !handle::wait(&self.stop, &mut pause).await {
                return false;
            }
        };
        // Counted before the next wait: a connection that ends there ends this, and then it is no new one any more.
        shared.troubles.unreadable.set_aside(&letter.subject, stream, sequence, &why, new);
        // One that was kept before could not be taken out of the stream.
        if new {
            if let Some(counters) = index.map(|index| shared.counters.of(index)) {
                counters.note(&letter.cause);
                [&counters.taken, &counters.refused, &counters.buried].into_iter().for_each(count);
            }
            handle::notice(shared, name, &letter).await;
        }
        remove(&shared.api, stream, sequence).await;
        true
    }
}

/// The message with its bytes: of the header what can be read, and all of it in base64.
fn letter(raw: Raw, stream: &str, why: &str) -> DeadLetter {
    let mut headers = unreadable::salvage(&raw.header);
    // Offered again, it must be the message it was.
    if !headers.iter().any(|(name, _)| OPERATION_ID.is(name) || MSG_ID.is(name)) {
        headers.push((MSG_ID.name.to_owned(), raw.place.id().to_string()));
    }
    headers.retain(|(name, _)| !UNREAD.is(name) && !DROPPED.is(name));
    headers.push((UNREAD.name.to_owned(), super::raw::encode(&raw.header)));
    let sequence = raw.place.sequence;
    let reason = format!("its header cannot be read: {why}; sequence {sequence} of the stream {stream}");
    DeadLetter {
        at: raw.place.arrival(),
        cause: Cause::new(Code::INVALID, reason),
        subject: raw.subject,
        headers,
        payload: raw.payload,
    }
    .bounded()
}

async fn remove(api: &Api, stream: &str, sequence: u64) {
    if let Err(e) = api.remove(stream, sequence).await {
        // It comes again, and is known.
        tracing::debug!(sequence, "a message that is done is still in the stream: {e}");
    }
}
