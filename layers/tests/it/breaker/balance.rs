//! A breaker around each endpoint of a balancer.

use super::*;
use tower::{
    balance::p2c::Balance,
    discover::ServiceList,
    load::{CompleteOnResponse, Load, PendingRequests},
};

/// Of 800 requests, one in 10 ms, this many fail.
async fn failures_of_800(circuit: Config) -> usize {
    let endpoint = |broken: bool| {
        let service = service_fn(move |_: Req| async move {
            if broken {
                return DOWN;
            }
            tokio::time::sleep(SLOW).await;
            Ok(Via(0))
        });
        Breaker::new(PendingRequests::new(service, CompleteOnResponse::default()), circuit.clone())
    };
    let list = ServiceList::new::<Req>(vec![endpoint(false), endpoint(true)]);
    let mut balance = Balance::new(list);
    let mut calls = vec![];
    for id in 0..800 {
        calls.push(tokio::spawn(balance.ready().await.unwrap().call(read(id))));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut failed = 0;
    for call in calls {
        failed += usize::from(call.await.unwrap().is_err());
    }
    failed
}

#[tokio::test(start_paused = true)]
async fn under_a_balancer_an_open_circuit_attracts_nothing() {
    let minute = Duration::from_secs(60);
    let circuit = config().back_off(minute, minute);
    assert_eq!(failures_of_800(circuit.clone()).await, 2, "those that opened it");
    assert_eq!(failures_of_800(circuit.unready_when_open()).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_balancer_sends_the_probe_that_closes_a_circuit() {
    for circuit in [config(), config().unready_when_open()] {
        let endpoint = || {
            let service = service_fn(async |_: Req| {
                tokio::time::sleep(SLOW).await;
                Ok::<_, Error>(Via(0))
            });
            Breaker::new(PendingRequests::new(service, CompleteOnResponse::default()), circuit.clone())
        };
        let (well, was_ill) = (endpoint(), endpoint());
        let handle = was_ill.handle();
        handle.trip();
        assert!(was_ill.load() > well.load());
        let mut balance = Balance::new(ServiceList::new::<Req>(vec![well, was_ill]));
        let mut calls = vec![];
        for id in 0..30 {
            calls.push(tokio::spawn(balance.ready().await.unwrap().call(read(id))));
            tokio::time::sleep(FIRST / 2).await;
        }
        for call in calls {
            assert!(call.await.unwrap().is_ok());
        }
        assert_eq!(handle.state(), State::Closed);
    }
}
