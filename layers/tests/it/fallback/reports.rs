//! Faults of other fallbacks, retries and stacks, reported in public, that this one does not have.

use super::*;
use tower::{
    limit::ConcurrencyLimitLayer,
    util::{BoxCloneService, BoxCloneSyncService},
};

#[tokio::test(start_paused = true)]
async fn a_secondary_that_is_not_ready_is_waited_for_so_long_and_then_the_third_path_is_tried() {
    let never_ready = || {
        let (mock, mut handle) = mock::pair::<Req, Via>();
        handle.allow(0);
        std::mem::forget(handle);
        mock.map_err(Error::from)
    };
    let start = tokio::time::Instant::now();
    let stack = fails(Class::Backend).fallback_to(never_ready()).fallback_to(answers(Ok(Via(1))));
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(1)));
    assert_eq!(start.elapsed(), ByClass::SECONDARY_PATIENCE);

    let patience = Duration::from_millis(30);
    let policy = ByClass::new().patience(Some(patience));
    let error =
        fails(Class::Unknown).fallback_with(never_ready(), policy).oneshot(read(1)).await.unwrap_err();
    let fallback = NotReady::new(patience);
    assert_eq!(error, FallbackError::NotReady { primary: Some(Error::Of(Class::Unknown)), fallback });
    assert_eq!(error.class(), Class::Unknown);
    assert_eq!(error.to_string(), "primary: unknown; fallback: not ready within 30ms");

    let neither = never_ready().fallback_with(never_ready(), policy.unready(Unready::Reroute));
    let error = neither.oneshot(read(1)).await.unwrap_err();
    assert_eq!(error, FallbackError::NotReady { primary: None, fallback });
    assert_eq!(error.class(), Class::NotSent, "neither has got it");

    let for_ever = fails(Class::Backend).fallback_with(never_ready(), ByClass::new().patience(None));
    let mut call = task::spawn(for_ever.oneshot(read(1)));
    assert_pending!(call.poll());
    advance(Duration::from_secs(3600)).await;
    assert_pending!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_clone_that_went_around_the_primary_keeps_no_place_of_it() {
    for unready in [Unready::Reroute, Unready::After(Duration::from_millis(10))] {
        let one_at_a_time = ConcurrencyLimitLayer::new(1).layer(answers(Ok(Via(0))));
        let stack = one_at_a_time.fallback_with(answers(Ok(Via(1))), ByClass::new().unready(unready));
        let mut busy = stack.clone();
        busy.ready().await.unwrap();
        let mut idle = stack.clone();
        assert_eq!(idle.ready().await.unwrap().call(read(0)).await, Ok(Via(1)), "the primary is busy");
        let mut only_asked = stack.clone();
        only_asked.ready().await.unwrap();
        drop(busy);
        for id in 1..=5 {
            assert_eq!(stack.clone().oneshot(read(id)).await, Ok(Via(0)), "the primary is free");
        }
    }
}

#[tokio::test]
async fn a_primary_that_becomes_ready_poll_by_poll_is_not_started_again_unless_there_are_clones() {
    let (primary, ledger) = Strict::counting(Ok(Via(0)));
    let mut stack = primary.fallback_with(answers(Ok(Via(1))), ByClass::new().unready(Unready::Reroute));
    let served = stack.ready().await.unwrap().call(read(1)).await;
    assert_eq!((served, ledger.violations()), (Ok(Via(0)), 0), "its second poll was that of the call");
}

#[test]
fn a_secondary_that_is_not_sync_makes_no_stack_that_is_not_send() {
    fn can_be_spawned<S>(stack: S)
    where
        S: Service<Req, Response = Via, Error: Send + 'static, Future: Send> + Send + 'static,
    {
        fn is_send<T: Send>(_: T) {}
        is_send(stack.oneshot(read(1)));
    }
    let boxed = || BoxCloneService::new(answers(Ok(Via(1))));
    can_be_spawned(fails(Class::Backend).fallback_to(boxed()));
    can_be_spawned(fails(Class::Backend).fallback_to(boxed().fallback_to(boxed())).fallback_to(boxed()));
    fn is_sync<T: Sync>(_: T) {}
    is_sync(BoxCloneSyncService::new(answers(Ok(Via(1)))).fallback_to(boxed()));
}

/// A request that cannot be cloned.
#[derive(Debug, PartialEq)]
struct Upload {
    body: Vec<u8>,
    replayable: bool,
}

#[tokio::test]
async fn requests_that_cannot_be_cloned_need_no_clone_where_they_are_not_repeated() {
    let down = service_fn(async |_: Upload| Err::<usize, _>(Error::Of(Class::NotSent)));
    let works = service_fn(async |upload: Upload| Ok::<_, Error>(upload.body.len()));
    let upload = || Upload { body: vec![1, 2, 3], replayable: false };
    let once = || ByClass::new().repeat(AtMostOnce).unready(Unready::Reroute);
    let failed = down.fallback_with(works, once()).oneshot(upload()).await;
    assert_eq!(failed, Err(FallbackError::Primary(Error::Of(Class::NotSent))));
    let (busy, mut handle) = mock::pair::<Upload, usize>();
    handle.allow(0);
    let around = busy.map_err(Error::from).fallback_with(works, once()).oneshot(upload()).await;
    assert_eq!(around, Ok(3), "the primary has not got it");
}

#[tokio::test]
async fn a_policy_may_make_the_body_of_a_request_one_that_can_be_replayed() {
    struct Replays;
    impl IdempotencyRule<Upload> for Replays {
        fn repeat(&self, _: &Upload) -> Idempotency {
            Idempotency::Always
        }
        fn copy(&self, upload: &mut Upload) -> Option<Upload> {
            upload.replayable = true;
            Some(Upload { body: upload.body.clone(), replayable: true })
        }
    }
    let down = service_fn(async |upload: Upload| {
        assert!(upload.replayable, "what the primary got");
        Err::<usize, _>(Error::Of(Class::NotSent))
    });
    let works = service_fn(async |upload: Upload| Ok::<_, Error>(upload.body.len()));
    let stack = down.fallback_with(works, ByClass::new().repeat(Replays));
    assert_eq!(stack.oneshot(Upload { body: vec![1, 2, 3], replayable: false }).await, Ok(3));
}

/// A layer whose primary has an error that no type names.
struct Stored {
    layer: FallbackLayer<Strict>,
}

#[tokio::test]
async fn a_layer_can_be_stored_before_its_primary_is_known() {
    let (secondary, _) = Strict::counting(Ok(Via(1)));
    let stored = Stored { layer: FallbackLayer::new(secondary, ByClass::new()) };
    let io = service_fn(async |_: Req| Err::<Via, _>(std::io::Error::other("?")));
    assert_eq!(stored.layer.layer(io).oneshot(read(1)).await.unwrap(), Via(1));
    assert_eq!(stored.layer.layer(fails(Class::NotSent)).oneshot(read(1)).await.unwrap(), Via(1));
}
