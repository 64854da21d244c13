//! A server of the cluster that is cut off, with the instances that are connected to it.

use std::time::Duration;

use tokio::time::Instant;

/// For so many times `ack_wait`, what was handed out before may be on its way to an instance there, or back.
const WAITS: u32 = 4;
/// A leader that is cut off hands out for some 20 s more, until it gives up.
const LEAST: Duration = Duration::from_secs(30);

/// Which servers are missing, and since when it is those.
#[derive(Debug, Default)]
pub(super) struct Split {
    missing: Vec<String>,
    since: Option<Instant>,
}

impl Split {
    /// Takes note of the servers that are missing now. Whether that has changed.
    pub(super) fn look(&mut self, missing: &[String]) -> bool {
        let changed = self.missing != missing;
        if changed {
            let since = (!missing.is_empty()).then(Instant::now);
            *self = Self { missing: missing.to_vec(), since };
        }
        changed
    }

    /// For how long the consumer may still hold for instances there what they had before; none if no server is missing, or they have
    /// been for so long that what they had was handed out again.
    pub(super) fn counts_for(&self, ack_wait: Duration) -> Option<Duration> {
        let left = ack_wait.saturating_mul(WAITS).max(LEAST).checked_sub(self.since?.elapsed())?;
        (!left.is_zero()).then_some(left)
    }

    /// The names of the missing servers.
    pub(super) fn names(&self) -> String {
        self.missing.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_missing_server_counts_for_some_waits_and_another_one_anew() {
        let (mut split, wait, second) = (Split::default(), Duration::from_secs(30), Duration::from_secs(1));
        let [none, one, two]: [&[String]; 3] = [&[], &["a".to_owned()], &["a".to_owned(), "b".to_owned()]];
        assert!(!split.look(none) && split.counts_for(wait).is_none());
        assert!(split.look(one) && split.counts_for(wait) == Some(4 * wait));
        tokio::time::advance(4 * wait - second).await;
        assert!(!split.look(one) && split.counts_for(wait) == Some(second));
        tokio::time::advance(second).await;
        assert!(!split.look(one) && split.counts_for(wait).is_none());
        assert!(split.look(two) && split.counts_for(wait) == Some(4 * wait));
        assert!(split.look(none) && split.counts_for(wait).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn however_short_the_wait_is_a_leader_that_is_cut_off_has_given_up() {
        let mut split = Split::default();
        split.look(&["a".to_owned()]);
        assert_eq!(split.counts_for(Duration::from_secs(1)), Some(LEAST));
    }
}
