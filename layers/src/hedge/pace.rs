//! What is known of a primary: how fast it answers, whether it answers at all, and what hedges may still cost.
//!
//! Atomics and clock come from `super::sync`, so that a model checker can replace them.

#[cfg(feature = "metrics")]
use super::meter::Meter;
use super::{
    Config,
    run::Run,
    sync::{
        AtomicBool, AtomicU64, Instant,
        Ordering::{AcqRel, Relaxed, Release},
    },
};
use crate::{
    breaker::{handle::Handle, state::State},
    fallback::budget::Account,
};
#[cfg(feature = "metrics")]
use std::sync::OnceLock;
use std::{array, sync::Arc, time::Duration};

/// The pace of one primary, by which its requests are hedged. Clones share it. Lock-free.
///
/// **Late answers.** The loser of a hedge is dropped, so a primary that is slower than the delay would look dead.
/// Where the service behind it still sees the answer (to an inbox, in a background task), it should report it
/// with [`heard`](Self::heard).
///
/// **A silent primary** ([`Config::silent_after`]) opens the circuit given to [`with_circuit`](Self::with_circuit),
/// so that the requests after it need not wait for the delay.
///
/// ```
/// use eitherway_layers::{BreakerLayer, hedge::{Config, Pace}};
/// use std::time::Duration;
///
/// let breaker = BreakerLayer::default();
/// let pace = Pace::new(Config::new()).with_circuit(breaker.handle());
/// assert_eq!(pace.delay(), Duration::from_millis(15));
/// ```
#[derive(Clone, Debug)]
pub struct Pace {
    known: Arc<Known>,
    circuit: Option<Handle>,
}

#[derive(Debug)]
struct Known {
    config: Config,
    epoch: Instant,
    /// Answers of the primary that were waited for or heard. Wraps.
    answers: AtomicU64,
    /// Nanoseconds: a moving estimate of the 99th percentile.
    p99: AtomicU64,
    /// Nanoseconds since the epoch: when the estimate was last doubled for silence.
    doubled: AtomicU64,
    account: Account,
    /// Silent hedges that the secondary has won in a row.
    run: Run,
    /// While silent: when the next request waits for the usual delay, in nanoseconds since the epoch. 0 otherwise.
    silent_until: AtomicU64,
    /// Whether silence has opened the circuit, and no answer has come since.
    tripped: AtomicBool,
    counts: [AtomicU64; EVENTS.len()],
    #[cfg(feature = "metrics")]
    meter: OnceLock<Meter>,
}

/// What was counted so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Hedges that were started.
    pub started: u64,
    /// Those of them that cost nothing, because the primary answered no call.
    pub free: u64,
    /// Those of them that the budget would not have allowed, and that had waited for [`Config::overdue`].
    pub overdue: u64,
    /// How often the budget did not allow a hedge. A request that is late asks more than once.
    pub denied: u64,
    /// Hedges that the secondary has won.
    pub won: u64,
    /// Hedges that the primary has won.
    pub lost: u64,
    /// How often the primary was found to be silent.
    pub silences: u64,
}

const STARTED: usize = 0;
const FREE: usize = 1;
const DENIED: usize = 2;
const WON: usize = 3;
const LOST: usize = 4;
const SILENCES: usize = 5;
const OVERDUE: usize = 6;

/// What is counted under each index, as metrics call it.
const EVENTS: [&str; 7] = ["started", "free", "denied", "won", "lost", "silence", "overdue"];

/// A request that is denied a hedge asks again after this time, or after an eighth of what it has waited, and looks for
/// silence since then.
const WINDOW: Duration = Duration::from_millis(15);

/// One request in this many periods of silence still waits for the usual delay.
const LOOK_AGAIN: u32 = 10;

/// Bounds of the estimate.
const FASTEST: u64 = 50_000;
const SLOWEST: u64 = 10_000_000_000;

/// What one call has seen when it first had to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    pub(super) at: Instant,
    answers: u64,
}

impl Pace {
    /// Nothing is known yet: the estimate begins at 1 ms.
    pub fn new(config: Config) -> Self {
        let known = Known {
            epoch: Instant::now(),
            answers: AtomicU64::new(0),
            p99: AtomicU64::new(1_000_000),
            doubled: AtomicU64::new(0),
            account: Account::new(config.budget),
            run: Run::new(),
            silent_until: AtomicU64::new(0),
            tripped: AtomicBool::new(false),
            counts: array::from_fn(|_| AtomicU64::new(0)),
            #[cfg(feature = "metrics")]
            meter: OnceLock::new(),
            config,
        };
        Self { known: Arc::new(known), circuit: None }
    }

    /// Opens this circuit when the primary is silent, again when it is half-open and its probe is late, and
    /// closes it when a late answer is [heard](Self::heard).
    pub fn with_circuit(self, circuit: Handle) -> Self {
        Self { circuit: Some(circuit), ..self }
    }

    /// Counts also as metrics: `{prefix}_hedges_total{path,event}`, where `event` is one of `started`, `free`,
    /// `overdue`, `denied`, `won`, `lost`, `silence`: see [`Counts`]. The first name that a pace is given stays.
    #[cfg(feature = "metrics")]
    pub fn metered(self, prefix: &'static str, path: &'static str) -> Self {
        let _ = self.known.meter.set(Meter::new(prefix, path, &EVENTS));
        self
    }

    /// The delay of a request that begins now.
    pub fn delay(&self) -> Duration {
        match self.known.config.while_silent {
            Some(short) if self.is_silent() => short,
            _ => self.known.usual_delay(),
        }
    }

    /// Whether the primary was found to be silent and has not answered since.
    pub fn is_silent(&self) -> bool {
        self.known.silent_until.load(Relaxed) != 0
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let [started, free, denied, won, lost, silences, overdue] =
            array::from_fn(|i| self.known.counts[i].load(Relaxed));
        Counts { started, free, overdue, denied, won, lost, silences }
    }

    /// Reports an answer of the primary to a call that was dropped: it is not silent.
    pub fn heard(&self) {
        self.known.answers.fetch_add(1, Relaxed);
        self.awake();
    }

    fn awake(&self) {
        let known = &*self.known;
        known.run.end();
        if known.silent_until.load(Relaxed) != 0 {
            known.silent_until.store(0, Relaxed);
        }
        if known.tripped.load(Relaxed)
            && known.tripped.swap(false, AcqRel)
            && let Some(circuit) = &self.circuit
        {
            circuit.answered();
        }
    }

    // ## What one call reports

    /// The primary is pending for the first time. Returns the moment at which it will be late, too.
    pub(super) fn begin(&self) -> (Start, Instant) {
        let known = &*self.known;
        let start = Start { at: Instant::now(), answers: known.answers.load(Relaxed) };
        let delay = match known.config.while_silent {
            Some(short) if known.hurries(start.at) => short,
            _ => known.usual_delay(),
        };
        (start, start.at + delay)
    }

    /// The primary is late. Either it is hedged, or it is looked after again at this moment.
    pub(super) fn late(&self, start: &mut Start) -> Result<(), Instant> {
        let known = &*self.known;
        let now = Instant::now();
        let silent = known.silent(start);
        known.slower(silent, start.at, now);
        if silent && known.config.silence_is_free {
            known.count(FREE);
        } else if !known.account.withdraw((known.since(now) / 1_000_000) as u32) {
            let overdue = known.config.overdue.map(|after| start.at + after);
            if overdue.is_none_or(|overdue| now < overdue) {
                known.count(DENIED);
                start.answers = known.answers.load(Relaxed);
                let again = now + WINDOW.max((now - start.at) / 8);
                return Err(overdue.map_or(again, |overdue| again.min(overdue)));
            }
            known.count(OVERDUE);
        }
        known.count(STARTED);
        Ok(())
    }

    /// When the primary, whose hedge has failed, may first be given up. `None`: never.
    pub(super) fn patience(&self, start: &Start, concerns_both: bool) -> Option<Instant> {
        let Config { silence, patience, .. } = self.known.config;
        let after = if concerns_both { Some(silence) } else { patience };
        after.map(|after| start.at + after)
    }

    /// Whether the primary, whose hedge has failed, may be given up. If not, the moment of the next look.
    ///
    /// One that could serve no better is hopeless if it has answered no call since the last look, or if the patience is over;
    /// any other one only if it has answered no call for as long as the patience lasts. On an idle path, a slow primary
    /// looks like a silent one.
    pub(super) fn hopeless(&self, start: &mut Start, concerns_both: bool) -> Result<Duration, Instant> {
        let (known, now) = (&*self.known, Instant::now());
        let waited = now - start.at;
        let patience = known.config.patience;
        let limit = patience.filter(|_| concerns_both).map(|after| start.at + after);
        if known.silent(start) || limit.is_some_and(|limit| limit <= now) {
            return Ok(waited);
        }
        start.answers = known.answers.load(Relaxed);
        let again = now + patience.filter(|_| !concerns_both).unwrap_or_else(|| WINDOW.max(waited / 8));
        Err(limit.map_or(again, |limit| again.min(limit)))
    }

    /// The primary has answered a call that had to wait.
    #[inline]
    pub(super) fn answered(&self, start: &Start, hedged: bool) {
        let known = &*self.known;
        known.answers.fetch_add(1, Relaxed);
        self.awake();
        known.measured(start.at, hedged);
        known.account.deposit();
        if hedged {
            known.count(LOST);
        }
    }

    /// The secondary has won a hedge.
    pub(super) fn lost_to_secondary(&self, start: &Start) {
        self.known.count(WON);
        self.unanswered(start);
    }

    /// A call ends without an answer of the primary. It is silent if it has answered no other call meanwhile.
    pub(super) fn unanswered(&self, start: &Start) {
        let known = &*self.known;
        if !known.silent(start) {
            return;
        }
        let now = Instant::now();
        let (run, lasting) = known.run.lost(known.since(start.at) / 1000, known.since(now) / 1000);
        let found = run >= known.config.run && Duration::from_micros(lasting) >= known.config.silence;
        if found {
            known.run.end();
            let first = known.silent_until.compare_exchange(0, known.look_again(now), Relaxed, Relaxed);
            if first.is_ok() {
                known.count(SILENCES);
            }
        }
        if let Some(circuit) = &self.circuit
            // The call that was to probe is dropped without a word. Without this, every request would probe.
            && (found || circuit.state() == State::HalfOpen)
        {
            circuit.trip();
            // Not before: an answer between the two would leave a circuit open that no later answer closes.
            known.tripped.store(true, Release);
        }
    }
}

impl Known {
    fn count(&self, what: usize) {
        self.counts[what].fetch_add(1, Relaxed);
        #[cfg(feature = "metrics")]
        if let Some(meter) = self.meter.get() {
            meter.count(what);
        }
    }

    fn since(&self, at: Instant) -> u64 {
        nanos(at.saturating_duration_since(self.epoch))
    }

    fn usual_delay(&self) -> Duration {
        let Config { times, least, most, .. } = self.config;
        if times == 0.0 {
            return least;
        }
        // `max` and `min`, because `clamp` panics where the bounds are the wrong way round.
        Duration::from_nanos((self.p99.load(Relaxed) as f64 * times) as u64).max(least).min(most)
    }

    fn look_again(&self, now: Instant) -> u64 {
        let pause = self.config.silence.saturating_mul(LOOK_AGAIN);
        self.since(now).saturating_add(nanos(pause)).max(1)
    }

    /// Whether a request that begins now is hedged early.
    fn hurries(&self, now: Instant) -> bool {
        let until = self.silent_until.load(Relaxed);
        if until == 0 {
            return false;
        }
        let next = self.look_again(now);
        self.since(now) < until || self.silent_until.compare_exchange(until, next, Relaxed, Relaxed).is_err()
    }

    /// Whether the primary has answered no call since then.
    fn silent(&self, start: &Start) -> bool {
        self.answers.load(Relaxed) == start.answers
    }

    // ## The estimate
    //
    // A quantile by comparison alone: it rises by 5 % where it is passed and falls by 1/99 of that where it is not, so it
    // rests where one in a hundred passes it. Two threads at once may lose a step.

    #[inline]
    fn measured(&self, start: Instant, hedged: bool) {
        let p99 = self.p99.load(Relaxed);
        if nanos(start.elapsed()) <= p99 {
            self.p99.store((p99 - p99 / 2000).max(FASTEST), Relaxed);
        } else if !hedged {
            // A hedged call has raised it when it became late.
            self.p99.store((p99 + p99 / 20).min(SLOWEST), Relaxed);
        }
    }

    /// A call took longer than the delay, and it is unknown how much. Where no call is answered, there will be no
    /// measurement either, so the estimate doubles, once for all calls that began before it did.
    fn slower(&self, silent: bool, start: Instant, now: Instant) {
        let p99 = self.p99.load(Relaxed);
        if !silent {
            self.p99.store((p99 + p99 / 20).min(SLOWEST), Relaxed);
            return;
        }
        let doubled = self.doubled.load(Relaxed);
        if self.since(start) >= doubled
            && self.doubled.compare_exchange(doubled, self.since(now), Relaxed, Relaxed).is_ok()
        {
            self.p99.store((p99 * 2).min(SLOWEST), Relaxed);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
