//! What a full outage of the primary may cost the secondary.

use super::*;
use eitherway_layers::fallback::{Budget, LimitReroutes};
use proptest::prelude::*;

#[tokio::test(start_paused = true)]
async fn in_a_full_outage_the_secondary_gets_what_the_budget_pays_and_the_rest_fails_at_once() {
    let policy = LimitReroutes::new(ByClass::new(), Budget::new(0.1, 3, 100));
    let (secondary, ledger) = Strict::counting(Ok(Via(1)));
    let stack = fails(Class::Backend).fallback_with(secondary, policy.clone());
    let mut refused = 0;
    for id in 0..10 {
        match stack.clone().oneshot(read(id)).await {
            Ok(via) => assert_eq!(via, Via(1)),
            Err(error) => {
                assert_eq!(error, FallbackError::Primary(Error::Of(Class::Backend)));
                refused += 1;
            }
        }
    }
    assert_eq!((ledger.calls(), refused, policy.refused()), (3, 7, 7));
    advance(Duration::from_secs(1)).await;
    for id in 0..10 {
        let _ = stack.clone().oneshot(read(id)).await;
    }
    assert_eq!((ledger.calls(), policy.refused()), (6, 14), "three a second");
}

#[tokio::test(start_paused = true)]
async fn what_the_primary_answers_earns_reroutes_and_a_bypass_of_it_costs_one() {
    let policy = LimitReroutes::new(ByClass::new().unready(Unready::Reroute), Budget::new(0.5, 0, 2));
    let layer = FallbackLayer::new(answers(Ok(Via(1))), policy.clone());
    assert!(layer.layer(fails(Class::Backend)).oneshot(read(1)).await.is_err());
    for _ in 0..100 {
        layer.layer(answers(Ok(Via(0)))).oneshot(read(1)).await.unwrap();
    }
    let (mock, mut handle) = mock::pair::<Req, Via>();
    handle.allow(0);
    assert_eq!(layer.layer(mock.map_err(Error::from)).oneshot(read(1)).await, Ok(Via(1)));
    layer.layer(fails(Class::Backend)).oneshot(read(1)).await.unwrap();
    assert!(layer.layer(fails(Class::Backend)).oneshot(read(1)).await.is_err());
    assert_eq!(policy.refused(), 2);
}

#[tokio::test(start_paused = true)]
async fn how_long_a_secondary_is_waited_for_is_for_the_policy_under_the_budget_to_say() {
    let (never, mut handle) = mock::pair::<Req, Via>();
    handle.allow(0);
    let patience = Duration::from_millis(7);
    let policy = LimitReroutes::new(ByClass::new().patience(Some(patience)), Budget::unlimited());
    let stack = fails(Class::Backend).fallback_with(never.map_err(Error::from), policy);
    let (primary, fallback) = (Some(Error::Of(Class::Backend)), NotReady::new(patience));
    assert_eq!(stack.oneshot(read(1)).await, Err(FallbackError::NotReady { primary, fallback }));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Answers,
    Fails(Class),
    Passes(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => Just(Step::Answers),
        3 => prop::sample::select(&Class::ALL[..]).prop_map(Step::Fails),
        1 => (0..700_u64).prop_map(Step::Passes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// In thousandths of a call, with a clock that never wraps and an account that is topped up at every step.
    #[test]
    fn reroutes_are_those_that_a_naive_account_can_pay(
        steps in prop::collection::vec(step(), 0..60), thousandths in 0..1_000_u64, per_second in 0..5_u32, most in 0..5_u32,
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let budget = Budget::new(thousandths as f64 / 1000.0, per_second, most);
            let layer = FallbackLayer::new(answers(Ok(Via(1))), LimitReroutes::new(ByClass::new(), budget));
            let cap = u64::from(most) * 1000;
            let mut balance = (u64::from(per_second) * 1000).min(cap);
            for step in steps {
                match step {
                    Step::Passes(ms) => {
                        advance(Duration::from_millis(ms)).await;
                        balance = (balance + ms * u64::from(per_second)).min(cap);
                    }
                    Step::Answers => {
                        layer.layer(answers(Ok(Via(0)))).oneshot(read(1)).await.unwrap();
                        // A ratio that is no binary fraction is rounded down by at most a thousandth.
                        balance = (balance + (thousandths as f64 / 1000.0 * 1000.0) as u64).min(cap);
                    }
                    Step::Fails(class) => {
                        let served = layer.layer(fails(class)).oneshot(read(1)).await.is_ok();
                        let pays = class != Class::Rejected && balance >= 1000;
                        prop_assert_eq!(served, pays, "{:?}", balance);
                        balance -= if pays { 1000 } else { 0 };
                    }
                }
            }
            Ok(())
        })?;
    }
}
