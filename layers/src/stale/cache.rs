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
        Self { most, most_bytes, entries: HashMap::new(), order: BTreeMap::new(), bytes: 0, next: 0 }
    }

    /// The number of answers and their bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.bytes)
    }
}

impl<Key: Clone + Eq + Hash, Res> Cache<Key, Res> {
    /// Keeps an answer, unless one of a later call is kept, and drops what is too old or too much.
    pub(super) fn put(
        &mut self,
        key: Key,
        response: Arc<Res>,
        bytes: usize,
        began: Instant,
        max_age: Duration,
    ) {
        if self.entries.get(&key).is_some_and(|entry| entry.age.0 > began) {
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
        let now = Instant::now();
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

    /// The answer that is kept, and when its call began.
    pub(super) fn get(&self, key: &Key) -> Option<(Arc<Res>, Instant)> {
        self.entries.get(key).map(|entry| (Arc::clone(&entry.response), entry.age.0))
    }
}
