//! How much may be asked of the consumer at once: what its settings tell, and what a server that refuses a request says.

use std::time::Duration;

use serde_json::Value;

use super::limits;

/// How long the server keeps a request for more.
const EXPIRES: Duration = Duration::from_secs(30);
/// How much may be asked for, as far as that is known by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) batch: usize,
    pub(super) expires: Duration,
    pub(super) max_bytes: Option<u64>,
    /// Only one request may wait at a time.
    pub(super) one: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch: usize::MAX, expires: EXPIRES, max_bytes: None, one: false }
    }
}

impl Limits {
    /// Those that the consumer's settings tell, a server's own among them.
    pub(super) fn within(self, config: &Value) -> Self {
        let given = |name: &str| config[name].as_u64().filter(|limit| *limit > 0);
        Self {
            batch: given("max_batch").and_then(|n| usize::try_from(n).ok()).unwrap_or(self.batch),
            expires: given("max_expires").map_or(self.expires, Duration::from_nanos).min(EXPIRES),
            max_bytes: given("max_bytes").or(self.max_bytes),
            one: self.one || given("max_waiting").is_some_and(|n| n < 4),
        }
    }

    /// Reads why a request was refused; false if that tells nothing.
    pub(super) fn learn(&mut self, said: &str) -> bool {
        let before = *self;
        let last = said.rsplit(' ').next().unwrap_or_default();
        if said.contains("MaxRequestBatch") {
            self.batch = last.parse().unwrap_or(self.batch.min(512) / 2).clamp(1, self.batch);
        } else if said.contains("MaxRequestExpires") {
            let allowed = limits::duration(last).unwrap_or(self.expires / 2);
            self.expires = allowed.clamp(Duration::from_millis(1), self.expires);
        } else if said.contains("MaxRequestMaxBytes") {
            self.max_bytes = last.parse().ok();
        } else if said.contains("MaxWaiting") {
            self.one = true;
        }
        *self != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_is_asked_for_as_the_refusal_says() {
        let mut limits = Limits::default();
        assert!(limits.learn("Exceeded MaxRequestBatch of 100"));
        assert!(limits.learn("Exceeded MaxRequestExpires of 1.5s"));
        assert!(limits.learn("Exceeded MaxRequestMaxBytes of 4096"));
        assert!(limits.learn("Exceeded MaxWaiting"));
        let learnt =
            Limits { batch: 100, expires: Duration::from_millis(1500), max_bytes: Some(4096), one: true };
        assert_eq!(limits, learnt);
        assert!(!limits.learn("Exceeded MaxRequestBatch of 100"), "it did not help");
        assert!(!limits.learn("Bad Request"));
        assert!(Limits::default().learn("Exceeded MaxRequestBatch"), "half of it");
    }
}
