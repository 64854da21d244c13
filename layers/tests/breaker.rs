//! Promises of `Breaker`.
#![allow(clippy::unwrap_used)]

mod support;

use rosey_layers::{
    Breaker, BreakerLayer, Class, Failure,
    breaker::{Config, Rejected, State},
};
use std::{
    future::{Future, pending, ready},
    sync::{Arc, Mutex},
    time::Duration,
};
use support::{Error, Req, Via, read, strict::Strict};
use tokio::{sync::oneshot, time::advance};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_test::mock;

type Answer = Result<Via, Error>;

const FIRST: Duration = Duration::from_millis(100);
const CAP: Duration = Duration::from_millis(300);
const SLOW: Duration = Duration::from_secs(1);
const LEASE: Duration = Duration::from_secs(5);

fn config() -> Config {
    Config::new().consecutive_failures(2).back_off(FIRST, CAP).jitter(0.0).slow_after(SLOW).lease(LEASE)
}

/// A service whose calls are answered by the test, in any order.
#[derive(Clone, Default)]
struct Puppet(Arc<Mutex<Vec<oneshot::Sender<Answer>>>>);

impl Puppet {
    fn service(
        &self,
    ) -> impl Service<Req, Response = Via, Error = Error, Future = impl Future<Output = Answer>> + Clone {
        let calls = Arc::clone(&self.0);
        service_fn(move |_: Req| {
            let (sender, receiver) = oneshot::channel();
            calls.lock().unwrap().push(sender);
            async { receiver.await.unwrap() }
        })
    }
    fn answer(&self, call: usize, answer: Answer) {
        let _ = self.0.lock().unwrap().remove(call).send(answer);
    }
    fn calls(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn answers(
    answer: Answer,
) -> impl Service<Req, Response = Via, Error = Error, Future = impl Future<Output = Answer>> + Clone {
    service_fn(move |_: Req| ready(answer.clone()))
}

const DOWN: Answer = Err(Error::Of(Class::Backend));

async fn open<S: Service<Req, Response = Via, Error = Error> + Clone>(breaker: &Breaker<S>) {
    for _ in 0..2 {
        assert_eq!(breaker.clone().oneshot(read(0)).await, DOWN);
    }
    assert_eq!(breaker.handle().state(), State::Open);
}

fn rejected(result: Answer) -> Rejected {
    match result {
        Err(Error::Open(rejected)) => rejected,
        other => panic!("expected a rejection, got {other:?}"),
    }
}

// ## Closed => Open

#[tokio::test(start_paused = true)]
async fn opens_after_that_many_failures_in_a_row_and_a_success_begins_the_count_again() {
    let puppet = Puppet::default();
    let breaker = Breaker::new(puppet.service(), config());
    for (answer, state) in
        [(DOWN, State::Closed), (Ok(Via(0)), State::Closed), (DOWN, State::Closed), (DOWN, State::Open)]
    {
        let mut call = task::spawn(breaker.clone().oneshot(read(1)));
        assert_pending!(call.poll());
        puppet.answer(0, answer.clone());
        assert_eq!(assert_ready!(call.poll()), answer);
        assert_eq!(breaker.handle().state(), state);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_refused_or_too_large_says_nothing_bad_about_the_service() {
    for class in Class::ALL {
        let breaker = Breaker::new(answers(Err(Error::Of(class))), config().consecutive_failures(1));
        breaker.clone().oneshot(read(1)).await.unwrap_err();
        let the_requests_fault = matches!(class, Class::Rejected | Class::TooLarge);
        assert_eq!(breaker.handle().state() == State::Closed, the_requests_fault, "{class}");
    }
}

#[tokio::test]
async fn a_closure_over_the_result_says_what_a_failure_is() {
    let layer = BreakerLayer::new(config().consecutive_failures(1))
        .classify_by(|result: &Answer| result.is_ok().then_some(Failure::from(Class::Backend)));
    let handle = layer.handle();
    layer.layer(answers(DOWN)).oneshot(read(1)).await.unwrap_err();
    assert_eq!(handle.state(), State::Closed);
    layer.layer(answers(Ok(Via(0)))).oneshot(read(1)).await.unwrap();
    assert_eq!(handle.state(), State::Open);
}

#[tokio::test]
async fn opens_at_the_rate_only_when_there_were_enough_calls() {
    let puppet = Puppet::default();
    let breaker =
        Breaker::new(puppet.service(), config().consecutive_failures(u16::MAX).failure_rate(0.5, 10, 4));
    for (answer, state) in
        [(DOWN, State::Closed), (DOWN, State::Closed), (Ok(Via(0)), State::Closed), (DOWN, State::Open)]
    {
        let mut call = task::spawn(breaker.clone().oneshot(read(1)));
        assert_pending!(call.poll());
        puppet.answer(0, answer);
        let _ = assert_ready!(call.poll());
        assert_eq!(breaker.handle().state(), state);
    }
}

#[tokio::test]
async fn a_failure_of_the_inner_readiness_is_a_failure() {
    let (mock, mut handle) = mock::pair::<Req, Via>();
    handle.send_error(Error::Of(Class::NotSent));
    let mut breaker = Breaker::new(mock.map_err(Error::from), config().consecutive_failures(1));
    assert_eq!(breaker.ready().await.err(), Some(Error::Of(Class::NotSent)));
    assert_eq!(breaker.handle().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_count_as_failures_where_that_was_asked_for() {
    let slow = service_fn(async |_: Req| {
        tokio::time::sleep(SLOW).await;
        Ok::<_, Error>(Via(0))
    });
    for (config, state) in [(config(), State::Closed), (config().slow_calls_fail(), State::Open)] {
        let breaker = Breaker::new(slow, config);
        for _ in 0..2 {
            breaker.clone().oneshot(read(1)).await.unwrap();
        }
        assert_eq!(breaker.handle().state(), state);
    }
}

// ## Open

#[tokio::test(start_paused = true)]
async fn while_open_calls_are_rejected_at_once_and_the_inner_service_is_not_touched() {
    let (inner, ledger) = Strict::counting(DOWN);
    let breaker = Breaker::new(inner, config());
    open(&breaker).await;
    let before = (ledger.polls(), ledger.calls());
    let mut service = breaker.clone();
    let mut readiness = task::spawn(service.ready());
    let ready = assert_ready_ok!(readiness.poll());
    let mut call = task::spawn(ready.call(read(1)));
    rejected(assert_ready!(call.poll()));
    assert_eq!((ledger.polls(), ledger.calls()), before);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_says_when_the_circuit_tries_again() {
    let breaker = Breaker::new(answers(DOWN), config());
    open(&breaker).await;
    advance(Duration::from_millis(30)).await;
    let rejected = rejected(breaker.clone().oneshot(read(1)).await);
    assert_eq!(rejected.retry_after(), Some(Duration::from_millis(70)));
}

#[tokio::test(start_paused = true)]
async fn a_service_made_ready_before_the_circuit_opened_rejects_its_call() {
    let breaker = Breaker::new(answers(DOWN), config());
    let mut early = breaker.clone();
    early.ready().await.unwrap();
    open(&breaker).await;
    rejected(early.call(read(1)).await);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_was_told_no_is_not_called_unready_when_the_circuit_closes_before_its_call() {
    let (inner, ledger) = Strict::counting(Ok(Via(0)));
    let mut breaker = Breaker::new(inner, config());
    breaker.handle().force_open();
    breaker.ready().await.unwrap();
    breaker.handle().reset();
    rejected(breaker.call(read(1)).await);
    assert_eq!(ledger.calls(), 0);
}

#[tokio::test]
async fn a_caller_that_waits_for_the_inner_service_is_released_when_the_circuit_opens() {
    let (mock, mut handle) = mock::pair::<Req, Via>();
    handle.allow(0);
    let breaker = Breaker::new(mock.map_err(Error::from), config());
    let mut call = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(call.poll());
    breaker.handle().set_healthy(false);
    assert!(call.is_woken());
    assert_eq!(rejected(assert_ready!(call.poll())).retry_after(), None);
}

// ## Open => HalfOpen => (Closed | Open)

#[tokio::test(start_paused = true)]
async fn after_the_back_off_one_probe_passes_and_its_success_closes_the_circuit() {
    let puppet = Puppet::default();
    let breaker = half_open(&puppet).await;
    let mut probe = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(probe.poll());
    assert_eq!(breaker.handle().state(), State::HalfOpen);
    rejected(breaker.clone().oneshot(read(2)).await);
    assert_eq!(puppet.calls(), 1);
    puppet.answer(0, Ok(Via(0)));
    assert_ready_ok!(probe.poll());
    assert_eq!(breaker.handle().state(), State::Closed);
}

/// A breaker whose back-off is over.
async fn half_open(
    puppet: &Puppet,
) -> Breaker<impl Service<Req, Response = Via, Error = Error, Future = impl Future<Output = Answer>> + Clone>
{
    half_open_with(puppet, config()).await
}

async fn half_open_with(
    puppet: &Puppet,
    config: Config,
) -> Breaker<impl Service<Req, Response = Via, Error = Error, Future = impl Future<Output = Answer>> + Clone>
{
    let breaker = Breaker::new(puppet.service(), config);
    for _ in 0..2 {
        let mut call = task::spawn(breaker.clone().oneshot(read(0)));
        assert_pending!(call.poll());
        puppet.answer(0, DOWN);
        assert_eq!(assert_ready!(call.poll()), DOWN);
    }
    assert_eq!(breaker.handle().state(), State::Open);
    advance(FIRST).await;
    breaker
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_opens_the_circuit_for_twice_as_long_up_to_the_cap() {
    let breaker = Breaker::new(answers(DOWN), config());
    open(&breaker).await;
    let mut wait = FIRST;
    for _ in 0..4 {
        assert_eq!(rejected(breaker.clone().oneshot(read(1)).await).retry_after(), Some(wait));
        advance(wait).await;
        assert_eq!(breaker.clone().oneshot(read(1)).await, DOWN);
        wait = (wait * 2).min(CAP);
    }
    breaker.handle().reset();
    open(&breaker).await;
    assert_eq!(
        rejected(breaker.oneshot(read(1)).await).retry_after(),
        Some(FIRST),
        "begins anew once closed"
    );
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_the_back_off_differently_each_time_and_never_lengthens_it() {
    let mut waits = vec![];
    for seed in 0..50 {
        let breaker = Breaker::new(answers(DOWN), config().jitter(0.5).seed(seed));
        open(&breaker).await;
        waits.push(rejected(breaker.oneshot(read(1)).await).retry_after().unwrap());
    }
    assert!(waits.iter().all(|wait| (FIRST / 2..=FIRST).contains(wait)), "{waits:?}");
    waits.sort();
    waits.dedup();
    assert!(waits.len() > 40, "{waits:?}");
    assert!(waits[0] < FIRST * 6 / 10 && waits[waits.len() - 1] > FIRST * 9 / 10, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_probes_are_out_than_allowed_and_that_many_successes_close_the_circuit() {
    let puppet = Puppet::default();
    let breaker = half_open_with(&puppet, config().probes(2, 3)).await;
    let begin = || {
        let mut probe = task::spawn(breaker.clone().oneshot(read(1)));
        assert_pending!(probe.poll());
        probe
    };
    let (mut first, mut second) = (begin(), begin());
    rejected(breaker.clone().oneshot(read(2)).await);
    puppet.answer(0, Ok(Via(0)));
    assert_ready_ok!(first.poll());
    let mut third = begin();
    rejected(breaker.clone().oneshot(read(2)).await);
    for probe in [&mut second, &mut third] {
        assert_eq!(breaker.handle().state(), State::HalfOpen);
        puppet.answer(0, Ok(Via(0)));
        assert_ready_ok!(probe.poll());
    }
    assert_eq!(breaker.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_makes_room_for_another_whether_it_was_called_or_only_made_ready() {
    let puppet = Puppet::default();
    let breaker = half_open(&puppet).await;
    let mut called = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(called.poll());
    rejected(breaker.clone().oneshot(read(2)).await);
    drop(called);
    assert_eq!(breaker.handle().state(), State::HalfOpen, "neutral");

    let mut only_ready = breaker.clone();
    only_ready.ready().await.unwrap();
    rejected(breaker.clone().oneshot(read(3)).await);
    drop(only_ready);
    let mut probe = task::spawn(breaker.clone().oneshot(read(4)));
    assert_pending!(probe.poll());
}

#[tokio::test(start_paused = true)]
async fn a_clone_of_a_service_that_holds_a_probe_does_not_hold_one() {
    let puppet = Puppet::default();
    let breaker = half_open(&puppet).await;
    let mut holder = breaker.clone();
    holder.ready().await.unwrap();
    rejected(holder.clone().oneshot(read(1)).await);
    assert_pending!(task::spawn(holder.call(read(2))).poll());
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_never_comes_back_loses_its_place_and_its_outcome() {
    let puppet = Puppet::default();
    let breaker = half_open(&puppet).await;
    let mut lost = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(lost.poll());
    advance(LEASE - Duration::from_millis(1)).await;
    assert_eq!(
        rejected(breaker.clone().oneshot(read(2)).await).retry_after(),
        Some(Duration::from_millis(1))
    );
    advance(Duration::from_millis(1)).await;
    let mut probe = task::spawn(breaker.clone().oneshot(read(3)));
    assert_pending!(probe.poll());
    puppet.answer(0, DOWN);
    assert_eq!(assert_ready!(lost.poll()), DOWN);
    assert_eq!(breaker.handle().state(), State::HalfOpen, "its outcome came too late");
    puppet.answer(0, Ok(Via(0)));
    assert_ready_ok!(probe.poll());
    assert_eq!(breaker.handle().state(), State::Closed);
}

// ## Dropped calls and late outcomes

#[tokio::test(start_paused = true)]
async fn impatient_callers_do_not_open_the_circuit_for_all() {
    let breaker = Breaker::new(service_fn(|_: Req| pending::<Answer>()), config());
    for _ in 0..100 {
        let mut call = task::spawn(breaker.clone().oneshot(read(1)));
        assert_pending!(call.poll());
        advance(SLOW - Duration::from_millis(1)).await;
        drop(call);
    }
    assert_eq!(breaker.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_outside_the_breaker_opens_it_all_the_same() {
    let breaker = Breaker::new(service_fn(|_: Req| pending::<Answer>()), config());
    let stack = rosey_layers::Timeout::new(breaker.clone(), SLOW);
    for _ in 0..2 {
        assert!(matches!(stack.clone().oneshot(read(1)).await, Err(Error::Elapsed(_))));
    }
    assert_eq!(breaker.handle().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_that_is_dropped_opens_the_circuit_again() {
    let puppet = Puppet::default();
    let breaker = half_open(&puppet).await;
    let mut probe = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(probe.poll());
    advance(SLOW).await;
    drop(probe);
    assert_eq!(breaker.handle().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_from_before_a_change_of_state_changes_nothing() {
    let puppet = Puppet::default();
    let breaker = Breaker::new(puppet.service(), config().consecutive_failures(1));
    let mut late: Vec<_> = (0..3).map(|id| task::spawn(breaker.clone().oneshot(read(id)))).collect();
    for call in &mut late {
        assert_pending!(call.poll());
    }
    // One fails: open. A success that comes late does not close it.
    puppet.answer(0, DOWN);
    assert_eq!(assert_ready!(late[0].poll()), DOWN);
    puppet.answer(0, Ok(Via(0)));
    assert_ready_ok!(late[1].poll());
    assert_eq!(breaker.handle().state(), State::Open);
    // Closed again, a failure that comes late does not open it.
    breaker.handle().reset();
    puppet.answer(0, DOWN);
    assert_eq!(assert_ready!(late[2].poll()), DOWN);
    assert_eq!(breaker.handle().state(), State::Closed);
}

// ## The handle

#[tokio::test(start_paused = true)]
async fn all_services_of_a_layer_and_all_clones_share_one_circuit() {
    let layer = BreakerLayer::new(config());
    let down = layer.layer(answers(DOWN));
    open(&down).await;
    rejected(layer.layer(answers(Ok(Via(0)))).oneshot(read(1)).await);
    assert_eq!(layer.clone().handle().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_operator_opens_and_closes_the_circuit_whatever_the_calls_say() {
    let breaker = Breaker::new(answers(DOWN), config());
    let handle = breaker.handle();
    handle.force_closed();
    for _ in 0..10 {
        assert_eq!(breaker.clone().oneshot(read(1)).await, DOWN);
    }
    handle.force_open();
    advance(Duration::from_secs(3600)).await;
    assert_eq!(rejected(breaker.clone().oneshot(read(1)).await).retry_after(), None);
    handle.set_healthy(true);
    assert_eq!(handle.state(), State::ForcedOpen);
    handle.reset();
    open(&breaker).await;
}

#[tokio::test(start_paused = true)]
async fn the_health_signal_opens_and_closes_the_circuit_and_no_caller_pays_for_a_probe() {
    let puppet = Puppet::default();
    let breaker = Breaker::new(puppet.service(), config().consecutive_failures(1).closes_on_signal_only());
    let handle = breaker.handle();
    let mut call = task::spawn(breaker.clone().oneshot(read(1)));
    assert_pending!(call.poll());
    puppet.answer(0, DOWN);
    assert_eq!(assert_ready!(call.poll()), DOWN);
    assert_eq!(handle.state(), State::Held);
    advance(Duration::from_secs(3600)).await;
    assert_eq!(rejected(breaker.clone().oneshot(read(1)).await).retry_after(), None);
    handle.set_healthy(true);
    assert_eq!(handle.state(), State::Closed);
    handle.set_healthy(false);
    assert_eq!(handle.state(), State::Held);
    assert_eq!(puppet.calls(), 0);
}

#[tokio::test]
async fn a_watch_tells_every_change_once_and_misses_none() {
    let handle = BreakerLayer::new(config()).handle();
    let mut watch = handle.watch();
    let mut changed = task::spawn(watch.changed());
    assert_pending!(changed.poll());
    handle.set_healthy(false);
    assert!(changed.is_woken());
    assert_eq!(assert_ready!(changed.poll()), State::Held);
    drop(changed);
    // A change while nobody waits is told to the next who does.
    handle.set_healthy(true);
    let mut changed = task::spawn(watch.changed());
    assert_eq!(assert_ready!(changed.poll()), State::Closed);
    drop(changed);
    assert_pending!(task::spawn(watch.changed()).poll());
    handle.set_healthy(true); // no news
    assert_pending!(task::spawn(watch.changed()).poll());
}

#[tokio::test(start_paused = true)]
async fn opening_and_closing_is_logged_with_the_tag() {
    let (events, _guard) = support::events::Events::catch(tracing::Level::INFO);
    let breaker = Breaker::new(answers(DOWN), config().tag("[NATS]"));
    open(&breaker).await;
    breaker.handle().set_healthy(true);
    assert_eq!(
        events.take(),
        ["WARN [NATS] circuit opened for 100ms from=Closed", "INFO [NATS] circuit closed from=Open"]
    );
}
