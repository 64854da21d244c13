//! The answers that are kept, within bounds.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Cache<Key, Res> {
    pub(super) most: usize,
    pub(super) most_bytes: usize,
    entries: HashMap<Key, Entry<Res>>,
    /// The keys of all entries, oldest first.
    order: BTreeMap<Age, Key>,
    bytes: usize,
    next: u64,
    /// When everything was last forgotten.
    forgotten: Option<Instant>,
}

/// When the call of an answer began, and a number that tells answers of the same time apart.
type Age = (Instant, u64);

#[derive(Debug)]
struct Entry<Res> {
    response: Arc<Res>,
    age: Age,
    bytes: usize,
}

impl<Key, Res> Cache<Key, Res> {
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        let (entries, order) = (HashMap::new(), BTreeMap::new());
        Self { most, most_bytes, entries, order, bytes: 0, next: 0, forgotten: None }
    }

    /// The number of answers and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }

    /// Drops all answers, and keeps none of a call that has begun already.
    pub(super) fn forget(&mut self) {
        let Self { most, most_bytes, next, .. } = *self;
        *self = Self { next, forgotten: Some(Instant::now()), ..Self::new(most, most_bytes) };
    }
}

impl<Key: Clone + Eq + Hash, Res> Cache<Key, Res> {
    /// Keeps an answer, unless one of a later call is kept or all were forgotten meanwhile, and drops what is too old or too
    /// much.
    pub(super) fn put(
        &mut self,
        key: Key,
        response: Arc<Res>,
        bytes: usize,
        began: Instant,
        max_age: Duration,
    ) {
        let is_forgotten = self.forgotten.is_some_and(|at| began <= at);
        if is_forgotten || self.entries.get(&key).is_some_and(|entry| entry.age.0 > began) {
            return;
        }
        // One that does not fit is not kept, and the one before it is out of date.
        self.remove(&key);
        if bytes <= self.most_bytes {
            self.next += 1;
            let age = (began, self.next);
            self.order.insert(age, key.clone());
            self.entries.insert(key, Entry { response, age, bytes });
            self.bytes += bytes;
        }
        self.prune(Instant::now(), max_age);
    }

    fn prune(&mut self, now: Instant, max_age: Duration) {
        while let Some((age, oldest)) = self.order.first_key_value()
            && (self.entries.len() > self.most
                || self.bytes > self.most_bytes
                || now.duration_since(age.0) > max_age)
        {
            let oldest = oldest.clone();
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.age);
            self.bytes -= entry.bytes;
        }
    }

    /// A call that began then was refused: the answer to an earlier one does not hold any more.
    pub(super) fn refused(&mut self, key: &Key, began: Instant) {
        if self.entries.get(key).is_some_and(|entry| entry.age.0 <= began) {
            self.remove(key);
        }
    }

    /// The answer that is kept, and its age. Drops what is too old.
    pub(super) fn get(&mut self, key: &Key, max_age: Duration) -> Option<(Arc<Res>, Duration)> {
        let now = Instant::now();
        self.prune(now, max_age);
        let entry = self.entries.get(key)?;
        Some((Arc::clone(&entry.response), now.duration_since(entry.age.0)))
    }
}
