//! Whether bundles are taken, and whether the stream takes them: only while every instance understands them, because an older one
//! that is handed one by the stream's consumer sets it aside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::nats::bundle::Offer;
use crate::service::instance::InstanceInfo;

/// After so many looks at all instances in a row, none of which has found one that does not understand bundles, the stream takes
/// them.
const LOOKS: u8 = 2;

/// What this service does with bundles.
#[derive(Clone, Debug)]
pub(in crate::service) struct Bundles {
    taken: bool,
    /// Whether the stream has their subject, as far as it is known.
    stored: Arc<AtomicBool>,
    /// How many looks in a row were good.
    looks: Arc<AtomicU8>,
    /// How many operations of bundles are worked on at once.
    room: Arc<Semaphore>,
}

/// What an instance tells of itself and of bundles. It is no part of what is proven: an older instance would find the proof wrong.
#[derive(Serialize)]
pub(in crate::service) struct InstanceReply {
    #[serde(flatten)]
    who: InstanceInfo,
    bundles: bool,
}

/// Whether the instance that has told this understands bundles.
pub(in crate::service) fn of_instance(told: &[u8]) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Understands {
        bundles: bool,
    }
    serde_json::from_slice(told).is_ok_and(|Understands { bundles }| bundles)
}

impl Bundles {
    pub(in crate::service) fn new(taken: bool, in_flight: usize) -> Self {
        Self {
            taken,
            stored: Arc::default(),
            looks: Arc::default(),
            room: Arc::new(Semaphore::new(in_flight.clamp(1, Semaphore::MAX_PERMITS))),
        }
    }

    /// Whether clients may send them.
    pub(in crate::service) const fn are_taken(&self) -> bool {
        self.taken
    }

    /// What clients are told.
    pub(in crate::service) fn offer(&self) -> Option<Offer> {
        self.taken.then(|| Offer { stream: self.are_stored(), ..Offer::MOST })
    }

    pub(in crate::service) const fn of(&self, who: InstanceInfo) -> InstanceReply {
        InstanceReply { who, bundles: self.taken }
    }

    /// A place for one operation of a bundle. Cancel safe.
    pub(in crate::service) async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        // It is never closed.
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    /// Whether the stream takes them.
    pub(in crate::service) fn are_stored(&self) -> bool {
        self.stored.load(Ordering::Acquire)
    }

    /// Takes note of whether it does. One that took the subject away may not have been heard in the looks before.
    pub(in crate::service) fn set_stored(&self, stored: bool) {
        if self.stored.swap(stored, Ordering::AcqRel) && !stored {
            self.looks.store(0, Ordering::Relaxed);
        }
    }

    /// Takes note of a look at all instances. Returns whether the stream may take bundles now, and does not yet.
    pub(in crate::service) fn look(&self, all_understand: bool) -> bool {
        if !(self.taken && all_understand) {
            self.looks.store(0, Ordering::Relaxed);
            self.set_stored(false);
            return false;
        }
        let looks = self.looks.load(Ordering::Relaxed).saturating_add(1);
        self.looks.store(looks, Ordering::Relaxed);
        looks >= LOOKS && !self.are_stored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_takes_bundles_only_while_all_instances_understand_them() {
        let bundles = Bundles::new(true, 1);
        assert!(!bundles.look(true), "one look may have missed an instance");
        assert!(bundles.look(true));
        bundles.set_stored(true);
        assert!(!bundles.look(true) && bundles.are_stored(), "it does already");
        assert!(!bundles.look(false) && !bundles.are_stored(), "an older one is there");
        assert!(!bundles.look(true) && bundles.look(true));
        bundles.set_stored(true);
        bundles.set_stored(false);
        assert!(!bundles.look(true), "an instance that was not heard has taken the subject from the stream");
        bundles.set_stored(false);
        assert!(bundles.look(true), "that it is not there is no news");
        let off = Bundles::new(false, 1);
        assert!(!off.look(true) && !off.look(true) && off.offer().is_none());
    }

    #[test]
    fn what_an_instance_tells_of_bundles_is_no_part_of_what_an_older_one_reads() {
        let told = serde_json::to_vec(&Bundles::new(true, 1).of(InstanceInfo::default())).unwrap_or_default();
        let plain = serde_json::to_vec(&InstanceInfo::default()).unwrap_or_default();
        assert!(of_instance(&told) && !of_instance(&plain) && !of_instance(b"nonsense"));
        let read: InstanceInfo = serde_json::from_slice(&told).unwrap_or_default();
        assert_eq!(serde_json::to_vec(&read).unwrap_or_default(), plain);
    }
}
