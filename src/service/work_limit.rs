//! How many operations all services of a process work on at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A namespace has a place for a message of its stream and one for a request, at least.
const LEAST: usize = 2;

/// What several services in one process work on together. Each has a share that no other one can take; beyond it they take
/// from what is common, for as long as there is something.
#[derive(Debug)]
pub(super) struct Total {
    share: usize,
    common: Arc<Semaphore>,
}

/// The part of one service; without others it is not bounded here.
#[derive(Clone, Debug, Default)]
pub(super) struct WorkLimit(Option<Arc<Part>>);

#[derive(Debug)]
struct Part {
    own: Arc<Semaphore>,
    common: Arc<Semaphore>,
}

/// The place of one operation, until it is done; none where it needs none.
#[derive(Debug)]
pub(super) struct WorkPermit(
    #[expect(dead_code, reason = "given back when it is dropped")] Option<OwnedSemaphorePermit>,
);

impl Total {
    /// Half of `most` is the shares of this many services, half is common.
    pub(super) fn new(most: usize, services: usize) -> Self {
        let share = (most / 2 / services.max(1)).max(LEAST);
        let common = (most - most / 2).min(Semaphore::MAX_PERMITS);
        Self { share: share.min(Semaphore::MAX_PERMITS), common: Arc::new(Semaphore::new(common)) }
    }

    /// One more service.
    pub(super) fn part(&self) -> WorkLimit {
        let (own, common) = (Arc::new(Semaphore::new(self.share)), Arc::clone(&self.common));
        WorkLimit(Some(Arc::new(Part { own, common })))
    }
}

impl WorkLimit {
    /// Waits for a place. Cancel safe.
    pub(super) async fn enter(&self) -> WorkPermit {
        let Some(part) = &self.0 else { return WorkPermit(None) };
        let of = |places: &Arc<Semaphore>| Arc::clone(places).acquire_owned();
        tokio::select! {
            biased;
            Ok(place) = of(&part.own) => WorkPermit(Some(place)),
            Ok(place) = of(&part.common) => WorkPermit(Some(place)),
            // They are never closed.
            else => WorkPermit(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn fill(part: &WorkLimit) -> Vec<WorkPermit> {
        std::iter::from_fn(|| part.enter().now_or_never()).take(1000).collect()
    }

    #[test]
    fn one_service_takes_no_place_of_another_and_together_they_are_bounded() {
        let total = Total::new(64, 4);
        let [greedy, modest, late] = [(); 3].map(|()| total.part());
        let all = fill(&greedy);
        assert_eq!(all.len(), 8 + 32, "its share, and what is common");
        let own = fill(&modest);
        assert_eq!(own.len(), 8, "its share");
        drop(all);
        assert_eq!(fill(&late).len(), 8 + 32, "what was common is given back");
        assert_eq!(fill(&Total::new(1, 100).part()).len(), LEAST + 1, "every service has its least");
        assert_eq!(fill(&WorkLimit::default()).len(), 1000, "one alone is not bounded");
    }

    #[tokio::test]
    async fn one_that_waits_goes_on_with_the_first_place_that_is_free() {
        let total = Total::new(8, 2);
        let [one, other] = [(); 2].map(|()| total.part());
        let (mut first, second) = (fill(&one), fill(&other));
        assert_eq!((first.len(), second.len()), (6, 2));
        let mut waits = Box::pin(other.enter());
        assert!(waits.as_mut().now_or_never().is_none());
        // The last one is of what is common.
        drop(first.pop());
        waits.await;
    }
}
