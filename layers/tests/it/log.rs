//! Promises of `Log` and `PathChangeLog`.

mod reports;

use crate::support::{
    Error, Req, Via,
    events::{Events, Guard},
    read, write,
};
use eitherway_layers::{
    Breaker, Class, Elapsed, Failure, LogLayer, PathChangeLogLayer, ServedBy, breaker::Config,
    logging::RateLimitedLog,
};
use std::{
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, task};
use tower::{Layer, Service, ServiceExt, service_fn};
use tracing::Level;

type Answer = Result<Via, Error>;

const TOO_LATE: Answer = Err(Error::Elapsed(Elapsed::new(Duration::from_secs(2))));
const BUSY: Answer = Err(Error::Of(Class::Backend));
const LOST: Answer = Err(Error::Of(Class::Unknown));

/// The log lines of a log of this kind at this level, for one call that takes 5 ms and returns `answer`.
async fn said(layer: LogLayer, level: Level, answer: Answer) -> Vec<String> {
    let (events, _guard) = Events::catch(level);
    let inner = service_fn(move |_: Req| {
        let answer = answer.clone();
        async {
            sleep(Duration::from_millis(5)).await;
            answer
        }
    });
    let _ = layer.layer(inner).oneshot(write(7)).await;
    events.take()
}

fn path() -> LogLayer {
    LogLayer::new("[NATS]")
}

fn last() -> LogLayer {
    LogLayer::new("[TOTAL]").last()
}

#[tokio::test(start_paused = true)]
async fn a_path_says_how_each_call_ended_and_only_time_outs_and_failing_backends_loudly() {
    assert_eq!(said(path(), Level::DEBUG, Ok(Via(0))).await, ["DEBUG [NATS] write ok id=7 took=5ms"]);
    assert_eq!(
        said(path(), Level::DEBUG, LOST).await,
        ["DEBUG [NATS] write failed: unknown id=7 took=5ms class=unknown"]
    );
    assert_eq!(
        said(path(), Level::DEBUG, BUSY).await,
        ["WARN [NATS] write failed: backend id=7 took=5ms class=backend"]
    );
    assert_eq!(
        said(path(), Level::DEBUG, TOO_LATE).await,
        ["WARN [NATS] write timed out: no answer within 2s id=7 took=5ms class=unknown"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_outermost_log_is_silent_on_success_and_calls_every_error_an_error() {
    assert_eq!(said(last(), Level::TRACE, Ok(Via(0))).await, Vec::<String>::new());
    for (answer, text) in [
        (BUSY, "ERROR [TOTAL] write failed: backend id=7 took=5ms class=backend"),
        (TOO_LATE, "ERROR [TOTAL] write timed out: no answer within 2s id=7 took=5ms class=unknown"),
    ] {
        assert_eq!(said(last(), Level::TRACE, answer).await, [text]);
    }
}

#[tokio::test(start_paused = true)]
async fn with_debug_off_warnings_and_errors_still_carry_operation_id_and_time() {
    assert_eq!(said(path(), Level::INFO, Ok(Via(0))).await, Vec::<String>::new());
    assert_eq!(said(path(), Level::INFO, LOST).await, Vec::<String>::new());
    assert_eq!(
        said(path(), Level::WARN, TOO_LATE).await,
        ["WARN [NATS] write timed out: no answer within 2s id=7 took=5ms class=unknown"]
    );
    assert_eq!(
        said(last(), Level::ERROR, BUSY).await,
        ["ERROR [TOTAL] write failed: backend id=7 took=5ms class=backend"]
    );
    assert_eq!(said(path(), Level::ERROR, TOO_LATE).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_logged_as_cancelled() {
    for layer in [path(), last()] {
        let (events, _guard) = Events::catch(Level::DEBUG);
        let mut call = task::spawn(layer.layer(service_fn(|_: Req| pending::<Answer>())).oneshot(read(3)));
        assert_pending!(call.poll());
        advance(Duration::from_millis(4)).await;
        drop(call);
        let line = events.take();
        assert!(
            line[0].ends_with("read cancelled id=3 took=4ms") && line[0].starts_with("DEBUG ["),
            "{line:?}"
        );
        assert_eq!(line.len(), 1);
    }
}

#[tokio::test]
async fn a_closure_over_the_result_says_what_a_failure_is() {
    let (events, _guard) = Events::catch(Level::INFO);
    let layer = last().classify_by(|result: &Answer| {
        (*result == Ok(Via(1))).then_some(Failure { class: Class::Backend, timeout: false })
    });
    for via in [0, 1] {
        layer
            .layer(service_fn(move |_: Req| ready(Ok::<_, Error>(Via(via)))))
            .oneshot(read(1))
            .await
            .unwrap();
    }
    assert_eq!(events.take(), ["ERROR [TOTAL] read failed id=1 class=backend"]);
}

/// A console that shows warnings beside a file that receives everything, each with its own filter.
#[tokio::test]
async fn no_line_is_lost_where_two_subscribers_filter_differently() {
    use tracing_subscriber::{Layer as _, filter::LevelFilter, layer::SubscriberExt};
    let (console, file) = (Events::default(), Events::default());
    let subscriber = tracing_subscriber::registry()
        .with(console.catcher(Level::TRACE).with_filter(LevelFilter::WARN))
        .with(file.catcher(Level::TRACE).with_filter(LevelFilter::DEBUG));
    let _guard = Guard::new(subscriber);
    for answer in [Ok(Via(0)), TOO_LATE, Ok(Via(0)), TOO_LATE] {
        let _ = path().layer(service_fn(move |_: Req| ready(answer.clone()))).oneshot(read(1)).await;
    }
    assert_eq!((console.take().len(), file.take().len()), (2, 4));
}

// ## Failures that repeat

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

// ## Which path serves

struct Paths {
    layer: PathChangeLogLayer,
    events: Events,
    _guard: Guard,
}

impl Paths {
    fn new() -> Self {
        let (events, _guard) = Events::catch(Level::INFO);
        Self { layer: PathChangeLogLayer::new(), events, _guard }
    }
    /// One call that this path serves, over a new service.
    async fn serve(&self, path: usize) {
        let inner = service_fn(move |_: Req| ready(Ok::<_, Error>(Via(path))));
        self.layer.layer(inner).oneshot(read(1)).await.unwrap();
    }
    async fn fail(&self, class: Class) {
        let inner = service_fn(move |_: Req| ready(Err::<Via, _>(Error::Of(class))));
        self.layer.layer(inner).oneshot(read(1)).await.unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_success_and_every_change_of_path_is_one_line_with_what_went_before() {
    let paths = Paths::new();
    for _ in 0..3 {
        paths.serve(1).await;
    }
    assert_eq!(paths.events.take(), ["INFO [DB] is serving"]);
    advance(Duration::from_millis(38_240)).await;
    for _ in 0..5 {
        paths.serve(0).await;
    }
    assert_eq!(paths.events.take(), ["INFO [NATS] is serving after 38.2s (3 requests served by [DB])"]);
    advance(Duration::from_secs(1)).await;
    paths.fail(Class::Unknown).await;
    paths.fail(Class::Rejected).await;
    paths.serve(1).await;
    assert_eq!(
        paths.events.take(),
        ["INFO [DB] is serving again after 1.0s (5 requests served by [NATS], 1 failed)"],
        "what was refused was not the path's failure"
    );
}

/// Counts of the first part, all by the database.
fn won_by_db(won: &Arc<AtomicU64>) -> impl Fn(usize, &'static str) -> u64 + Send + Sync + 'static {
    let won = Arc::clone(won);
    move |part, tag| if (part, tag) == (0, "[DB]") { won.load(SeqCst) } else { 0 }
}

#[tokio::test(start_paused = true)]
async fn a_path_that_has_won_no_hedge_is_named_at_once_whatever_others_have_won() {
    let won = Arc::new(AtomicU64::new(0));
    let mut paths = Paths::new();
    paths.layer = paths.layer.hedges_won(won_by_db(&won));
    paths.serve(0).await;
    advance(Duration::from_secs(10)).await;
    won.fetch_add(1, SeqCst);
    paths.serve(2).await;
    let other = "INFO [OUTBOX] is serving after 10.0s (1 request served by [NATS])";
    assert_eq!(paths.events.take(), ["INFO [NATS] is serving", other], "[DB] has won");

    advance(Duration::from_secs(10)).await;
    paths.serve(1).await;
    assert_eq!(paths.events.take().len(), 0, "by the hedge that it has won");
    paths.serve(1).await;
    assert_eq!(paths.events.take().len(), 1);
    // It goes on to win while it is named, and is then left and taken up again without a hedge.
    won.fetch_add(5, SeqCst);
    for path in [0, 1] {
        advance(Duration::from_secs(10)).await;
        paths.serve(path).await;
        assert_eq!(paths.events.take().len(), 1, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_ends_a_second_without_a_success_is_told_with_it() {
    let won = Arc::new(AtomicU64::new(0));
    let mut paths = Paths::new();
    paths.layer = paths.layer.hedges_won(won_by_db(&won));
    paths.serve(0).await;
    advance(Duration::from_secs(7)).await;
    paths.fail(Class::Unknown).await;
    advance(Duration::from_secs(3)).await;
    won.fetch_add(1, SeqCst);
    paths.serve(1).await;
    let line =
        "INFO [DB] is serving after 10.0s (1 request served by [NATS], 1 failed, nothing served for 3.0s)";
    assert_eq!(paths.events.take(), ["INFO [NATS] is serving", line]);
}

#[tokio::test(start_paused = true)]
async fn one_hedge_that_has_won_alone_is_no_change_of_path_and_two_in_a_row_are() {
    let won = Arc::new(AtomicU64::new(0));
    let mut paths = Paths::new();
    paths.layer = paths.layer.hedges_won(won_by_db(&won));
    let hedge = async || {
        won.fetch_add(1, SeqCst);
        paths.serve(1).await;
    };
    hedge().await;
    paths.serve(0).await;
    let first = ["INFO [NATS] is serving after 0.0s (1 request served by [DB])"];
    assert_eq!(paths.events.take(), first, "nor is the first call");
    for _ in 0..3 {
        advance(Duration::from_secs(10)).await;
        hedge().await;
        paths.serve(0).await;
    }
    assert_eq!(paths.events.take(), [""; 0]);
    hedge().await;
    hedge().await;
    let both = ["INFO [DB] is serving after 30.0s (4 requests served by [DB], 4 requests served by [NATS])"];
    assert_eq!(paths.events.take(), both);
    // Without a hedge, the first call that another path serves is a change.
    advance(Duration::from_secs(10)).await;
    paths.serve(0).await;
    assert_eq!(paths.events.take().len(), 1);
    advance(Duration::from_secs(10)).await;
    paths.serve(1).await;
    assert_eq!(paths.events.take().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn eight_paths_are_told_apart_and_further_ones_count_as_one() {
    struct Tag(&'static str);
    impl ServedBy for Tag {
        fn served_by(&self) -> &'static str {
            self.0
        }
    }
    let paths = Paths::new();
    let tags = ["[1]", "[2]", "[3]", "[4]", "[5]", "[6]", "[7]", "[8]", "[9]", "[10]"];
    for tag in tags {
        let inner = service_fn(move |_: Req| ready(Ok::<_, Error>(Tag(tag))));
        paths.layer.layer(inner).oneshot(read(1)).await.unwrap();
        advance(Duration::from_secs(60)).await;
    }
    let lines = paths.events.take();
    assert_eq!(lines.len(), 9, "{lines:?}");
    for (line, tag) in lines.iter().zip(tags) {
        let tag = if tag == "[9]" { "[OTHERS]" } else { tag };
        assert!(line.starts_with(&format!("INFO {tag} is serving")), "{line}");
    }
    paths.serve(1).await;
    assert_eq!(paths.events.take(), Vec::<String>::new(), "a further one");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_outage_is_news_and_tells_how_many_failed_while_nothing_served() {
    let paths = Paths::new();
    paths.fail(Class::NotSent).await;
    advance(Duration::from_secs(3)).await;
    paths.fail(Class::NotSent).await;
    assert_eq!(paths.events.take(), Vec::<String>::new());
    paths.serve(1).await;
    assert_eq!(paths.events.take(), ["INFO [DB] is serving after 3.0s (2 failed)"]);
    for _ in 0..40 {
        paths.serve(1).await;
    }
    // A failure between successes causes no line.
    paths.fail(Class::Backend).await;
    paths.serve(1).await;
    assert_eq!(paths.events.take(), Vec::<String>::new());
    advance(Duration::from_secs(60)).await;
    for _ in 0..231 {
        paths.fail(Class::Backend).await;
        advance(Duration::from_millis(10)).await;
    }
    paths.serve(1).await;
    assert_eq!(paths.events.take(), ["INFO [DB] is serving again after 2.3s (232 failed)"]);
    advance(Duration::from_secs(5)).await;
    paths.fail(Class::Backend).await;
    advance(Duration::from_secs(2)).await;
    paths.serve(0).await;
    assert_eq!(
        paths.events.take(),
        ["INFO [NATS] is serving after 7.0s (1 request served by [DB], 1 failed, nothing served for 2.0s)"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_switch_by_parts_of_the_calls_names_them_and_knows_them_apart() {
    let (events, _guard) = Events::catch(Level::INFO);
    let layer = PathChangeLogLayer::by(["reads", "writes"], |req: &Req| if req.write { 7 } else { 0 });
    for _ in 0..3 {
        for (req, path) in [(write(1), 0), (read(1), 1)] {
            let inner = service_fn(move |_: Req| ready(Ok::<_, Error>(Via(path))));
            layer.layer(inner).oneshot(req).await.unwrap();
            advance(Duration::from_secs(1)).await;
        }
    }
    assert_eq!(events.take(), ["INFO [NATS] is serving writes", "INFO [DB] is serving reads"]);
}

#[tokio::test(start_paused = true)]
async fn alternating_paths_do_not_spam_and_the_last_line_becomes_true() {
    let paths = Paths::new();
    for call in 0..60_000 {
        paths.serve(call % 2).await;
        advance(Duration::from_millis(1)).await;
    }
    let said = paths.events.take();
    assert!((4..=15).contains(&said.len()), "a minute, ever more seldom: {said:?}");
    let counted =
        |line: &String| -> u64 { line.split([' ', '(']).filter_map(|word| word.parse::<u64>().ok()).sum() };
    let counted: u64 = said.iter().map(counted).sum();
    assert!(counted > 50_000, "the lines account for what was served: {counted}");
    // The path that served last is named with the first call after the interval.
    advance(Duration::from_secs(8)).await;
    paths.serve(0).await;
    paths.serve(1).await;
    paths.serve(0).await;
    paths.serve(1).await;
    paths.events.take();
    advance(Duration::from_secs(60)).await;
    paths.serve(1).await;
    assert!(paths.events.take().len() <= 1);
    // After a long quiet time a change is logged at once.
    advance(Duration::from_secs(60)).await;
    paths.serve(0).await;
    assert!(paths.events.take()[0].starts_with("INFO [NATS] is serving again"));
}

#[test]
fn many_threads_that_change_together_write_one_line() {
    let layer = PathChangeLogLayer::new();
    let (events, _guard) = Events::catch(Level::INFO);
    let dispatch = tracing::dispatcher::get_default(Clone::clone);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let (mut service, dispatch) =
                (layer.layer(service_fn(|_: Req| ready(Ok::<_, Error>(Via(0))))), dispatch.clone());
            scope.spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    for id in 0..1000 {
                        let _ = task::spawn(service.call(read(id))).poll();
                    }
                });
            });
        }
    });
    assert_eq!(events.take(), ["INFO [NATS] is serving"]);
}

// ## The circuit

#[tokio::test(start_paused = true)]
async fn opening_and_closing_a_circuit_is_logged_with_its_tag() {
    let (events, _guard) = Events::catch(Level::INFO);
    let config = Config::new().tag("[NATS]").consecutive_failures(1).jitter(0.0);
    let breaker = Breaker::new(service_fn(|_: Req| ready(BUSY)), config);
    breaker.clone().oneshot(read(1)).await.unwrap_err();
    breaker.handle().set_healthy(true);
    assert_eq!(
        events.take(),
        ["WARN [NATS] circuit opened for 500ms from=Closed", "INFO [NATS] circuit closed from=Open"]
    );
}
