//! A primary that answers no request.

use super::*;
use eitherway_layers::{Breaker, ChaosLayer, Timeout, breaker, breaker::State};

/// Every request hangs, until it is told to stop.
fn hangs() -> ChaosLayer<fn() -> Error> {
    chaos().hang(1.0)
}

fn local() -> impl Service<Req, Response = Via, Error = Error, Future: Send> + Clone {
    After::new(MS, Ok(Via(1))).service()
}

const BACK_OFF: Duration = Duration::from_millis(500);

fn circuit() -> breaker::Config {
    breaker::Config::new().back_off(BACK_OFF, BACK_OFF * 8).jitter(0.0)
}

/// A circuit over a primary with these faults that gives this answer otherwise, hedged after [`DELAY`].
fn behind_a_circuit(
    faults: &ChaosLayer<fn() -> Error>,
    answer: Answer,
) -> (impl Service<Req, Response = Via, Error = Both> + Clone + use<>, breaker::Handle, Pace) {
    let breaker = Breaker::new(faults.layer(After::new(MS, answer).service()), circuit());
    let handle = breaker.handle();
    let pace = Pace::new(Config::new().after(DELAY)).with_circuit(handle.clone());
    (hedged(breaker, local(), &pace), handle, pace)
}

/// Sends one request after the other until the circuit opens; tells how many.
async fn until_open(
    stack: &(impl Service<Req, Response = Via, Error = Both> + Clone),
    handle: &breaker::Handle,
) -> usize {
    for sent in 0..100 {
        if handle.state() == State::Open {
            return sent;
        }
        assert_eq!(stack.clone().oneshot(read(1)).await, Ok(Via(1)));
    }
    panic!("the circuit never opened");
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_answers_nobody_is_hedged_for_free_and_then_its_circuit_opens() {
    let (stack, handle, pace) = behind_a_circuit(&hangs(), Ok(Via(0)));
    let sent = until_open(&stack, &handle).await;
    assert_eq!(sent, 5, "21 ms each: five in a row, and 100 ms");
    let counts = pace.counts();
    assert_eq!((counts.started, counts.free, counts.won, counts.silences), (5, 5, 5, 1));
    let start = Instant::now();
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(1)));
    assert_eq!(start.elapsed(), MS, "no call waits for an open circuit");
}

#[tokio::test(start_paused = true)]
async fn five_that_lose_at_once_are_no_silence_yet() {
    let (stack, handle, pace) = behind_a_circuit(&hangs(), Ok(Via(0)));
    let calls: Vec<_> = (0..20).map(|id| stack.clone().oneshot(read(id))).collect();
    let mut calls: Vec<_> = calls.into_iter().map(task::spawn).collect();
    for wait in [Duration::ZERO, DELAY, MS] {
        advance(wait).await;
        calls.iter_mut().for_each(|call| drop(call.poll()));
    }
    assert_eq!((pace.counts().won, handle.state()), (20, State::Closed));
    assert_eq!(until_open(&stack, &handle).await, 4, "100 ms after the first began");
}

#[tokio::test(start_paused = true)]
async fn any_answer_of_the_primary_ends_the_silence_also_an_error_that_it_gives() {
    for alive in [Ok(Via(0)), Err(Error::Of(Class::Backend)), Err(Error::Of(Class::Rejected))] {
        let faults = hangs();
        let (stack, handle, pace) = behind_a_circuit(&faults, alive.clone());
        for _ in 0..4 {
            stack.clone().oneshot(read(1)).await.unwrap();
        }
        faults.set_active(false);
        let _ = stack.clone().oneshot(read(1)).await;
        faults.set_active(true);
        assert_eq!(until_open(&stack, &handle).await, 5, "{alive:?}");
        assert_eq!(pace.counts().silences, 1);
    }
    // Calls that were never carried and calls without an answer say nothing.
    let faults = hangs();
    let (stack, handle, _) = behind_a_circuit(&faults, Err(Error::Of(Class::NotSent)));
    for _ in 0..4 {
        stack.clone().oneshot(read(1)).await.unwrap();
    }
    faults.set_active(false);
    stack.clone().oneshot(read(1)).await.unwrap();
    faults.set_active(true);
    assert_eq!(until_open(&stack, &handle).await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_that_is_heard_keeps_the_circuit_closed_and_closes_one_that_silence_opened() {
    let (stack, handle, pace) = behind_a_circuit(&hangs(), Ok(Via(0)));
    for _ in 0..50 {
        assert_eq!(stack.clone().oneshot(read(1)).await, Ok(Via(1)));
        pace.heard();
    }
    assert_eq!((handle.state(), pace.counts().silences), (State::Closed, 0), "slow, not dead");
    until_open(&stack, &handle).await;
    assert!(pace.is_silent());
    pace.heard();
    assert_eq!((handle.state(), pace.is_silent()), (State::Closed, false));
    // Not a circuit that something else has opened.
    handle.force_open();
    pace.heard();
    assert_eq!(handle.state(), State::ForcedOpen);
    handle.reset();
    handle.set_healthy(false);
    pace.heard();
    assert_eq!(handle.state(), State::OpenUntilHealthy);
}

#[tokio::test(start_paused = true)]
async fn silence_is_looked_for_in_the_last_moment_and_not_since_the_request_began() {
    let pace = Pace::new(Config::new().after(DELAY).budget(Budget::new(0.0, 0, 0)));
    let stack = hedged(silent(), local(), &pace);
    let start = Instant::now();
    let mut waits = task::spawn(stack.clone().oneshot(read(1)));
    assert_pending!(waits.poll());
    // A neighbour is answered just before the delay ends; then the primary freezes.
    advance(DELAY - 2 * MS).await;
    pace.heard();
    let result = tokio::time::timeout(Duration::from_secs(1), waits).await;
    assert_eq!(result.unwrap(), Ok(Via(1)));
    assert!(start.elapsed() <= DELAY + 20 * MS, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_late_opens_the_circuit_again_so_that_only_one_caller_pays_for_it() {
    let faults = hangs();
    let (stack, handle, _) = behind_a_circuit(&faults, Ok(Via(0)));
    until_open(&stack, &handle).await;
    advance(BACK_OFF).await;
    let mut waited = 0;
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(stack.clone().oneshot(read(1)).await, Ok(Via(1)));
        waited += usize::from(start.elapsed() >= DELAY);
    }
    assert_eq!((waited, handle.state()), (1, State::Open));
    // And it closes by a probe that is answered.
    faults.set_active(false);
    advance(BACK_OFF * 2).await;
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(0)));
    assert_eq!(handle.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn the_loser_counts_in_no_breaker_however_slow_it_was() {
    let slow_at_once = breaker::Config::new().consecutive_failures(1).slow_after(MS).slow_drops_fail();
    let breaker = Breaker::new(silent(), slow_at_once.clone());
    let handle = breaker.handle();
    assert_eq!(hedged(breaker, local(), &always()).oneshot(read(1)).await, Ok(Via(1)));
    assert_eq!(handle.state(), State::Closed, "the primary lost");

    let breaker = Breaker::new(silent(), slow_at_once.clone());
    let handle = breaker.handle();
    let slow = After::new(DELAY * 2, Ok(Via(0))).service();
    assert_eq!(hedged(slow, breaker, &always()).oneshot(read(1)).await, Ok(Via(0)));
    assert_eq!(handle.state(), State::Closed, "the secondary lost");

    // One that the caller gives up counts as before.
    let breaker = Breaker::new(silent(), slow_at_once);
    let handle = breaker.handle();
    let both = hedged(breaker, silent(), &always()).map_err(|_| Error::Of(Class::Unknown));
    assert!(Timeout::new(both, DELAY * 2).oneshot(read(1)).await.is_err());
    assert_eq!(handle.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_outer_hedge_hurries_while_its_primary_is_silent_and_looks_again_once_in_a_while() {
    let config = Config::new().after(DELAY * 4).while_silent(10 * MS).silent_after(5, 100 * MS);
    let pace = Pace::new(config);
    let stack = hedged(silent(), local(), &pace);
    let took = async || {
        let start = Instant::now();
        let via = stack.clone().oneshot(read(1)).await.unwrap();
        (via, start.elapsed())
    };
    for _ in 0..5 {
        assert_eq!(took().await, (Via(1), DELAY * 4 + MS));
    }
    assert_eq!(pace.delay(), 10 * MS);
    let mut times = vec![];
    for _ in 0..400 {
        times.push(took().await.1);
    }
    let usual = times.iter().filter(|time| **time == DELAY * 4 + MS).count();
    assert_eq!(times.iter().filter(|time| **time == 11 * MS).count(), 400 - usual);
    assert!((3..=5).contains(&usual), "once in a second: {usual}");
    // A primary that is slower than the short delay is found again without being heard.
    let slow = After::new(30 * MS, Ok(Via(0)));
    let stack = hedged(slow.service(), local(), &pace);
    let mut served = 0;
    for _ in 0..200 {
        served += usize::from(stack.clone().oneshot(read(1)).await == Ok(Via(0)));
    }
    assert!(served > 90, "{served}");
    assert_eq!(pace.delay(), DELAY * 4);
}

/// Gives up on a primary when the secondary says that it cannot either: on a silent one, and where told so on any.
struct GivesUp {
    pace: Pace,
    concerns_both: bool,
}

impl hedge::Hedging<Req, Error, Error> for GivesUp {
    fn pace(&self, _: &Req) -> Option<&Pace> {
        Some(&self.pace)
    }
    fn answers(&self, _: &Error) -> bool {
        true
    }
    fn refuses(&self, _: &Error) -> bool {
        false
    }
    fn concerns_both(&self, _: &Error) -> bool {
        self.concerns_both
    }
    fn gives_up(&self, _: &Error, _: Duration) -> Option<Error> {
        Some(Error::Of(Class::Unknown))
    }
}

const UNKNOWN_AND_BACKEND: BothAnswer =
    Err(FallbackError::Both { primary: Error::Of(Class::Unknown), fallback: Error::Of(Class::Backend) });

type BothAnswer = Result<Via, Both>;

/// Sends one request to a primary that answers after this time, and a failing secondary, while the primary answers others or
/// not; tells the result and how long it took.
async fn given_up(
    primary: Option<u64>,
    secondary: u64,
    by: GivesUp,
    others: bool,
) -> (Result<Via, Both>, Duration) {
    let pace = by.pace.clone();
    let faults = chaos().hang(if primary.is_none() { 1.0 } else { 0.0 });
    let primary = faults.layer(After::new(MS * primary.unwrap_or(0) as u32, Ok(Via(0))).service());
    let failing = After::new(MS * secondary as u32, Err(Error::Of(Class::Backend))).service();
    let stack = primary.hedge_with(failing, ByClass::new(), by);
    let start = Instant::now();
    let answered = async {
        loop {
            sleep(MS * 10).await;
            if others {
                pace.heard();
            }
        }
    };
    tokio::select! {
        answer = stack.oneshot(read(1)) => (answer, start.elapsed()),
        () = answered => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_answers_nobody_and_could_not_help_is_given_up_when_it_is_silent() {
    let pace = Pace::new(Config::new().after(DELAY));
    let by = || GivesUp { pace: pace.clone(), concerns_both: true };
    assert_eq!(given_up(None, 1, by(), false).await, (UNKNOWN_AND_BACKEND, MS * 100));
    // While it answers others, it is waited for.
    assert_eq!(given_up(Some(400), 1, by(), true).await, (Ok(Via(0)), MS * 400));
}

#[tokio::test(start_paused = true)]
async fn a_slow_primary_with_nobody_else_to_answer_is_not_given_up_for_a_fault_of_the_secondary_alone() {
    let pace = Pace::new(Config::new().after(DELAY).patience(MS * 200));
    let by = || GivesUp { pace: pace.clone(), concerns_both: false };
    for _ in 0..10 {
        assert_eq!(given_up(Some(199), 1, by(), false).await, (Ok(Via(0)), MS * 199));
    }
    // Until the patience is over, whenever the secondary fails,
    assert_eq!(given_up(Some(400), 1, by(), false).await, (UNKNOWN_AND_BACKEND, MS * 200));
    assert_eq!(given_up(Some(400), 250, by(), false).await, (UNKNOWN_AND_BACKEND, MS * 270));
    // without a limit while it answers others,
    assert_eq!(given_up(Some(1500), 1, by(), true).await, (Ok(Via(0)), MS * 1500));
    // and where there is no patience.
    let by = GivesUp { pace: Pace::new(Config::new().after(DELAY)), concerns_both: false };
    assert_eq!(given_up(Some(1500), 1, by, false).await, (Ok(Via(0)), MS * 1500));
}

#[tokio::test(start_paused = true)]
async fn the_patience_with_a_primary_begins_again_when_it_has_answered_another_request() {
    let pace = Pace::new(Config::new().after(DELAY).patience(MS * 200));
    let by = GivesUp { pace: pace.clone(), concerns_both: false };
    let once = async {
        sleep(MS * 50).await;
        pace.heard();
        pending().await
    };
    tokio::select! {
        answer = given_up(None, 1, by, false) => assert_eq!(answer, (UNKNOWN_AND_BACKEND, MS * 400)),
        () = once => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_needs_what_the_hedge_has_failed_for_is_given_up_when_the_patience_is_over() {
    let breaker = Breaker::new(silent(), circuit());
    let pace = Pace::new(Config::new().after(DELAY).patience(MS * 200)).with_circuit(breaker.handle());
    let by = || GivesUp { pace: pace.clone(), concerns_both: true };
    for (primary, secondary, result, took) in [
        (None, 1, UNKNOWN_AND_BACKEND, 200),
        (Some(400), 1, UNKNOWN_AND_BACKEND, 200),
        (Some(199), 1, Ok(Via(0)), 199),
        // A hedge that fails later than that is not waited for any longer.
        (Some(400), 250, UNKNOWN_AND_BACKEND, 270),
    ] {
        assert_eq!(given_up(primary, secondary, by(), true).await, (result, MS * took));
    }
    for _ in 0..10 {
        let _ = given_up(None, 1, by(), true).await;
    }
    assert_eq!((breaker.handle().state(), pace.counts().silences), (State::Closed, 0), "it answers others");
    // One that is silent is given up sooner.
    assert_eq!(given_up(None, 1, by(), false).await, (UNKNOWN_AND_BACKEND, MS * 100));
}
