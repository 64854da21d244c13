//! How many requests may still go to the second service as well.

use super::sync::{AtomicU64, Ordering::*};

/// How many extra calls a primary may cost its secondary, as hedges or reroutes: a share of the primary's answers, and a
/// reserve.
///
/// The account begins with the reserve of one second, but not more than it may hold.
///
/// ```
/// use eitherway_layers::fallback::Budget;
///
/// // One call for twenty answers and five a second besides, at most 50 at once.
/// let budget = Budget::new(0.05, 5, 50);
/// # drop(budget);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Thousandths of a call that one answer of the primary deposits.
    deposit: u32,
    /// Thousandths of a call earned per millisecond, which are calls per second.
    reserve: u32,
    /// Thousandths of a call that the account may hold; `None`: there is no account.
    cap: Option<u32>,
}

/// What one call costs.
const CALL: u32 = 1000;

impl Budget {
    /// Each answer of the primary earns `ratio` calls (0 to 1), each second earns `per_second`, and at most
    /// `most` are saved up.
    pub const fn new(ratio: f64, per_second: u32, most: u32) -> Self {
        let deposit = (ratio.clamp(0.0, 1.0) * CALL as f64) as u32;
        Self { deposit, reserve: per_second, cap: Some(most.saturating_mul(CALL)) }
    }

    /// No limit: a primary that is slow or fails costs the secondary as many calls as there are requests.
    pub const fn unlimited() -> Self {
        Self { deposit: 0, reserve: 0, cap: None }
    }
}

/// A balance and the time of its last change, in one word: `milliseconds << 32 | thousandths of a call`.
///
/// All methods take the time, so that a model checker needs no clock. The time wraps after 49 days, which
/// loses what was earned in a pause of that length.
#[derive(Debug)]
pub(crate) struct Account {
    budget: Budget,
    word: AtomicU64,
}

const fn pack(at: u32, balance: u32) -> u64 {
    (at as u64) << 32 | balance as u64
}

impl Account {
    pub(crate) fn new(budget: Budget) -> Self {
        let first = budget.reserve.saturating_mul(CALL);
        let balance = if let Some(cap) = budget.cap { first.min(cap) } else { 0 };
        Self { budget, word: AtomicU64::new(pack(0, balance)) }
    }

    /// Replaces time and balance by the result of `next`; `None` leaves both unchanged.
    #[inline]
    fn update(&self, next: impl Fn(u32, u32) -> Option<(u32, u32)>) -> bool {
        let mut word = self.word.load(Relaxed);
        loop {
            let Some((at, balance)) = next((word >> 32) as u32, word as u32) else { return false };
            match self.word.compare_exchange_weak(word, pack(at, balance), Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(other) => word = other,
            }
        }
    }

    /// The primary has answered. One load if nothing more can be saved up.
    #[inline]
    pub(crate) fn deposit(&self) {
        let Budget { deposit, cap: Some(cap), .. } = self.budget else { return };
        self.update(|at, balance| (balance < cap).then(|| (at, balance.saturating_add(deposit).min(cap))));
    }

    /// Pays for one call, if the account holds enough. `now` is in milliseconds.
    pub(crate) fn withdraw(&self, now: u32) -> bool {
        let Budget { reserve, cap: Some(cap), .. } = self.budget else { return true };
        self.update(|at, balance| {
            // A thread that was held up comes with an older time: it earns nothing, and sets no clock back.
            let passed = Some(now.wrapping_sub(at)).filter(|passed| *passed <= u32::MAX / 2);
            let earned = passed.unwrap_or(0).saturating_mul(reserve);
            let balance = balance.saturating_add(earned).min(cap).checked_sub(CALL)?;
            Some((if passed.is_some() { now } else { at }, balance))
        })
    }
}
