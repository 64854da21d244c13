//! How often people may ask: each of them, and all together.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::op::person::key;

/// So many at once, and one more in so long a time.
const OF_ONE: (u32, Duration) = (4, Duration::from_secs(5));
const OF_ALL: (u32, Duration) = (12, Duration::from_secs(1));
/// Those whose questions are counted. The ones who have all of theirs again are forgotten first.
const MOST: usize = 4096;

/// The questions that were asked lately.
#[derive(Debug, Default)]
pub(super) struct Pace {
    users: HashMap<String, Tokens>,
    all: Tokens,
}

/// When all tokens are there again; none was taken if there is no time.
#[derive(Clone, Copy, Debug, Default)]
struct Tokens(Option<Instant>);

impl Tokens {
    /// Takes one, if there is one.
    fn take(&mut self, (most, each): (u32, Duration), now: Instant) -> bool {
        let whole = self.0.map_or(now, |whole| whole.max(now)) + each;
        let allowed = whole <= now + each * most;
        if allowed {
            self.0 = Some(whole);
        }
        allowed
    }

    fn is_whole(&self, now: Instant) -> bool {
        self.0.is_none_or(|whole| whole <= now)
    }
}

impl Pace {
    /// Whether this user may ask now; a question that may be asked counts.
    pub(super) fn allows(&mut self, user: &str) -> bool {
        let now = Instant::now();
        if self.users.len() >= MOST {
            self.users.retain(|_, tokens| !tokens.is_whole(now));
        }
        let user = key(user);
        let is_known = self.users.contains_key(user.as_ref());
        if !is_known && self.users.len() >= MOST {
            return false;
        }
        self.users.entry(user.into_owned()).or_default().take(OF_ONE, now) && self.all.take(OF_ALL, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_too_often_is_not_answered_for_a_while_and_others_are() {
        let mut pace = Pace::default();
        let asked = (0..10).filter(|_| pace.allows("ann")).count();
        assert_eq!(asked, 4);
        assert!(pace.allows("bob"));
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!((0..10).filter(|_| pace.allows("ann")).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn many_together_are_answered_no_faster_than_all_may_ask_and_memory_is_bounded() {
        let mut pace = Pace::default();
        assert_eq!((0..100).filter(|n| pace.allows(&format!("user{n}"))).count(), 12);
        for n in 0..2 * MOST {
            pace.allows(&format!("other{n}"));
        }
        assert!(pace.users.len() <= MOST);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(pace.allows("newcomer"), "those who rest are forgotten");
        assert!(pace.users.len() < 100);
    }
}
