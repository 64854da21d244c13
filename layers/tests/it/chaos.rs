//! Promises of `Chaos`.

use crate::support::{Error, Req, Via, read, strict::Strict};
use eitherway_layers::{ChaosLayer, Class};
use std::{future::ready, time::Duration};
use tokio::time::{Instant, timeout};
use tower::{Layer, ServiceExt, service_fn};

type Answer = Result<Via, Error>;

const LATE: Duration = Duration::from_millis(30);

fn error() -> Error {
    Error::Of(Class::Unknown)
}

/// What became of each of this many calls: `.` well, `h` hangs, `x` fails, `d` late; and how many reached the service.
async fn run(layer: ChaosLayer<fn() -> Error>, calls: u64) -> (String, usize) {
    let (inner, ledger) = Strict::counting(Ok(Via(0)));
    let service = layer.layer(inner);
    let mut seen = String::new();
    for id in 0..calls {
        let start = Instant::now();
        let answer = timeout(Duration::from_secs(1), service.clone().oneshot(read(id))).await;
        seen.push(match answer {
            Err(_) => 'h',
            Ok(Err(_)) => 'x',
            Ok(Ok(_)) if start.elapsed() == LATE => 'd',
            Ok(Ok(_)) => '.',
        });
    }
    (seen, ledger.calls())
}

fn layer(seed: u64) -> ChaosLayer<fn() -> Error> {
    ChaosLayer::new(seed, error as fn() -> Error)
}

#[tokio::test(start_paused = true)]
async fn a_seed_gives_the_same_faults_and_another_seed_others() {
    let faults = |seed| layer(seed).hang(0.1).fail(0.2).delay(0.3, LATE);
    let (first, reached) = run(faults(1), 300).await;
    assert_eq!(run(faults(1), 300).await.0, first);
    assert_ne!(run(faults(2), 300).await.0, first);
    let count = |what| first.matches(what).count();
    let (hung, failed, late) = (count('h'), count('x'), count('d'));
    assert!((15..45).contains(&hung) && (40..80).contains(&failed) && (65..115).contains(&late), "{first}");
    assert_eq!(reached, 300 - hung - failed, "a call that hangs or fails does not reach the service");
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_has_had_its_effect() {
    assert_eq!(run(layer(1).lose(1.0), 5).await, ("xxxxx".to_owned(), 5));
    assert_eq!(run(layer(1).fail(1.0), 5).await, ("xxxxx".to_owned(), 0));
}

#[tokio::test(start_paused = true)]
async fn faults_begin_and_end_when_they_are_told_to() {
    let layer = layer(1).fail(1.0);
    let service = layer.layer(service_fn(|_: Req| ready(Answer::Ok(Via(0)))));
    layer.set_active(false);
    assert!(service.clone().oneshot(read(1)).await.is_ok());
    layer.set_active(true);
    assert!(service.oneshot(read(2)).await.is_err());
    assert_eq!(layer.calls(), 2);
}
