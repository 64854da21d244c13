//! What is said of the same trouble when it comes often.

use super::*;

/// Calls over clones of one log.
struct Calls<L: Clone> {
    log: L,
    events: Events,
    _guard: Guard,
}

fn calls(layer: LogLayer) -> Calls<LogLayer> {
    let (events, _guard) = Events::catch(Level::INFO);
    Calls { log: layer, events, _guard }
}

impl Calls<LogLayer> {
    async fn end(&self, answer: Answer) {
        let inner = service_fn(move |_: Req| {
            let answer = answer.clone();
            async {
                tokio::task::yield_now().await;
                answer
            }
        });
        let _ = self.log.layer(inner).oneshot(write(7)).await;
    }
    /// A call that does not have to wait.
    async fn end_at_once(&self, answer: Answer) {
        let _ = self.log.layer(service_fn(move |_: Req| ready(answer.clone()))).oneshot(write(7)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_thousands_of_time_outs_one_is_said_whole_then_one_in_ten_seconds_and_none_goes_uncounted() {
    let calls = calls(path());
    for _ in 0..3_000 {
        calls.end(TOO_LATE).await;
        advance(Duration::from_millis(5)).await;
    }
    let said = calls.events.take();
    assert_eq!(said.len(), 2, "15 s: {said:?}");
    assert!(said[0].starts_with("WARN [NATS] write timed out: no answer within 2s id=7"), "{said:?}");
    assert!(said[1].contains("within 2s (1999 similar messages suppressed) id=7"), "{said:?}");
    // Recovered, and for long enough: the rest is reported once.
    calls.end(Ok(Via(0))).await;
    assert_eq!(calls.events.take(), Vec::<String>::new(), "a single success may be chance");
    advance(RateLimitedLog::CALM).await;
    for _ in 0..3 {
        calls.end(Ok(Via(0))).await;
    }
    assert_eq!(calls.events.take(), ["WARN [NATS] 999 more operations timed out, in 15.0 s class=unknown"]);
    // The next failure is logged, unless it comes within ten seconds of that line.
    advance(RateLimitedLog::EVERY).await;
    calls.end(TOO_LATE).await;
    assert_eq!(calls.events.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn trouble_that_comes_and_goes_for_an_hour_is_at_most_two_lines_in_ten_seconds_and_none_goes_uncounted()
{
    let calls = calls(path());
    for _ in 0..1_000 {
        calls.end(TOO_LATE).await;
        calls.end(TOO_LATE).await;
        advance(Duration::from_millis(3_500)).await;
        calls.end(Ok(Via(0))).await;
    }
    advance(RateLimitedLog::EVERY).await;
    calls.end(Ok(Via(0))).await;
    let said = calls.events.take();
    assert!(said.len() <= 700, "{} lines", said.len());
    // A complete line stands for itself and for the messages it counts; a summary only for those it counts.
    let number = |text: &str| text.split([' ', '(']).find_map(|word| word.parse::<u64>().ok());
    let counted = said.iter().map(|line| match line.split_once("within 2s") {
        Some((_, more)) => 1 + number(more).filter(|_| more.starts_with(" (")).unwrap_or_default(),
        None => number(line).unwrap(),
    });
    assert_eq!(counted.sum::<u64>(), 2_000, "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn what_timed_out_before_the_circuit_opened_is_told_although_nothing_succeeds_any_more() {
    let calls = calls(path());
    for _ in 0..50 {
        calls.end(TOO_LATE).await;
    }
    assert_eq!(calls.events.take().len(), 1);
    for _ in 0..3_600 {
        calls.end_at_once(Err(Error::Of(Class::NotSent))).await;
        advance(Duration::from_secs(1)).await;
    }
    assert_eq!(calls.events.take(), ["WARN [NATS] 49 more operations timed out, in 0.0 s class=unknown"]);
}

#[tokio::test(start_paused = true)]
async fn a_success_that_came_at_once_does_not_look_whether_trouble_is_over() {
    let calls = calls(path());
    for _ in 0..5 {
        calls.end(TOO_LATE).await;
    }
    advance(RateLimitedLog::CALM).await;
    calls.events.take();
    calls.end_at_once(Ok(Via(0))).await;
    assert_eq!(calls.events.take(), Vec::<String>::new());
    calls.end(Ok(Via(0))).await;
    assert_eq!(calls.events.take(), ["WARN [NATS] 4 more operations timed out, in 0.0 s class=unknown"]);
}

#[tokio::test(start_paused = true)]
async fn failures_of_different_kinds_do_not_hide_each_other() {
    let calls = calls(last());
    for answer in [BUSY, LOST, TOO_LATE, BUSY, LOST, TOO_LATE] {
        calls.end(answer).await;
    }
    let said = calls.events.take();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said.iter().all(|line| line.starts_with("ERROR [TOTAL] write ")));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_said_comes_out_with_the_end_of_the_log() {
    let calls = calls(last());
    for _ in 0..5 {
        calls.end(BUSY).await;
    }
    assert_eq!(calls.events.take().len(), 1);
    let Calls { log, events, _guard } = calls;
    drop(log);
    assert_eq!(events.take(), ["ERROR [TOTAL] 4 more operations failed, in 0.0 s class=backend"]);
}
