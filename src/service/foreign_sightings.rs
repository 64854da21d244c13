//! What clients have seen of another kind of service: one that answers events alone is asked nothing by this service, because
//! whatever it would be asked might change something there. A client that was answered by it says so with its next ping.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;

use crate::nats::names::Names;

/// For how long a sighting counts. A client says it with each ping for half a minute after the last answer.
const COUNTS: Duration = Duration::from_secs(5);

/// What a client says with its ping.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PingPayload {
    others_answer: Option<Vec<String>>,
}

/// On which subjects of ours something else answers, as clients say.
#[derive(Debug, Default)]
pub(super) struct ForeignSightings(Mutex<BTreeMap<String, Instant>>);

/// Where the client does not know the subject: the answer came late.
const SOME: &str = "one of our subjects";

impl ForeignSightings {
    /// Reads what came with a ping.
    pub(super) fn note(&self, names: &Names, said: &[u8]) {
        if said.is_empty() {
            return;
        }
        let Some(subjects) =
            serde_json::from_slice::<PingPayload>(said).ok().and_then(|word| word.others_answer)
        else {
            return;
        };
        let mut known = subjects;
        known.retain(|subject| names.index(subject).is_some());
        let now = Instant::now();
        let mut all = self.0.lock();
        if known.is_empty() {
            all.insert(SOME.to_owned(), now);
        }
        all.extend(known.into_iter().map(|subject| (subject, now)));
    }

    /// What an operator has to know, if anything was seen.
    pub(super) fn sentence(&self) -> Option<String> {
        let mut all = self.0.lock();
        all.retain(|_, at| at.elapsed() < COUNTS);
        let subjects = all.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        (!all.is_empty()).then(|| {
            format!(
                "clients are answered by another kind of service on {subjects}: what it is sent it may write to a database of its \
                 own. These clients use the database itself until it is gone. Stop it"
            )
        })
    }
}
