//! InstanceInfo this instance is, and whether another one works on the same file: one that serves a copy has the same database id.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::time;

use super::ServeError;
use super::received::{Received, Share};
use crate::clock;
use crate::known_time::Reading;
use crate::store::{Enrolled, Instances};

/// How long the database may take to say whether it knows an instance.
const LIMIT: Duration = Duration::from_secs(1);
/// How often an instance writes down again that it is there, in milliseconds.
const AGAIN: i64 = 60_000;
/// One that was not written down again for so long, in milliseconds, is not there any more.
pub(super) const THERE: i64 = 2 * AGAIN;

/// This instance.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) id: String,
    /// In unix milliseconds.
    pub(super) started: i64,
    file: String,
    host: String,
    machine: String,
    /// When it was last written down in its file; 0 if it is not yet.
    seen: AtomicI64,
    secret: OnceLock<String>,
    /// How often it has asked.
    asked: AtomicU64,
}

/// What an instance tells of itself on `SERVICE.who`. An older one tells its mode only.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct InstanceInfo {
    pub(super) mode: String,
    pub(super) instance: String,
    pub(super) started: i64,
    /// When it was last written down in its file; 0 if it is not yet.
    pub(super) seen: i64,
    pub(super) file: String,
    pub(super) host: String,
    /// Two with the same one share a clock.
    pub(super) machine: String,
    pub(super) time: i64,
    /// Whether the instance that asks is written down in the file of the one that answers.
    pub(super) knows: Option<bool>,
    /// What it has received from the stream's consumer, where it was asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) received: Option<Share>,
    /// That the one that answers has the file or a copy of it: a hash of all this, of what was asked and of the secret in the
    /// file. Without it the rest is a stranger's word.
    pub(super) proof: String,
}

/// What an instance asks there. An older one, or a person, asks without.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Question {
    pub(super) instance: String,
    pub(super) seen: i64,
    /// Another one each time, so that no earlier answer stands for this one.
    pub(super) nonce: String,
    /// The number of a delivery of the stream's consumer: what was received up to it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) up_to: Option<u64>,
}

impl Instance {
    pub(super) fn new(file: &str) -> Self {
        let whole = std::fs::canonicalize(file).map(|path| path.display().to_string());
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            id: uuid::Uuid::new_v4().simple().to_string(),
            started: clock::now(),
            file: whole.unwrap_or_else(|_| file.to_owned()),
            host: host.trim().to_owned(),
            machine: Reading::machine(),
            seen: AtomicI64::new(0),
            secret: OnceLock::new(),
            asked: AtomicU64::new(0),
        }
    }

    pub(super) fn seen(&self) -> i64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Writes down that this instance has the file open, if that is not so or was long ago. A database that cannot be
    /// written now is asked again.
    pub(super) async fn enrol(&self, db: &impl Instances) {
        let seen = self.seen();
        let recent = clock::now().saturating_sub(seen).saturating_abs() < AGAIN;
        if seen != 0 && recent {
            // A copy that was put in the place of the file knows an earlier time, or none.
            let known = time::timeout(LIMIT, db.seen(&self.id)).await;
            if !matches!(known, Ok(Ok(known)) if known.is_none_or(|known| known < seen)) {
                return;
            }
        }
        match db.enrol(&self.id, self.started).await {
            Ok(Enrolled { seen, secret }) => {
                // The same each time.
                secret.into_iter().for_each(|secret| drop(self.secret.set(secret)));
                self.seen.store(seen, Ordering::Relaxed);
            }
            Err(cause) => tracing::debug!("this instance could not be written down in its file: {cause}"),
        }
    }

    pub(super) fn question(&self, up_to: Option<u64>) -> String {
        let asked = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let question =
            Question { instance: self.id.clone(), seen: self.seen(), nonce: self.nonce(asked), up_to };
        serde_json::to_string(&question).unwrap_or_default()
    }

    pub(super) async fn who(
        &self,
        db: &impl Instances,
        mode: &str,
        received: &Received,
        asked: &[u8],
    ) -> InstanceInfo {
        let question: Question = serde_json::from_slice(asked).unwrap_or_default();
        let knows = if question.instance == self.id {
            None
        } else {
            knows(db, &question.instance, question.seen).await
        };
        let mut who = InstanceInfo {
            mode: mode.to_owned(),
            instance: self.id.clone(),
            started: self.started,
            seen: self.seen(),
            file: self.file.clone(),
            host: self.host.clone(),
            machine: self.machine.clone(),
            time: clock::now(),
            knows,
            received: question.up_to.and_then(|up_to| received.share(up_to)),
            proof: String::new(),
        };
        who.proof = self.proof(&question.nonce, &who).unwrap_or_default();
        who
    }

    fn nonce(&self, asked: u64) -> String {
        format!("{} {asked}", self.id)
    }

    fn proof(&self, nonce: &str, who: &InstanceInfo) -> Option<String> {
        let secret = self.secret.get()?;
        let said = serde_json::to_string(&InstanceInfo { proof: String::new(), ..who.clone() }).ok()?;
        let hash = Sha256::digest(format!("{secret}\n{nonce}\n{said}\n{secret}"));
        Some(hash.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Whether an answer to one of the last questions comes from an instance that has this file or a copy of it.
    pub(super) fn is_proven(&self, who: &InstanceInfo) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        (asked.saturating_sub(2)..=asked)
            .filter_map(|asked| self.proof(&self.nonce(asked), who))
            .any(|proof| proof == who.proof)
    }

    /// Whether another instance, on a database of the same id, works on another file.
    pub(super) async fn is_strange(&self, db: &impl Instances, other: &InstanceInfo) -> bool {
        if other.instance.is_empty()
            || other.instance == self.id
            || self.seen() == 0
            || !self.is_proven(other)
        {
            return false;
        }
        other.knows == Some(false) || knows(db, &other.instance, other.seen).await == Some(false)
    }

    /// Whether it runs on a machine with another clock.
    pub(super) fn has_another_clock(&self, other: &InstanceInfo) -> bool {
        other.time > 0
            && self.is_proven(other)
            && !other.machine.is_empty()
            && !self.machine.is_empty()
            && other.machine != self.machine
    }

    /// Whether both name the same file: then the file of the older one was replaced beneath it.
    pub(super) fn names_the_same_file(&self, other: &InstanceInfo) -> bool {
        !self.file.is_empty() && (&self.file, &self.host) == (&other.file, &other.host)
    }

    /// Which of two that are strange to each other stops: the younger one; the older one, if its file was replaced. Both
    /// say the same.
    pub(super) fn must_stop(&self, other: &InstanceInfo) -> bool {
        let younger = (self.started, &self.id) > (other.started, &other.instance);
        younger != self.names_the_same_file(other)
    }

    /// Why it does.
    pub(super) fn is_a_copy(&self, other: &InstanceInfo, applied: u64) -> ServeError {
        let place = |file: &str, host: &str| format!("{file} on {host}");
        ServeError::Copy {
            own: place(&self.file, &self.host),
            other: place(&other.file, &other.host),
            replaced: self.names_the_same_file(other),
            applied,
        }
    }

    /// What an operator has to know of the other one.
    pub(super) fn of_a_copy(&self, other: &InstanceInfo) -> String {
        format!(
            "a service on a copy of this database answers here, and is to stop: it serves {} on {}, and this one {} on {}. \
             What it took is in its copy only. Stop it, and start it on the same file or not at all",
            other.file, other.host, self.file, self.host
        )
    }
}

/// Whether an instance is written down in this file, and as late as it says; nothing if that cannot be told.
async fn knows(db: &impl Instances, instance: &str, seen: i64) -> Option<bool> {
    if instance.is_empty() || seen == 0 {
        return None;
    }
    let known = time::timeout(LIMIT, db.seen(instance)).await.ok()?.ok()?;
    Some(known.is_some_and(|known| known >= seen))
}
