//! Requests that have come and are not done: bounded in bytes, over all subjects, because the client library bounds them by
//! number alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_nats::{HeaderMap, Message};
use bytes::Bytes;

use crate::operation::MAX_PAYLOAD;

/// A message with more than this is no operation, whatever it says: only its beginning is kept, from the moment it comes.
const LARGEST: usize = 2 * MAX_PAYLOAD;
/// How much of it.
const BEGINNING: usize = 4 << 10;
/// How many bytes may wait or be at work, over all subjects, unless something else is said. What comes beyond that is dropped,
/// and counted as an overrun.
pub(super) const MOST: usize = 32 << 20;
/// How many bytes of one subject are worked on at once, beside their number.
pub(super) const AT_WORK: usize = 4 << 20;
/// What a message costs beside its bytes, and each of its headers.
pub(super) const OVERHEAD: usize = 512;
const HEADER: usize = 192;

/// What waits or is worked on over all subjects of a service, in bytes.
#[derive(Clone, Debug)]
pub(super) struct Capacity(Arc<Bounds>);

#[derive(Debug)]
struct Bounds {
    taken: AtomicUsize,
    most: usize,
    pool: Option<Arc<Pool>>,
}

/// What several services in one process hold together, in bytes. Each has a share that no other one can take; beyond it they
/// take from what is common, for as long as there is something.
#[derive(Debug)]
pub(super) struct Pool {
    share: usize,
    common: usize,
    lent: AtomicUsize,
}

impl Pool {
    /// Half of `most` is the shares of this many services, half is common.
    pub(super) const fn new(most: usize, services: usize) -> Self {
        let share = most / 2 / if services == 0 { 1 } else { services };
        Self { share, common: most - most / 2, lent: AtomicUsize::new(0) }
    }
}

/// The place that one message takes, until it is done.
#[derive(Debug)]
pub(super) struct QueuePosition {
    room: Capacity,
    cost: usize,
}

impl Capacity {
    /// Room for this many bytes; of these, what is beyond its share of a pool comes from what is common there.
    pub(super) fn new(most: usize, pool: Option<Arc<Pool>>) -> Self {
        Self(Arc::new(Bounds { taken: AtomicUsize::new(0), most, pool }))
    }

    /// Makes room for a message, and leaves only the beginning of one that is too large. None if there is none: it is lost.
    pub(super) fn take(&self, message: &mut Message) -> Option<QueuePosition> {
        if is_cut(message) {
            cut(message);
        } else {
            // In memory of its own: it may lie in what was read together with much larger messages.
            message.payload = Bytes::copy_from_slice(&message.payload);
        }
        let cost = cost(message);
        let (bounds, place) = (&*self.0, QueuePosition { room: self.clone(), cost });
        let taken = bounds.taken.fetch_add(cost, Ordering::Relaxed) + cost;
        let lent = bounds.pool.as_ref().is_none_or(|pool| {
            let more = pool.beyond(taken - cost, taken);
            // What is within the share is never refused.
            pool.lent.fetch_add(more, Ordering::Relaxed) + more <= pool.common || more == 0
        });
        (taken <= bounds.most && lent).then_some(place)
    }
}

impl Pool {
    /// How much of what lies between these is beyond the share.
    const fn beyond(&self, less: usize, more: usize) -> usize {
        more.saturating_sub(self.share) - less.saturating_sub(self.share)
    }
}

impl QueuePosition {
    pub(super) const fn cost(&self) -> usize {
        self.cost
    }
}

impl Drop for QueuePosition {
    fn drop(&mut self) {
        let bounds = &*self.room.0;
        let taken = bounds.taken.fetch_sub(self.cost, Ordering::Relaxed);
        if let Some(pool) = &bounds.pool {
            pool.lent.fetch_sub(pool.beyond(taken - self.cost, taken), Ordering::Relaxed);
        }
    }
}

/// Whether a message was more than any operation can be, and what is here is its beginning.
pub(super) const fn is_cut(message: &Message) -> bool {
    message.length > LARGEST
}

/// What a message costs in memory: many small headers are far more than their bytes.
pub(super) fn cost(message: &Message) -> usize {
    let headers =
        message.headers.iter().flat_map(HeaderMap::iter).map(|(_, values)| values.len()).sum::<usize>();
    OVERHEAD + headers * HEADER + if is_cut(message) { 2 * BEGINNING } else { message.length }
}

/// Leaves the beginning, in memory of its own: the rest of what it came with is free then.
fn cut(message: &mut Message) {
    let header = message.length.saturating_sub(message.payload.len());
    if header > BEGINNING {
        message.headers = None;
    }
    let end = message.payload.len().min(BEGINNING);
    message.payload = Bytes::copy_from_slice(&message.payload[..end]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Message {
        Message {
            subject: "s".into(),
            reply: None,
            payload: vec![b'x'; bytes].into(),
            headers: None,
            status: None,
            description: None,
            length: bytes + 1,
        }
    }

    #[test]
    fn what_waits_is_bounded_over_all_subjects_and_what_is_too_large_is_never_kept_whole() {
        let room = Capacity::new(MOST, None);
        let mut places = Vec::new();
        for _ in 0..1_000 {
            let mut large = message(1 << 20);
            places.push(room.take(&mut large).expect("there is room for its beginning"));
            assert!(is_cut(&large) && large.payload.len() == BEGINNING);
        }
        while let Some(place) = room.take(&mut message(LARGEST - 1)) {
            places.push(place);
        }
        assert!(room.0.taken.load(Ordering::Relaxed) <= MOST);
        places.pop();
        assert!(room.take(&mut message(LARGEST - 1)).is_some(), "one is done");
        places.clear();
        assert_eq!(room.0.taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn one_service_takes_no_share_of_another_and_together_they_are_bounded() {
        let pool = Arc::new(Pool::new(8 << 20, 4));
        let [greedy, modest, late] = [(); 3].map(|()| Capacity::new(MOST, Some(Arc::clone(&pool))));
        let fill = |room: &Capacity| {
            let mut places = Vec::new();
            while let Some(place) = room.take(&mut message(64 << 10)) {
                places.push(place);
            }
            places
        };
        let held = |places: &[QueuePosition]| places.iter().map(QueuePosition::cost).sum::<usize>();
        let all = fill(&greedy);
        assert!((4 << 20..=5 << 20).contains(&held(&all)), "its share, and what is common: {}", held(&all));
        let own = fill(&modest);
        assert!(held(&own) >= 900 << 10, "its share: {}", held(&own));
        assert!(held(&all) + held(&own) <= 6 << 20, "two shares, and what is common");
        drop(all);
        assert!(held(&fill(&late)) > 4 << 20, "what was lent is given back");
        drop(own);
        let lent = pool.lent.load(Ordering::Relaxed);
        assert_eq!(lent, 0);
    }
}
