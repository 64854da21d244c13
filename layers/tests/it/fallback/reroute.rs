//! Which requests are rerouted, and how far they may be repeated.

use super::*;

#[tokio::test]
async fn every_class_but_a_refusal_is_rerouted_by_default() {
    for class in Class::ALL {
        let result = fails(class).fallback_to(answers(Ok(Via(1)))).oneshot(read(1)).await;
        match class {
            Class::Rejected => assert_eq!(result, Err(FallbackError::Primary(Error::Of(class)))),
            _ => assert_eq!(result, Ok(Via(1)), "{class}"),
        }
    }
}

#[tokio::test]
async fn a_success_of_the_primary_leaves_the_secondary_alone() {
    let (secondary, ledger) = Strict::counting(Ok(Via(1)));
    let stack = answers(Ok(Via(0))).fallback_to(secondary);
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(0)));
    assert_eq!((ledger.clones(), ledger.polls(), ledger.calls()), (0, 0, 0));
}

#[tokio::test]
async fn the_secondary_is_cloned_once_for_the_call_that_needs_it() {
    let (secondary, ledger) = Strict::counting(Ok(Via(1)));
    let stack = fails(Class::NotSent).fallback_to(secondary);
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(1)));
    assert_eq!((ledger.clones(), ledger.calls()), (1, 1));
}

#[tokio::test]
async fn a_class_that_is_excepted_stays_with_the_primary() {
    let policy = ByClass::new().except(Class::Backend);
    let stack = fails(Class::Backend).fallback_with(answers(Ok(Via(1))), policy);
    assert_eq!(stack.oneshot(read(1)).await, Err(FallbackError::Primary(Error::Of(Class::Backend))));
}

#[tokio::test]
async fn a_closure_over_the_response_is_a_policy() {
    let unwanted = |req: &Req, result: &Answer| req.write && *result == Ok(Via(0));
    let stack = Fallback::new(answers(Ok(Via(0))), answers(Ok(Via(1))), unwanted);
    assert_eq!(stack.clone().oneshot(write(1)).await, Ok(Via(1)));
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(0)));
}

/// A request that counts its copies.
#[derive(Debug)]
struct Counted(Rc<Cell<usize>>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.set(self.0.get() + 1);
        Self(Rc::clone(&self.0))
    }
}

async fn copies(repeat: Idempotency, class: Class) -> (usize, bool) {
    let copies = Rc::new(Cell::new(0));
    let primary = service_fn(move |_: Counted| ready(Err::<Via, _>(Error::Of(class))));
    let secondary = service_fn(|_: Counted| ready(Ok::<_, Error>(Via(1))));
    let stack = primary.fallback_with(secondary, ByClass::new().repeat(repeat));
    let rerouted = stack.oneshot(Counted(Rc::clone(&copies))).await.is_ok();
    (copies.get(), rerouted)
}

#[tokio::test]
async fn what_must_never_be_repeated_is_never_repeated_and_never_copied() {
    for class in Class::ALL {
        assert_eq!(copies(Idempotency::Never, class).await, (0, false), "{class}");
    }
}

#[tokio::test]
async fn what_may_be_repeated_if_not_sent_is_repeated_only_where_it_had_no_effect() {
    for class in Class::ALL {
        let no_effect = matches!(class, Class::NotSent | Class::TooLarge);
        assert_eq!(copies(Idempotency::IfNotSent, class).await, (1, no_effect), "{class}");
    }
}

#[tokio::test]
async fn a_rerouted_request_is_copied_once() {
    assert_eq!(copies(Idempotency::Always, Class::Unknown).await, (1, true));
}

#[tokio::test]
async fn a_closure_decides_request_by_request() {
    let by_kind = |req: &Req| if req.write { Idempotency::IfNotSent } else { Idempotency::Always };
    let policy = ByClass::new().repeat(by_kind);
    let stack = fails(Class::Unknown).fallback_with(answers(Ok(Via(1))), policy);
    assert_eq!(stack.clone().oneshot(read(1)).await, Ok(Via(1)));
    assert!(stack.oneshot(write(1)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_must_not_be_repeated_may_still_go_around_a_primary_that_never_got_it() {
    let (primary, mut handle) = mock::pair::<Req, Via>();
    handle.allow(0);
    let primary = primary.map_err(Error::from);
    let policy = ByClass::new().repeat(Idempotency::Never).unready(Unready::Reroute);
    let stack = primary.fallback_with(answers(Ok(Via(1))), policy);
    assert_eq!(stack.oneshot(read(1)).await, Ok(Via(1)));
}
