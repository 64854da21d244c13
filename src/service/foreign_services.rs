//! Services that answer on our subjects and are not ours: until when each counts, and what is said of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::Shared;
use crate::hints::option;
use crate::operation::Operation;
use crate::store::Store;

/// The most services that are named.
const NAMED: usize = 16;

/// What the keys of these notices begin with.
const PREFIX: &str = "neighbour.";

/// On which subject, or under which name, and when last.
pub(super) type Sightings = BTreeMap<String, Instant>;

#[derive(Default)]
pub(super) struct ForeignServices {
    /// Of another kind, by the subject of a query.
    pub(super) kinds: Sightings,
    /// Ours, on another database.
    pub(super) databases: Sightings,
    /// Of another kind, by the name under which it introduces itself.
    pub(super) named: Sightings,
    /// Ours, on a copy of the file: what is said of it.
    copies: BTreeMap<String, (String, Instant)>,
    accepted: BTreeSet<String>,
}

impl ForeignServices {
    pub(super) fn note_copy(&mut self, instance: &str, sentence: impl FnOnce() -> String, now: Instant) {
        if self.copies.len() < NAMED {
            self.copies.insert(instance.to_owned(), (sentence(), now));
        }
    }

    /// Forgets what has not answered for this long: queries, `$SRV.INFO`, and the question for copies.
    pub(super) fn forget(&mut self, queries: Duration, named: Duration, copies: Duration) {
        for found in [&mut self.kinds, &mut self.databases] {
            found.retain(|_, at| at.elapsed() < queries);
        }
        self.named.retain(|_, at| at.elapsed() < named);
        self.copies.retain(|_, (_, at)| at.elapsed() < copies);
    }

    /// Names what there is, and tells our clients to leave these subjects for as long.
    pub(super) fn tell<O: Operation, D: Store<O>>(&mut self, shared: &Shared<O, D>) {
        let listed = |found: &Sightings| found.keys().cloned().collect::<Vec<_>>().join(", ");
        let until = format!(
            "Until it is gone our clients leave NATS and use the database itself. Stop it, or start this service with {} if \
             both are meant to run",
            option("takeover")
        );
        let mut foreign = BTreeMap::new();
        if !self.kinds.is_empty() {
            let subjects = listed(&self.kinds);
            let sentence = format!(
                "another kind of service answers on {subjects}, as the Python bot's database service does: what it is sent \
                 it may write to a database of its own. {until}"
            );
            foreign.insert(format!("{PREFIX}kind"), sentence);
        }
        if !self.named.is_empty() {
            let names = listed(&self.named);
            let sentence = format!(
                "another kind of service has endpoints on our subjects ($SRV.INFO): {names}. {until}"
            );
            foreign.insert(format!("{PREFIX}micro"), sentence);
        }
        let mut notices = if shared.takeover { self.accept(foreign) } else { foreign };
        if !self.databases.is_empty() {
            let (others, own) = (listed(&self.databases), shared.db.id());
            let sentence = format!(
                "a database service on another database ({others}) answers here as well; this one is {own}. Until it is \
                 gone our clients use the database itself. Start both on the same file, or stop one"
            );
            notices.insert(format!("{PREFIX}database"), sentence);
        }
        for (instance, (sentence, _)) in &self.copies {
            notices.insert(format!("{PREFIX}copy.{instance}"), sentence.clone());
        }
        shared.foreign.store(!notices.is_empty(), Ordering::Relaxed);
        // On the word of a client no other client leaves.
        if !shared.takeover
            && let Some(sentence) = shared.troubles.sighted.sentence()
        {
            notices.insert(format!("{PREFIX}sighted"), sentence);
        }
        shared.notices.replace(PREFIX, notices);
    }

    /// The operator has said that it may be there: it is said once.
    fn accept(&mut self, foreign: BTreeMap<String, String>) -> BTreeMap<String, String> {
        for (key, sentence) in foreign {
            if self.accepted.insert(key) {
                tracing::warn!("taking over, as {} says: {sentence}", option("takeover"));
            }
        }
        BTreeMap::new()
    }
}

pub(super) fn note(found: &mut Sightings, key: String, now: Instant) {
    if found.len() < NAMED || found.contains_key(&key) {
        found.insert(key, now);
    }
}
