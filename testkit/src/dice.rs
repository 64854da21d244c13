//! Numbers without a pattern, the same in every run with the same seed.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// SplitMix64: good from its first number on, also for seeds that follow each other.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Dice of this seed.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Dice of their own, for throws at moments that others do not know.
    pub fn another(&mut self) -> Self {
        Self(self.next())
    }

    /// One of these numbers.
    pub fn one_of(&mut self, range: RangeInclusive<u64>) -> u64 {
        range.start() + self.next() % (range.end() - range.start() + 1)
    }

    /// Whether something happens that happens in this many of a hundred cases.
    pub fn in_a_hundred(&mut self, cases: u64) -> bool {
        self.next() % 100 < cases
    }
}

/// A number that the environment names, for another seed or a longer run; else the usual one. It is printed as it
/// is to be set to repeat the run: `SEED=7`.
///
/// # Panics
/// The variable holds something else.
pub fn knob<T: FromStr + Display>(name: &str, usual: T) -> T {
    let value = match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text:?} is not a number")),
        Err(_) => usual,
    };
    eprintln!("{name}={value}");
    value
}
