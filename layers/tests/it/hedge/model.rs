//! Any interleaving of answers, delays and cancellations, beside a naive account of what must come out.

use super::*;
use proptest::prelude::*;

/// How one path ends: after this many milliseconds, or never.
type End = Option<(u64, Answer)>;

#[derive(Clone, Debug)]
struct Sent {
    /// Milliseconds after the request before it.
    gap: u64,
    primary: End,
    secondary: End,
    given_up_after: Option<u64>,
}

/// When a request that is never answered is given up, in milliseconds.
const NEVER: u64 = 1_000;

#[derive(Clone, Copy, Debug)]
struct Rules {
    delay: u64,
    ratio: f64,
    per_second: u32,
    most: u32,
}

/// What was seen of one request, in milliseconds since the beginning of the run.
#[derive(Clone, Debug, Default)]
struct Seen {
    sent: u64,
    /// When each path was called.
    calls: [Vec<u64>; 2],
    result: Option<(u64, Result<Via, Both>)>,
}

fn end(path: usize) -> impl Strategy<Value = End> {
    let answer = prop_oneof![
        4 => Just(Ok(Via(path))),
        1 => Just(Err(Error::Of(Class::NotSent))),
        1 => Just(Err(Error::Of(Class::Backend))),
        1 => Just(Err(Error::Of(Class::Rejected))),
    ];
    prop_oneof![6 => (0..80_u64, answer).prop_map(Some), 1 => Just(None)]
}

fn sent() -> impl Strategy<Value = Sent> {
    (0..40_u64, end(0), end(1), prop::option::weighted(0.2, 0..100_u64)).prop_map(
        |(gap, primary, secondary, given_up_after)| Sent { gap, primary, secondary, given_up_after },
    )
}

fn rules() -> impl Strategy<Value = Rules> {
    (1..40_u64, 0.0..0.5_f64, 0..20_u32, 0..5_u32).prop_map(|(delay, ratio, per_second, most)| Rules {
        delay,
        ratio,
        per_second,
        most,
    })
}

/// A path that ends as the request's number says, and records its calls.
fn path(
    which: usize,
    sent: &Arc<Vec<Sent>>,
    seen: &Arc<Mutex<Vec<Seen>>>,
    epoch: Instant,
) -> impl Service<Req, Response = Via, Error = Error, Future: Send> + Clone + use<> {
    let (sent, seen) = (Arc::clone(sent), Arc::clone(seen));
    service_fn(move |req: Req| {
        let number = req.id as usize;
        seen.lock().unwrap()[number].calls[which].push(epoch.elapsed().as_millis() as u64);
        let end = if which == 0 { sent[number].primary.clone() } else { sent[number].secondary.clone() };
        async move {
            match end {
                Some((0, answer)) => answer,
                Some((after, answer)) => {
                    sleep(Duration::from_millis(after)).await;
                    answer
                }
                None => pending().await,
            }
        }
    })
}

async fn run(rules: Rules, sent: Vec<Sent>) -> (Vec<Seen>, u64) {
    let epoch = Instant::now();
    let seen = Arc::new(Mutex::new(vec![Seen::default(); sent.len()]));
    let sent = Arc::new(sent);
    let budget = Budget::new(rules.ratio, rules.per_second, rules.most);
    let config = Config::new().after(Duration::from_millis(rules.delay)).budget(budget).charge_silence();
    let pace = Pace::new(config);
    let stack = hedged(path(0, &sent, &seen, epoch), path(1, &sent, &seen, epoch), &pace);
    let mut calls = tokio::task::JoinSet::new();
    for (number, request) in sent.iter().enumerate() {
        sleep(Duration::from_millis(request.gap)).await;
        let limit = Duration::from_millis(request.given_up_after.unwrap_or(NEVER));
        let call = tokio::time::timeout(limit, stack.clone().oneshot(read(number as u64)));
        let seen = Arc::clone(&seen);
        seen.lock().unwrap()[number].sent = epoch.elapsed().as_millis() as u64;
        calls.spawn(async move {
            let result = call.await.ok();
            let at = epoch.elapsed().as_millis() as u64;
            seen.lock().unwrap()[number].result = result.map(|result| (at, result));
        });
    }
    calls.join_all().await;
    let seen = seen.lock().unwrap().clone();
    (seen, pace.counts().started)
}

/// When a path ended that was called then.
fn ended(called: &[u64], end: &End) -> Option<(u64, Answer)> {
    let (after, answer) = end.clone()?;
    Some((called.first()? + after, answer))
}

const REFUSED: Error = Error::Of(Class::Rejected);

/// What two paths must give, if those that end at once do so in this order.
fn expected(
    primary: Option<(u64, Answer)>,
    secondary: Option<(u64, Answer)>,
    primary_first: bool,
) -> Option<(u64, Result<Via, Both>)> {
    use FallbackError::{Both as Two, Primary, Unready};
    match (primary, secondary) {
        (Some((p, first)), Some((s, second))) => {
            let before = p < s || (p == s && primary_first);
            Some(match (first, second) {
                (Ok(via), _) if before => (p, Ok(via)),
                (Err(error), _) if before && error == REFUSED => (p, Err(Primary(error))),
                (_, Ok(via)) if !before => (s, Ok(via)),
                (_, Err(error)) if !before && error == REFUSED => (s, Err(Unready { fallback: error })),
                (Ok(via), _) => (p, Ok(via)),
                (Err(_), Ok(via)) => (s, Ok(via)),
                (Err(primary), Err(fallback)) => (p.max(s), Err(Two { primary, fallback })),
            })
        }
        (Some((p, Ok(via))), None) => Some((p, Ok(via))),
        (Some((p, Err(error))), None) if error == REFUSED => Some((p, Err(Primary(error)))),
        (None, Some((s, Ok(via)))) => Some((s, Ok(via))),
        (None, Some((s, Err(error)))) if error == REFUSED => Some((s, Err(Unready { fallback: error }))),
        _ => None, // waits for a call that is never answered
    }
}

fn check(rules: Rules, sent: &[Sent], seen: &[Seen], counted: u64) -> Result<(), TestCaseError> {
    let mut hedges = vec![];
    for (request, seen) in sent.iter().zip(seen) {
        prop_assert_eq!(seen.calls[0].len(), 1);
        prop_assert!(seen.calls[1].len() <= 1, "the secondary was called twice: {:?}", seen);
        let primary = ended(&seen.calls[0], &request.primary);
        if let Some(&at) = seen.calls[1].first() {
            match &primary {
                Some((failed, Err(error))) if *failed == at => prop_assert_ne!(error, &REFUSED),
                _ => {
                    prop_assert!(at >= seen.sent + rules.delay, "too early: {:?}", seen);
                    hedges.push(at);
                }
            }
        } else if let (Some((failed, Err(error))), Some(limit)) = (&primary, request.given_up_after)
            && *error != REFUSED
        {
            prop_assert!(*failed >= seen.sent + limit, "not rerouted: {:?}", seen);
        }
        match &seen.result {
            Some(result) => {
                let secondary = ended(&seen.calls[1], &request.secondary);
                let [one, other] =
                    [true, false].map(|first| expected(primary.clone(), secondary.clone(), first));
                prop_assert!(
                    Some(result) == one.as_ref() || Some(result) == other.as_ref(),
                    "{seen:?}, not {one:?}"
                );
            }
            None => {
                let limit = seen.sent + request.given_up_after.unwrap_or(NEVER);
                let due = expected(primary, ended(&seen.calls[1], &request.secondary), true);
                prop_assert!(due.is_none_or(|(at, _)| at >= limit), "no result: {:?}", seen);
            }
        }
    }
    // A hedge at the very moment at which the primary fails is counted by the pace, and may be seen as a reroute.
    prop_assert!(hedges.len() as u64 <= counted);
    hedges.sort_unstable();
    for (before, at) in hedges.iter().enumerate() {
        let answers = sent
            .iter()
            .zip(seen)
            .filter_map(|(request, seen)| ended(&seen.calls[0], &request.primary))
            .filter(|(ended, _)| ended <= at)
            .count();
        let first = f64::from(rules.per_second.min(rules.most));
        let earned = first + answers as f64 * rules.ratio + f64::from(rules.per_second) * *at as f64 / 1000.0;
        prop_assert!(
            before as f64 + 1.0 <= earned + 0.001,
            "hedge {} at {at} ms, earned {earned}",
            before + 1
        );
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_has_one_result_each_path_is_called_once_at_most_and_hedges_keep_to_the_budget(
        rules in rules(),
        sent in prop::collection::vec(sent(), 1..30),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (seen, counted) = runtime.block_on(run(rules, sent.clone()));
        check(rules, &sent, &seen, counted)?;
    }
}
