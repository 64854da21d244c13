//! The lines that name the path that serves.

use super::*;

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
