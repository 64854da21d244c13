//! Tokens of reply subjects, which no peer can guess. A peer that subscribes to `_INBOX.>` sees where answers go: if it
//! could tell the next reply subject from the last one, it could name that subject in a request of its own, and our
//! service or stream would answer there.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of tokens: the hash of a counter, under a secret of this source.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    // Seeded randomly; its hash (SipHash) does not reveal its key.
    secret: RandomState,
    count: AtomicU64,
}

impl Tokens {
    pub(crate) fn next(&self) -> u64 {
        self.secret.hash_one(self.count.fetch_add(1, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_token_tells_nothing_of_the_next_one_or_of_another_source() {
        let (one, other) = (Tokens::default(), Tokens::default());
        let all: Vec<u64> = (0..1_000).flat_map(|_| [one.next(), other.next()]).collect();
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        // About half of the bits differ from one token to the next.
        let differ: u32 = all.windows(2).map(|pair| (pair[0] ^ pair[1]).count_ones()).sum();
        let mean = differ / 1_999;
        assert!((30..=34).contains(&mean), "{mean}");
    }
}
