//! The breaker's whole state in one atomic word.
//!
//! ```text
//! bits 63..35    34..32   31..16        15..0
//! generation     state    successes     count
//! ```
//!
//! `count` is the number of consecutive failures while closed, and the number of outstanding probes while
//! half-open; `successes` counts probes that succeeded. Every change of state starts a new generation with
//! both at zero, and every operation names the generation that it belongs to: an outcome from before a change
//! finds another generation and changes nothing.
//!
//! The atomics come from `super::sync`, so that a model checker can replace them.

use super::sync::{AtomicU64, Ordering::*};

/// What a circuit does with calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls pass, and their outcomes are recorded.
    Closed,
    /// Calls are rejected until the back-off has elapsed.
    Open,
    /// A few calls pass as probes; the others are rejected.
    HalfOpen,
    /// Calls are rejected until the health signal reports that the service is healthy.
    OpenUntilHealthy,
    /// Calls are rejected because an operator forced the circuit open.
    ForcedOpen,
    /// Calls pass, whatever their outcomes, because an operator forced the circuit closed.
    ForcedClosed,
}

impl State {
    /// All states.
    pub const ALL: [Self; 6] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::OpenUntilHealthy,
        Self::ForcedOpen,
        Self::ForcedClosed,
    ];

    /// Its name in logs, metrics and JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::OpenUntilHealthy => "held",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
        }
    }
}

/// The decoded word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// 29 bits, then it wraps: a late outcome is mistaken for a current one only after half a billion
    /// changes.
    pub(crate) generation: u32,
    pub(crate) state: State,
    pub(crate) successes: u16,
    pub(crate) count: u16,
}

impl Snapshot {
    const GENERATIONS: u32 = (1 << 29) - 1;

    #[inline]
    const fn unpack(word: u64) -> Self {
        Self {
            generation: (word >> 35) as u32,
            state: State::ALL[((word >> 32) & 7) as usize],
            successes: (word >> 16) as u16,
            count: word as u16,
        }
    }

    const fn pack(self) -> u64 {
        (self.generation as u64) << 35
            | (self.state as u64) << 32
            | (self.successes as u64) << 16
            | self.count as u64
    }

    const fn is(self, state: State, generation: u32) -> bool {
        self.state as u8 == state as u8 && self.generation == generation
    }
}

#[derive(Debug)]
pub(crate) struct AtomicState(AtomicU64);

impl AtomicState {
    pub(crate) fn new() -> Self {
        let closed = Snapshot { generation: 0, state: State::Closed, successes: 0, count: 0 };
        Self(AtomicU64::new(closed.pack()))
    }

    /// Acquire: a thread that sees a state also sees what was stored before the change to it.
    #[inline]
    pub(crate) fn load(&self) -> Snapshot {
        Snapshot::unpack(self.0.load(Acquire))
    }

    /// Replaces the word by the result of `next`; `None` leaves it unchanged.
    #[inline]
    fn update(&self, next: impl Fn(Snapshot) -> Option<Snapshot>) -> Option<Snapshot> {
        let mut word = self.0.load(Acquire);
        loop {
            let new = next(Snapshot::unpack(word))?;
            match self.0.compare_exchange_weak(word, new.pack(), AcqRel, Acquire) {
                Ok(_) => return Some(new),
                Err(other) => word = other,
            }
        }
    }

    /// Records a failure while closed. Returns the number of consecutive failures, or `None` for a late
    /// outcome.
    pub(crate) fn fail(&self, generation: u32) -> Option<u16> {
        self.update(|now| {
            let count = now.count.saturating_add(1);
            now.is(State::Closed, generation).then_some(Snapshot { count, ..now })
        })
        .map(|new| new.count)
    }

    /// Records a success while closed: resets the consecutive failures. One load if there are none.
    #[inline]
    pub(crate) fn succeed(&self, generation: u32) {
        self.update(|now| {
            (now.count != 0 && now.is(State::Closed, generation)).then_some(Snapshot { count: 0, ..now })
        });
    }

    /// Takes one of at most `most` probes of a half-open circuit.
    pub(crate) fn lease(&self, generation: u32, most: u16) -> bool {
        self.update(|now| {
            let free = now.is(State::HalfOpen, generation) && now.count < most;
            free.then(|| Snapshot { count: now.count + 1, ..now })
        })
        .is_some()
    }

    /// Returns a probe that learned nothing. `false` if there is none in this generation.
    #[inline]
    pub(crate) fn release(&self, generation: u32) -> bool {
        self.update(|now| {
            let mine = now.is(State::HalfOpen, generation) && now.count > 0;
            mine.then(|| Snapshot { count: now.count - 1, ..now })
        })
        .is_some()
    }

    /// Records a successful probe. Returns the number of successes, or `None` for a late outcome.
    pub(crate) fn record_probe_success(&self, generation: u32) -> Option<u16> {
        self.update(|now| {
            let mine = now.is(State::HalfOpen, generation) && now.count > 0;
            let successes = now.successes.saturating_add(1);
            mine.then(|| Snapshot { count: now.count - 1, successes, ..now })
        })
        .map(|new| new.successes)
    }

    /// Changes the state and starts a new generation, unless the generation is no longer `from`. Only from half-open
    /// to half-open the successes stay.
    pub(crate) fn change(&self, from: u32, state: State) -> bool {
        self.update(|now| {
            let generation = (from + 1) & Snapshot::GENERATIONS;
            let goes_on = matches!((now.state, state), (State::HalfOpen, State::HalfOpen));
            let successes = if goes_on { now.successes } else { 0 };
            (now.generation == from).then_some(Snapshot { generation, state, successes, count: 0 })
        })
        .is_some()
    }
}
