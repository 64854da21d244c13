use super::{Cache, Shared, Stale};
use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};
use tower_layer::Layer;

/// Applies [`Stale`] to services. All of them, and all their clones, share the answers.
///
/// By default an answer is kept for a minute, and 1024 answers of 16 MiB together.
///
/// Setting a bound makes a layer of its own, which has kept nothing yet.
pub struct StaleLayer<K, Key, Res> {
    shared: Arc<Shared<K, Key, Res>>,
}

impl<K, Key, Res> StaleLayer<K, Key, Res> {
    /// Keeps the answers that `keep`, a [`Keep`](super::Keep), says.
    pub fn new(keep: K) -> Self {
        Self::of(keep, Duration::from_secs(60), 1024, 16 << 20)
    }

    fn of(keep: K, max_age: Duration, most: usize, most_bytes: usize) -> Self {
        Self { shared: Arc::new(Shared { keep, max_age, kept: Mutex::new(Cache::new(most, most_bytes)) }) }
    }

    /// How many answers are kept, and how many bytes they take; some may be too old to be given.
    pub fn size(&self) -> (usize, usize) {
        self.shared.kept().size()
    }

    /// Drops all answers, and keeps none of a call that is under way: what they are read from is another thing now.
    pub fn forget(&self) {
        self.shared.kept().forget();
    }
}

impl<K: Clone, Key, Res> StaleLayer<K, Key, Res> {
    /// Sets how old an answer may be.
    pub fn max_age(self, age: Duration) -> Self {
        let (keep, most, bytes) = self.parts();
        Self::of(keep, age, most, bytes)
    }

    /// Sets how many answers are kept.
    pub fn most(self, answers: usize) -> Self {
        let (keep, _, bytes) = self.parts();
        Self::of(keep, self.shared.max_age, answers, bytes)
    }

    /// Sets how many bytes all kept answers may take, their keys included; see [`Keep::bytes`](super::Keep::bytes).
    pub fn most_bytes(self, bytes: usize) -> Self {
        let (keep, most, _) = self.parts();
        Self::of(keep, self.shared.max_age, most, bytes)
    }

    fn parts(&self) -> (K, usize, usize) {
        let kept = self.shared.kept();
        (self.shared.keep.clone(), kept.most, kept.most_bytes)
    }
}

impl<S, K, Key, Res> Layer<S> for StaleLayer<K, Key, Res> {
    type Service = Stale<S, K, Key, Res>;

    fn layer(&self, inner: S) -> Self::Service {
        Stale { inner, shared: Arc::clone(&self.shared) }
    }
}

impl<K, Key, Res> Clone for StaleLayer<K, Key, Res> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, Key, Res> fmt::Debug for StaleLayer<K, Key, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaleLayer").field("max_age", &self.shared.max_age).finish_non_exhaustive()
    }
}
