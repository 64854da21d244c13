//! A small source of pseudo-random numbers (SplitMix64) and helpers to draw from it.

/// The state of the generator.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// A generator; the same seed yields the same numbers.
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 up to, but not including, `end`; 0 if `end` is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        // The high half of the product: sufficiently uniform for chat, and without a division.
        let wide = u128::from(self.next()) * u128::from(end);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// An index into a sequence of this length.
    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(len as u64)).unwrap_or(0)
    }

    /// A number from `start` to `end`, both included.
    pub(super) fn within(&mut self, start: u64, end: u64) -> u64 {
        start + self.below(end.saturating_sub(start) + 1)
    }

    /// Returns `true` with a probability of `share` percent.
    pub(super) fn percent(&mut self, share: u64) -> bool {
        self.below(100) < share
    }

    /// Returns `true` with a probability of `share` in a million.
    pub(super) fn per_million(&mut self, share: u64) -> bool {
        self.below(1_000_000) < share
    }

    /// One of the elements; `T::default()` if there is none.
    pub(super) fn pick<T: Copy + Default>(&mut self, from: &[T]) -> T {
        let index = self.index(from.len());
        from.get(index).copied().unwrap_or_default()
    }
}

/// A deck that is drawn one card at a time, and shuffled again when it is used up.
#[derive(Clone, Debug)]
pub(super) struct Deck<T> {
    cards: Vec<T>,
    next: usize,
}

impl<T: Copy + Default> Deck<T> {
    /// A deck that is shuffled before the first draw.
    pub(super) fn new(cards: Vec<T>) -> Self {
        let next = cards.len();
        Self { cards, next }
    }

    /// The next card; `T::default()` from an empty deck.
    pub(super) fn draw(&mut self, rng: &mut Rng) -> T {
        if self.next >= self.cards.len() {
            for last in (1..self.cards.len()).rev() {
                self.cards.swap(last, rng.index(last + 1));
            }
            self.next = 0;
        }
        let card = self.cards.get(self.next).copied().unwrap_or_default();
        self.next += 1;
        card
    }

    /// Whether every card has been drawn since the last shuffle.
    pub(super) fn is_spent(&self) -> bool {
        self.next >= self.cards.len()
    }
}
