//! Which path takes what, and when.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use tokio::time::{Instant, sleep};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::operation::Done;
use crate::reply::{Ack, Reply};
use crate::sample::{Answer, Count, Line, Sample, Take};
use crate::stack::{Path, StackBuilder};

fn answers(via: Via) -> impl Path<Sample> {
    let reply = move || Reply { via, ack: Ack::Committed, answer: Answer::Take(Done {}), omitted: 0 };
    service_fn(move |_: Request<Sample>| async move { Ok(reply()) })
}

fn is_silent() -> impl Path<Sample> {
    service_fn(|_: Request<Sample>| pending())
}

#[tokio::test(start_paused = true)]
async fn a_hedge_counts_for_the_path_that_has_won_it_in_its_part_and_for_no_other() {
    let event = || Request::new(Line::<0> { text: "a line".to_owned() });
    let (call, query) = (Request::new(Take {}), Request::new(Count {}));
    let (nats_first, db_first) = (StackBuilder::new(), StackBuilder::new().queries(Queries::Db));
    let over_db = |stack: &StackBuilder, request| {
        let built = stack.over(Some(is_silent()), answers(Via::DB), Some(is_silent()));
        (built.hedges, built.stack.oneshot(request))
    };
    let won = |hedges: &Hedges| {
        let tags = [Via::NATS, Via::DB, Via::OUTBOX].map(Via::tag);
        let parts = (0..3).flat_map(|part| tags.map(|tag| (part, tag, hedges.won(part, tag))));
        parts.filter(|(.., won)| *won > 0).collect::<Vec<_>>()
    };
    for (request, part) in [(event(), 0), (call, 1), (query.clone(), 1)] {
        let (hedges, reply) = over_db(&nats_first, request);
        assert_eq!(reply.await.map(|reply| reply.via).ok(), Some(Via::DB));
        assert_eq!(won(&hedges), [(part, "[DB]", 1)]);
    }
    let built = nats_first.over(Some(is_silent()), is_silent(), Some(answers(Via::OUTBOX)));
    assert_eq!(built.stack.oneshot(event()).await.map(|reply| reply.via).ok(), Some(Via::OUTBOX));
    assert_eq!(won(&built.hedges), [(0, "[OUTBOX]", 1)]);
    let built = db_first.over(Some(answers(Via::NATS)), is_silent(), Some(is_silent()));
    assert_eq!(built.stack.oneshot(query).await.map(|reply| reply.via).ok(), Some(Via::NATS));
    assert_eq!(won(&built.hedges), [(2, "[NATS]", 1)]);
}

/// Sends so many events whose messages are lost, while NATS answers others and the database is locked; tells which paths took
/// them, and how long each was waited for.
async fn lost(events: u64) -> Vec<(Via, Duration)> {
    const MS: Duration = Duration::from_millis(1);
    let event = || -> Request<Sample> { Request::new(Line::<0> { text: "a line".to_owned() }) };
    let sent = Arc::new(AtomicU64::new(0));
    let nats = service_fn(move |_: Request<Sample>| {
        let is_lost = sent.fetch_add(1, SeqCst) < events;
        async move {
            if is_lost {
                pending::<()>().await;
            }
            sleep(MS * 5).await;
            let answer = Answer::Take(Done {});
            Ok::<_, Error<Sample>>(Reply { via: Via::NATS, ack: Ack::Committed, answer, omitted: 0 })
        }
    });
    let locked = service_fn(async |_: Request<Sample>| {
        sleep(MS * 350).await;
        Err::<Reply<Answer>, _>(Error::<Sample>::from(Cause::new(Code::BUSY, "locked")))
    });
    let stack = StackBuilder::new().over(Some(nats), locked, Some(answers(Via::OUTBOX))).stack;
    let begun = Instant::now();
    let waiting: Vec<_> = (0..events)
        .map(|_| {
            let call = stack.clone().oneshot(event());
            tokio::spawn(async move { (call.await.map(|reply| reply.via).ok(), begun.elapsed()) })
        })
        .collect();
    let others = tokio::spawn(async move {
        loop {
            sleep(MS * 7).await;
            assert_eq!(stack.clone().oneshot(event()).await.map(|reply| reply.via).ok(), Some(Via::NATS));
        }
    });
    let mut results = vec![];
    for call in waiting {
        let (via, took) = call.await.expect("a panic");
        results.push((via.expect("an error"), took));
    }
    assert!(!others.is_finished(), "no other operation waits for any of this");
    others.abort();
    results
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_message_is_lost_is_in_the_outbox_in_time_also_while_the_database_is_locked() {
    for (via, took) in lost(1).await {
        assert!(via == Via::OUTBOX && took < Duration::from_millis(150), "{via:?} after {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_many_are_late_the_outbox_takes_only_a_few_of_them_early() {
    let results = lost(100).await;
    assert!(
        results.iter().all(|(via, took)| *via == Via::OUTBOX && *took <= PATIENCE * 11 / 10),
        "{results:?}"
    );
    let early = results.iter().filter(|(_, took)| *took <= OUTBOX * 3 / 2).count();
    assert!((10..20).contains(&early), "{early}: {results:?}");
}
