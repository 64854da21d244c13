//! What the standard stack costs: time where a path never answers, and no allocations.

use std::pin::pin;
use std::task::Waker;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_path_that_never_answers_costs_a_hedge_and_no_more_than_its_time_out_without_one() {
    let mute = || faults(1, Code::UNANSWERED).hang(1.0).layer(Leaf::new(Via::NATS, None));
    let db = || Leaf::new(Via::DB, None);
    for request in [joins(), sessions()] {
        let start = tokio::time::Instant::now();
        let client = Db::new(StackBuilder::new().over(Some(mute()), db(), NO_PATH).stack);
        assert_eq!(client.send(request).await.unwrap().via, Via::DB);
        assert_eq!(start.elapsed().as_millis(), 15);
    }

    // The database is silent too: the outbox.
    let start = tokio::time::Instant::now();
    let built = StackBuilder::new().over(Some(mute()), mute(), Some(Leaf::new(Via::OUTBOX, None)));
    let (client, hedges) = (Db::new(built.stack), built.hedges);
    assert_eq!(client.send(joins()).await.unwrap().via, Via::OUTBOX);
    assert_eq!(start.elapsed().as_millis(), 90);
    assert_eq!((hedges.counts().events.started, hedges.counts().outbox.won), (1, 1));

    // The database says that it cannot: NATS, which answers nothing, is not waited for, and the operation may take effect.
    let start = tokio::time::Instant::now();
    let locked = Leaf::new(Via::DB, Some(Code::BUSY));
    let client = Db::new(StackBuilder::new().over(Some(mute()), locked, NO_PATH).stack);
    let error = client.send(sessions()).await.unwrap_err();
    assert_eq!(start.elapsed().as_millis(), 100);
    assert_eq!((error.class(), error.fallback().unwrap().code()), (Class::Unknown, Code::BUSY));

    // NATS answers others. A lock holds the service up as well, and is not waited for twice; what else keeps the database from
    // it may not.
    for (code, took, class) in [(Code::BUSY, 450, Class::Unknown), (Code::OVERLOADED, 2000, Class::Unknown)] {
        let only_joins = tower::service_fn(|request: Request| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            if !matches!(*request.op, Op::OpenSessions(_)) {
                std::future::pending::<()>().await;
            }
            Leaf::new(Via::NATS, None).call(request).await
        });
        let stack = StackBuilder::new().over(Some(only_joins), Leaf::new(Via::DB, Some(code)), NO_PATH).stack;
        let client = Db::new(stack);
        let start = tokio::time::Instant::now();
        let others = async {
            loop {
                client.send(sessions()).await.unwrap();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        let call = Request::new(OutboundEnqueue { username: None, content: "hello".into() });
        let error = tokio::select! {
            result = client.send(call) => result.unwrap_err(),
            () = others => unreachable!(),
        };
        assert_eq!((start.elapsed().as_millis(), error.class()), (took, class), "{}", code.name);
    }

    let without = StackBuilder::new().hedging(Hedging::off()).db_timeout(Duration::from_secs(5));
    let start = tokio::time::Instant::now();
    let client = Db::new(without.over(Some(mute()), db(), NO_PATH).stack);
    assert_eq!(client.send(joins()).await.unwrap().via, Via::DB);
    assert_eq!(start.elapsed().as_secs(), 2);
    let client = Db::new(without.over(Some(mute()), mute(), NO_PATH).stack);
    let error = client.send(joins()).await.unwrap_err();
    assert_eq!(start.elapsed().as_secs(), 2 + 2 + 5);
    assert!(error.is_timeout() && error.request().is_some());
}

#[tokio::test]
async fn nothing_is_allocated_on_the_way_through_the_stack() {
    let success =
        StackBuilder::new().over(Some(Leaf::new(Via::NATS, None)), Leaf::new(Via::DB, None), NO_PATH).stack;
    assert_eq!(allocations(success, Via::NATS), 0, "served by the first path");
    let silent = Leaf::new(Via::NATS, Some(Code::UNANSWERED));
    let built = StackBuilder::new().over(Some(silent), Leaf::new(Via::DB, None), NO_PATH);
    let (stack, circuits) = (built.stack, built.circuits.unwrap());
    circuits.events.force_open();
    assert_eq!(allocations(stack, Via::DB), 0, "rerouted by an open circuit");
    let leaves =
        [(Via::NATS, None), (Via::DB, None), (Via::OUTBOX, None)].map(|(via, code)| Leaf::new(via, code));
    let [nats, db, outbox] = leaves;
    let stack = StackBuilder::new().over(Some(nats), db, Some(outbox)).stack;
    assert_eq!(allocations(stack, Via::NATS), 0, "served by the first path, with an outbox behind");
    let builder = StackBuilder::new().queries(Queries::Db);
    let stack = || builder.over(Some(Leaf::new(Via::NATS, None)), Leaf::new(Via::DB, None), NO_PATH).stack;
    assert_eq!(allocations(stack(), Via::NATS), 0, "an event, while queries are read from the database");
    assert_eq!(allocations_of(&sessions(), stack(), Via::DB), 0, "a query that is");
}

fn allocations<S>(stack: S, via: Via) -> u64
where
    S: Service<Request, Response = Reply<Answer>, Error: Into<Error>> + Clone,
{
    allocations_of(&joins(), stack, via)
}

/// Allocations of a hundred requests, each on a clone of the stack, as the typed client makes it.
fn allocations_of<S>(request: &Request, stack: S, via: Via) -> u64
where
    S: Service<Request, Response = Reply<Answer>, Error: Into<Error>> + Clone,
{
    let once = || {
        let (mut stack, mut cx) = (stack.clone(), Context::from_waker(Waker::noop()));
        assert!(stack.poll_ready(&mut cx).is_ready());
        match pin!(stack.call(request.clone())).poll(&mut cx) {
            Poll::Ready(reply) => assert_eq!(reply.map_err(Into::into).unwrap().via, via),
            Poll::Pending => panic!("does not answer at once"),
        }
    };
    once(); // handles of metrics and the line of the switch come first
    allocation_counter::measure(|| (0..100).for_each(|_| once())).count_total
}
