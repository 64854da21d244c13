//! One operation of a message of the stream: tried until it is applied or kept as a dead letter.

use std::time::{Duration, Instant};

use async_nats::{Message, Subject};
use eitherway_layers::{Class, Classify};
use tokio::time;
use tokio_util::sync::CancellationToken;

use super::ack::{AckInfo, PROGRESS, say};
use crate::error::Cause;
use crate::nats::bundle::operations::Entry;
use crate::nats::wire;
use crate::operation::Operation;
use crate::request::Request;
use crate::service::handle::{self, RETRY, wait};
use crate::service::outage::{PendingPermit, RetryPermit, is_of_the_database};
use crate::service::work_limit::WorkPermit;
use crate::service::{Shared, bundle};
use crate::store::{DeadLetter, Store};

/// How a message ended.
pub(super) enum End {
    Applied,
    /// Kept as a dead letter; or it was kept before.
    DeadLettered {
        new: bool,
    },
    Returned,
}

/// The first try.
pub(super) enum First<O: Operation, D: Store<O>> {
    /// It lies before the database.
    Called(RetryPermit, D::Future),
    /// The database fails.
    Waits(PendingPermit, Request<O>),
}

/// A message that is worked on.
pub(super) struct Delivery<'a, O, D> {
    pub(super) shared: &'a Shared<O, D>,
    pub(super) message: &'a Message,
    pub(super) info: AckInfo,
    pub(super) reply: &'a Subject,
    pub(super) stop: &'a CancellationToken,
    pub(super) ack_wait: Duration,
    pub(super) since: Instant,
}

pub(super) struct Attempt<'a, O, D> {
    pub(super) delivery: &'a Delivery<'a, O, D>,
    pub(super) shared: &'a Shared<O, D>,
    /// The operation, if it came in a bundle.
    pub(super) entry: Option<&'a Entry>,
    pub(super) free: Option<WorkPermit>,
    /// When the stream last heard of this message.
    pub(super) kept_alive: Instant,
}

impl<O: Operation, D: Store<O>> Attempt<'_, O, D> {
    pub(super) async fn perform(
        &mut self,
        name: &'static str,
        first: First<O, D>,
        stop: &CancellationToken,
    ) -> End {
        let shared = self.shared;
        let (mut pause, mut again, mut failures) = (RETRY.0, shared.progress.taken(name), 0);
        let (mut permit, mut call) = match first {
            First::Called(permit, call) => (permit, call),
            First::Waits(pending, request) => match self.wait_for_permit(pending, stop).await {
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
            tracing::debug!(operation = name, sequence = self.delivery.info.sequence, "later: {cause}");
            self.shared.troubles.database_fails(name, &cause);
            self.note(name, &cause);
            again.because(&cause);
            if !self.fails(&cause, permit, (&mut failures, &mut pause), stop).await {
                return End::Returned;
            }
            let next = self.permit(failures, stop).await;
            match error.into_request().zip(next) {
                Some((same, next)) => (permit, call) = (next, shared.db.clone().call(same)),
                None => return End::Returned,
            }
        }
    }

    /// Keeps a message that cannot be applied, before it is acknowledged.
    pub(super) async fn keep_dead_letter(
        &mut self,
        name: &str,
        cause: Cause,
        stop: &CancellationToken,
    ) -> End {
        let index = O::SPECS.iter().position(|spec| spec.name == name).unwrap_or(usize::MAX);
        let letter = self.letter(index, &cause);
        self.shared.troubles.refused(index, &letter.subject, &cause);
        self.note(name, &cause);
        let known = O::SPECS.get(index).map_or("unknown", |spec| spec.name);
        let (mut pause, mut again) = (RETRY.0, self.shared.progress.taken(known));
        let mut failures = 0;
        let new = loop {
            let Some(permit) = self.permit(failures, stop).await else { return End::Returned };
            let cause = match self.keep(&letter).await {
                Ok(new) => {
                    permit.served();
                    break new;
                }
                Err(cause) => cause,
            };
            self.shared.troubles.dead_letter_failed(name, &cause);
            again.because(&cause);
            if !self.fails(&cause, permit, (&mut failures, &mut pause), stop).await {
                return End::Returned;
            }
        };
        if new {
            handle::notice(self.shared, name, &letter).await;
        }
        End::DeadLettered { new }
    }

    fn letter(&self, index: usize, cause: &Cause) -> DeadLetter {
        let Delivery { message, info, shared, .. } = self.delivery;
        if let Some(entry) = self.entry {
            let of = O::SPECS.get(index).map(|spec| (shared.names.subject(index), spec));
            return bundle::letter(
                entry,
                of.ok_or(&message.subject),
                &message.payload,
                info.arrival(),
                cause,
            );
        }
        let mut letter = handle::letter(message, info.arrival(), cause);
        // Offered again, it must be the message it was.
        if !wire::names_id(message.headers.as_ref()) {
            letter.headers.push((wire::ID.to_string(), info.id().to_string()));
        }
        letter
    }

    fn note(&self, name: &str, cause: &Cause) {
        if let Some(index) = O::SPECS.iter().position(|spec| spec.name == name) {
            self.shared.counters.of(index).note(cause);
        }
    }

    /// Keeps a letter; whether it was not kept before.
    async fn keep(&self, letter: &DeadLetter) -> Result<bool, Cause> {
        // The process may have died between keeping it and acknowledging it.
        let again = self.delivery.info.delivered > 1;
        self.shared.db.dead_letter(letter.clone(), again).await
    }

    /// After a failure: one of the database lets the next turn decide when it is tried again, any other one a pause. Whether it
    /// is tried again at all.
    async fn fails(
        &mut self,
        cause: &Cause,
        permit: RetryPermit,
        (failures, pause): (&mut u32, &mut Duration),
        stop: &CancellationToken,
    ) -> bool {
        if is_of_the_database(cause) {
            permit.failed();
            *failures += 1;
            return true;
        }
        drop(permit);
        self.wait(stop, pause).await
    }

    /// The permit for the next try, at once or when its turn comes.
    async fn permit(&mut self, failures: u32, stop: &CancellationToken) -> Option<RetryPermit> {
        match self.shared.outage.enter(failures) {
            Ok(permit) => Some(permit),
            Err(pending) => self.wait_for_permit(pending, stop).await,
        }
    }

    /// Waits for the turn, and keeps the server from delivering the message again meanwhile; none, when it is time to stop.
    async fn wait_for_permit(
        &mut self,
        mut pending: PendingPermit,
        stop: &CancellationToken,
    ) -> Option<RetryPermit> {
        let places = self.free.take().map(|_| &self.shared.work_limit);
        let permit = loop {
            let silent = (self.delivery.ack_wait / 4).saturating_sub(self.kept_alive.elapsed());
            tokio::select! {
                biased;
                () = stop.cancelled() => return None,
                permit = &mut pending => break permit,
                () = time::sleep(silent) => {
                    say(&self.shared.client, self.delivery.reply, PROGRESS).await;
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
        if self.kept_alive.elapsed() > self.delivery.ack_wait / 4 {
            say(&self.shared.client, self.delivery.reply, PROGRESS).await;
            self.kept_alive = Instant::now();
        }
        // Never longer than the stream may wait for a word.
        *pause = (*pause).min(self.delivery.ack_wait / 4);
        wait(stop, pause).await
    }
}
