//! What opens a circuit.

use super::*;

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
