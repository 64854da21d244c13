//! Old answers to queries that no path answers.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use eitherway_layers::StaleLayer;
use eitherway_layers::stale::Keep;
use tokio::sync::watch;

use crate::clock;
use crate::health::Health;
use crate::operation::{Kind, Operation};
use crate::reply::{Ack, Reply, Via};
use crate::request::Request;

/// The layer that keeps the answers to queries of `O` for so long.
pub(super) type StaleQueries<O> = StaleLayer<Queried, Key, Reply<<O as Operation>::Answer>>;

pub(super) fn stale_queries<O: Operation>(max_age: Duration) -> StaleQueries<O> {
    StaleLayer::new(Queried).max_age(max_age)
}

/// The old answers that a stack keeps ([`StackBuilder::stale`](super::StackBuilder::stale)), none by default. Clones share
/// them. A [`Runtime`](crate::runtime::Runtime) forgets them as it must; where a stack stands alone, its owner does.
#[derive(Clone, Default)]
pub struct StaleAnswers {
    forget: Option<Arc<dyn Fn() + Send + Sync>>,
}

impl StaleAnswers {
    pub(super) fn of<O: Operation>(layer: Option<&StaleQueries<O>>) -> Self {
        let forget = layer.cloned().map(|layer| Arc::new(move || layer.forget()) as Arc<_>);
        Self { forget }
    }

    /// Drops all of them, also those of queries that are under way: they are of another database than the one that is read now.
    pub fn forget(&self) {
        self.forget.iter().for_each(|forget| forget());
    }

    /// Watches the health of the bus until the channel closes, and forgets when it leads to another database than before.
    ///
    /// Spawns a task, so it must be called within a tokio runtime.
    pub fn bind_health(&self, mut bus: watch::Receiver<Health>) {
        if self.forget.is_none() {
            return;
        }
        let answers = self.clone();
        tokio::spawn(async move {
            let mut known: Option<String> = None;
            loop {
                let now = bus.borrow_and_update().database.as_ref().map(|database| database.id.clone());
                // While it leads to none, the one before it is still the last known.
                if let Some(now) = now
                    && known.as_ref() != Some(&now)
                    && known.replace(now).is_some()
                {
                    answers.forget();
                }
                if bus.changed().await.is_err() {
                    return;
                }
            }
        });
    }
}

impl fmt::Debug for StaleAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaleAnswers").field("kept", &self.forget.is_some()).finish()
    }
}

/// Keeps the answers to queries, and to nothing else, because calls and events change something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queried;

/// The index of a query and its payload: all that its answer depends on, beside the database and the time.
pub(super) type Key = (usize, Vec<u8>);

/// How far from now, in milliseconds, a query may say it happens and still ask for what is true now: it may have waited.
const NOW: u64 = 2_000;

/// Whether the answer is the same as that of an equal query that is asked now. One that was received from elsewhere is
/// forwarded as it is, and cut to a length of its own.
fn is_asked_now<O>(request: &Request<O>) -> bool {
    request.received().is_none() && clock::now().abs_diff(request.head.occurred_at) <= NOW
}

impl<O: Operation> Keep<Request<O>, Reply<O::Answer>> for Queried {
    type Key = Key;

    fn key(&self, request: &Request<O>) -> Option<Key> {
        let may_be_kept = request.op.spec().kind == Kind::Query && is_asked_now(request);
        may_be_kept
            .then(|| request.op.payload().ok())
            .flatten()
            .map(|payload| (request.op.index(), payload.to_vec()))
    }

    /// As many as the answer has when it is encoded, and twice those of the payload. One that cannot be encoded is not kept.
    fn bytes(&self, (_, payload): &Key, reply: &Reply<O::Answer>) -> usize {
        O::encode_answer(reply.answer.clone()).map_or(usize::MAX, |bytes| bytes.len() + 2 * payload.len())
    }

    fn mark(&self, reply: &mut Reply<O::Answer>, age: Duration) {
        (reply.via, reply.ack) = (Via::STALE, Ack::Stale { age });
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::health::Database;
    use crate::operation::Done;
    use crate::sample::{Answer, Sample};

    #[test]
    fn a_kept_answer_weighs_its_payload_twice() {
        let reply = Reply { via: Via::DB, ack: Ack::Committed, answer: Answer::Take(Done {}), omitted: 0 };
        let weight =
            |payload: usize| Keep::<Request<Sample>, _>::bytes(&Queried, &(0, vec![0; payload]), &reply);
        assert!(weight(0) > 0);
        assert_eq!(weight(256 << 10), weight(0) + (512 << 10));
    }

    #[tokio::test]
    async fn what_was_read_from_another_database_is_forgotten_and_a_first_or_a_missing_word_is_no_other() {
        let forgotten = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&forgotten);
        let forget = move || {
            count.fetch_add(1, Ordering::Relaxed);
        };
        let (tell, heard) = watch::channel(Health::unknown());
        StaleAnswers { forget: Some(Arc::new(forget)) }.bind_health(heard);
        for (id, times) in [("a", 0), ("", 0), ("a", 0), ("", 0), ("b", 1), ("b", 1), ("a", 2)] {
            let database = Database { id: id.to_owned(), ..Database::default() };
            tell.send_modify(|health| health.database = (!id.is_empty()).then_some(database));
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            assert_eq!(forgotten.load(Ordering::Relaxed), times, "{id}");
        }
    }
}
