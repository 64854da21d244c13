//! How many members a channel has had, as far as that is not told yet.

/// The number that was told last, and the most since then.
#[derive(Default)]
pub(super) struct Crowd {
    told: usize,
    /// The most, and when.
    peak: (usize, i64),
}

impl Crowd {
    /// There are so many, at this time.
    pub(super) fn grown(&mut self, members: usize, at: i64) {
        if members > self.peak.0 {
            self.peak = (members, at);
        }
    }

    /// Whether it is another number than was told, of so many members now.
    pub(super) const fn has_news(&self, members: usize) -> bool {
        self.peak.0 > self.told || members != self.told
    }

    /// What there is to tell of so many at this time, behind the most that there were.
    pub(super) fn told(&mut self, members: usize, at: i64) -> impl Iterator<Item = (usize, i64)> {
        let peak = std::mem::replace(self, Self { told: members, peak: (0, 0) }).peak;
        [Some(peak).filter(|(most, _)| *most > members), Some((members, at))].into_iter().flatten()
    }
}
