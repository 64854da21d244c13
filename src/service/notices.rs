//! What an operator has to know while it is so: each notice once in the log when it begins and once when it is over, and
//! the same sentence in the answer to the ping and in `$SRV`.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::status::Notice;
use crate::clock;

/// A sentence, and since when it is so, in unix milliseconds.
#[derive(Debug)]
struct Raised {
    sentence: String,
    since: i64,
}

impl Raised {
    fn now(sentence: String) -> Self {
        Self { sentence, since: clock::now() }
    }
}

/// The notices of one service. Every part of the service raises its own, under a key of its own.
#[derive(Debug, Default)]
pub(super) struct Notices {
    now: Mutex<BTreeMap<String, Raised>>,
    so_far: AtomicU64,
}

impl Notices {
    /// What is so now, as sentences.
    pub(super) fn now(&self) -> Vec<String> {
        self.now.lock().values().map(|raised| raised.sentence.clone()).collect()
    }

    /// The same with keys and times.
    pub(super) fn all(&self) -> Vec<Notice> {
        let notice = |(key, Raised { sentence, since }): (&String, &Raised)| Notice {
            key: key.clone(),
            since: *since,
            sentence: sentence.clone(),
        };
        self.now.lock().iter().map(notice).collect()
    }

    /// How many there have been.
    pub(super) fn so_far(&self) -> u64 {
        self.so_far.load(Ordering::Relaxed)
    }

    /// States that `key` is so, with the cause and what to do. Logged only when it begins; a sentence that changes meanwhile
    /// (with a count, say) replaces the earlier one quietly.
    pub(super) fn raise(&self, key: impl Into<String>, sentence: impl Into<String>) {
        let sentence = sentence.into();
        match self.now.lock().entry(key.into()) {
            Entry::Occupied(mut known) => known.get_mut().sentence = sentence,
            Entry::Vacant(new) => {
                self.so_far.fetch_add(1, Ordering::Relaxed);
                tracing::error!("{sentence}");
                new.insert(Raised::now(sentence));
            }
        }
    }

    /// States that `key` is over. Nothing happens if it was not raised.
    pub(super) fn clear(&self, key: &str) {
        if let Some(over) = self.now.lock().remove(key) {
            tracing::info!("resolved: {}", over.sentence);
        }
    }

    /// States what is so under `key`, or that nothing is, where another part of the program has logged it.
    pub(super) fn set(&self, key: &str, sentence: Option<String>) {
        let mut now = self.now.lock();
        match (sentence, now.get_mut(key)) {
            (Some(sentence), Some(known)) => known.sentence = sentence,
            (Some(sentence), None) => {
                self.so_far.fetch_add(1, Ordering::Relaxed);
                now.insert(key.to_owned(), Raised::now(sentence));
            }
            (None, _) => drop(now.remove(key)),
        }
    }

    /// States the notices whose keys begin with `prefix`, all of them: what is missing is over.
    pub(super) fn replace(&self, prefix: &str, found: BTreeMap<String, String>) {
        let known: Vec<String> = {
            let now = self.now.lock();
            now.keys().filter(|key| key.starts_with(prefix)).cloned().collect()
        };
        known.iter().filter(|key| !found.contains_key(*key)).for_each(|key| self.clear(key));
        found.into_iter().for_each(|(key, sentence)| self.raise(key, sentence));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::captured_logs::CapturedLogs;

    #[test]
    fn a_notice_is_said_when_it_begins_and_when_it_is_over() {
        let (heard, _guard) = CapturedLogs::catch();
        let notices = Notices::default();
        notices.raise("progress", "3 events wait");
        notices.raise("progress", "4 events wait");
        notices.replace("stream.", BTreeMap::from([("stream.A".to_owned(), "A is foreign".to_owned())]));
        assert_eq!(notices.now(), ["4 events wait", "A is foreign"]);
        notices.replace("stream.", BTreeMap::new());
        notices.clear("progress");
        notices.clear("progress");
        assert_eq!((notices.now(), notices.so_far()), (vec![], 2));
        assert_eq!(
            heard.take(),
            [
                "ERROR 3 events wait",
                "ERROR A is foreign",
                "INFO resolved: A is foreign",
                "INFO resolved: 4 events wait"
            ]
        );
    }
}
