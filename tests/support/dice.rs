//! Numbers without a pattern, the same in every run with the same seed.

use std::ops::RangeInclusive;

/// SplitMix64: good from its first number on, also for seeds that follow each other.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Dice of their own, for whoever throws at moments that others do not know.
    pub(crate) fn another(&mut self) -> Self {
        Self(self.next())
    }

    /// One of these numbers.
    pub(crate) fn one_of(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    /// Whether something happens that happens in so many of a hundred cases.
    pub(crate) fn in_a_hundred(&mut self, cases: u64) -> bool {
        self.next() % 100 < cases
    }
}
