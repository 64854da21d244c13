//! Promises of `Stale`.

use crate::support::{Error, Req, Via, read, write};
use eitherway_layers::{Class, StaleLayer, stale::Keep};
use proptest::prelude::*;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

/// Keeps every answer, and marks none.
#[derive(Clone)]
pub(crate) struct All;

impl Keep<Req, Via> for All {
    type Key = u64;
    fn key(&self, req: &Req) -> Option<u64> {
        Some(req.id)
    }
    fn bytes(&self, _: &u64, _: &Via) -> usize {
        1
    }
    fn mark(&self, _: &mut Via, _: Duration) {}
}

/// An answer, its weight, and its age if it was kept.
#[derive(Clone, Debug, PartialEq)]
struct Response {
    number: u64,
    bytes: usize,
    age: Option<Duration>,
}

/// Keeps the answers to reads.
#[derive(Clone)]
struct Reads;

impl Keep<Req, Response> for Reads {
    type Key = u64;
    fn key(&self, req: &Req) -> Option<u64> {
        (!req.write).then_some(req.id)
    }
    /// A key has as many bytes as its number is.
    fn bytes(&self, id: &u64, found: &Response) -> usize {
        found.bytes + usize::try_from(*id).unwrap()
    }
    fn mark(&self, found: &mut Response, age: Duration) {
        found.age = Some(age);
    }
}

type Answer = Result<Response, Error>;
type Script = Arc<Mutex<Answer>>;
const AGE: Duration = Duration::from_secs(30);

const fn found(number: u64, bytes: usize) -> Response {
    Response { number, bytes, age: None }
}

/// Answers as the script says.
fn scripted(
    script: &Script,
) -> impl Service<Req, Response = Response, Error = Error, Future: Send> + Clone + use<> {
    let script = Arc::clone(script);
    service_fn(move |_: Req| {
        let answer = script.lock().unwrap().clone();
        async move { answer }
    })
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_answered_with_the_last_answer_marked_with_its_age_until_it_is_too_old() {
    let script: Script = Arc::new(Mutex::new(Ok(found(1, 1))));
    let stack = StaleLayer::new(Reads).max_age(AGE).layer(scripted(&script));
    let ask = |req| stack.clone().oneshot(req);
    assert_eq!(ask(read(1)).await, Ok(found(1, 1)));
    for class in [Class::NotSent, Class::TooLarge, Class::Backend, Class::Unknown] {
        *script.lock().unwrap() = Err(Error::Of(class));
        advance(Duration::from_secs(5)).await;
        let age = Some(Duration::from_secs(5 * (class as u64 + 1)));
        assert_eq!(ask(read(1)).await, Ok(Response { age, ..found(1, 1) }));
    }
    assert!(ask(read(2)).await.is_err(), "another request");
    *script.lock().unwrap() = Err(Error::Of(Class::Rejected));
    assert_eq!(
        ask(read(2)).await,
        Err(Error::Of(Class::Rejected)),
        "a refusal is an answer, and to nothing else"
    );
    *script.lock().unwrap() = Err(Error::Of(Class::Unknown));
    advance(Duration::from_secs(10)).await;
    assert!(ask(read(1)).await.is_ok(), "30 s");
    advance(Duration::from_millis(1)).await;
    assert_eq!(ask(read(1)).await, Err(Error::Of(Class::Unknown)));
}

/// After this many milliseconds.
fn in_time(
    ms: u64,
    answer: Answer,
) -> impl Service<Req, Response = Response, Error = Error, Future: Send> + Clone + use<> {
    service_fn(move |_: Req| {
        let answer = answer.clone();
        async move {
            sleep(Duration::from_millis(ms)).await;
            answer
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_refusal_takes_the_answer_to_an_earlier_call_back_and_none_to_a_later_one() {
    let layer = StaleLayer::new(Reads);
    let (answers, refuses) = (Ok(found(1, 1)), Err(Error::Of(Class::Rejected)));
    let ask = |ms, answer: &Answer| tokio::spawn(layer.layer(in_time(ms, answer.clone())).oneshot(read(1)));
    let fails: Answer = Err(Error::Of(Class::Unknown));
    ask(0, &answers).await.unwrap().unwrap();
    advance(Duration::from_millis(1)).await;
    assert_eq!(ask(0, &refuses).await.unwrap(), refuses);
    assert_eq!(ask(0, &fails).await.unwrap(), fails, "it was disproved");
    assert_eq!(layer.size(), (0, 0));

    let slow = ask(10, &refuses);
    sleep(Duration::from_millis(1)).await;
    ask(0, &answers).await.unwrap().unwrap();
    assert_eq!(slow.await.unwrap(), refuses);
    assert!(ask(0, &fails).await.unwrap().is_ok(), "it is of a later call");
}

#[tokio::test(start_paused = true)]
async fn what_is_forgotten_does_not_come_back_with_a_call_that_was_under_way() {
    let layer = StaleLayer::new(Reads);
    let ask = |ms, answer: Answer| tokio::spawn(layer.layer(in_time(ms, answer)).oneshot(read(1)));
    ask(0, Ok(found(1, 1))).await.unwrap().unwrap();
    let slow = ask(10, Ok(found(2, 1)));
    let failing = ask(5, Err(Error::Of(Class::Unknown)));
    sleep(Duration::from_millis(1)).await;
    layer.forget();
    assert!(failing.await.unwrap().is_err(), "nor is it given to one");
    slow.await.unwrap().unwrap();
    assert_eq!(layer.size(), (0, 0));
    sleep(Duration::from_millis(1)).await;
    ask(0, Ok(found(3, 1))).await.unwrap().unwrap();
    assert_eq!(layer.size(), (1, 2), "later ones are kept");
}

#[tokio::test(start_paused = true)]
async fn an_answer_past_its_age_is_dropped_when_the_next_one_is_looked_for() {
    let layer = StaleLayer::new(Reads).max_age(AGE);
    layer.layer(in_time(0, Ok(found(1, 1)))).oneshot(read(1)).await.unwrap();
    advance(AGE + Duration::from_millis(1)).await;
    assert_eq!(layer.size(), (1, 2));
    layer.layer(in_time(0, Err(Error::Of(Class::Unknown)))).oneshot(read(2)).await.unwrap_err();
    assert_eq!(layer.size(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_kept_is_not_kept() {
    let script: Script = Arc::new(Mutex::new(Ok(found(1, 1))));
    let layer = StaleLayer::new(Reads);
    let stack = layer.layer(scripted(&script));
    stack.clone().oneshot(write(1)).await.unwrap();
    assert_eq!(layer.size(), (0, 0));
    *script.lock().unwrap() = Err(Error::Of(Class::Unknown));
    assert!(stack.oneshot(write(1)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_was_overtaken_does_not_replace_a_newer_one() {
    let layer = StaleLayer::new(Reads);
    let slow = layer.layer(service_fn(async |_: Req| {
        sleep(Duration::from_secs(2)).await;
        Answer::Ok(found(1, 1))
    }));
    let slow = tokio::spawn(slow.oneshot(read(1)));
    sleep(Duration::from_secs(1)).await;
    layer.layer(service_fn(async |_: Req| Answer::Ok(found(2, 1)))).oneshot(read(1)).await.unwrap();
    assert_eq!(slow.await.unwrap(), Ok(found(1, 1)));
    let fails = service_fn(async |_: Req| Answer::Err(Error::Of(Class::Unknown)));
    assert_eq!(layer.layer(fails).oneshot(read(1)).await.unwrap().number, 2);
}

#[derive(Clone, Debug)]
enum Step {
    Answers { id: u64, bytes: usize },
    Fails(u64),
    Passes(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..6_u64, 0..12_usize).prop_map(|(id, bytes)| Step::Answers { id, bytes }),
        3 => (0..6_u64).prop_map(Step::Fails),
        1 => (0..15_000_u64).prop_map(Step::Passes),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    /// Beside a list of all answers, which is searched from its end.
    #[test]
    fn what_is_kept_is_the_newest_within_all_bounds(
        steps in prop::collection::vec(step(), 0..80), most in 0..5_usize, most_bytes in 0..20_usize,
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let layer = StaleLayer::new(Reads).max_age(AGE).most(most).most_bytes(most_bytes);
            let script: Script = Arc::new(Mutex::new(Ok(found(0, 0))));
            let stack = layer.layer(scripted(&script));
            let mut kept: Vec<(u64, Instant, Response)> = Vec::new();
            for (number, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Passes(ms) => advance(Duration::from_millis(ms)).await,
                    Step::Answers { id, bytes } => {
                        let answer = found(number as u64, bytes);
                        *script.lock().unwrap() = Ok(answer.clone());
                        stack.clone().oneshot(read(id)).await.unwrap();
                        kept.retain(|(of, at, _)| *of != id && at.elapsed() <= AGE);
                        let weight = |id: u64, found: &Response| Reads.bytes(&id, found);
                        if weight(id, &answer) <= most_bytes {
                            kept.push((id, Instant::now(), answer));
                        }
                        let total = |kept: &[(u64, Instant, Response)]| kept.iter().map(|(id, _, found)| weight(*id, found)).sum::<usize>();
                        while kept.len() > most || total(&kept) > most_bytes {
                            kept.remove(0);
                        }
                        prop_assert_eq!(layer.size(), (kept.len(), total(&kept)));
                    }
                    Step::Fails(id) => {
                        *script.lock().unwrap() = Err(Error::Of(Class::Backend));
                        kept.retain(|(_, at, _)| at.elapsed() <= AGE);
                        let expected = kept.iter().find(|(of, ..)| *of == id);
                        let expected = expected.map(|(_, at, found)| Response { age: Some(at.elapsed()), ..found.clone() });
                        prop_assert_eq!(stack.clone().oneshot(read(id)).await.ok(), expected);
                        prop_assert_eq!(layer.size().0, kept.len());
                    }
                }
            }
            Ok(())
        })?;
    }
}
