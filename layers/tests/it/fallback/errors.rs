//! The error that a caller gets when both paths fail.

use super::*;

#[tokio::test]
async fn when_both_fail_the_caller_gets_both_errors_and_the_heavier_class() {
    let stack = fails(Class::Unknown).fallback_to(fails(Class::Backend));
    let error = stack.oneshot(read(1)).await.unwrap_err();
    assert_eq!(error.primary(), Some(&Error::Of(Class::Unknown)));
    assert_eq!(error.fallback(), Some(&Error::Of(Class::Backend)));
    assert_eq!(error.class(), Class::Unknown);
    assert_eq!(error.to_string(), "primary: unknown; fallback: backend");
    assert_eq!(error.source().unwrap().downcast_ref(), Some(&Error::Of(Class::Backend)));
    assert_eq!(error.into_parts(), (Some(Error::Of(Class::Unknown)), Some(Error::Of(Class::Backend))));
}

#[tokio::test]
async fn what_a_primary_with_an_unwanted_response_has_served_was_sent_however_the_fallback_fails() {
    for (class, heavier) in [
        (Class::NotSent, Class::Unknown),
        (Class::Backend, Class::Unknown),
        (Class::Rejected, Class::Rejected),
    ] {
        let error =
            Fallback::new(answers(Ok(Via(0))), fails(class), unwanted).oneshot(read(1)).await.unwrap_err();
        assert_eq!(error, FallbackError::Unaccepted { fallback: Error::Of(class) });
        assert_eq!((error.primary(), error.class(), error.is_timeout()), (None, heavier, false));
        assert_eq!(error.to_string(), format!("primary: response not accepted; fallback: {class}"));
        assert_eq!(error.source().unwrap().downcast_ref(), Some(&Error::Of(class)));
        let both = One::Both(Box::new((One::Leaf(Class::Unknown), One::Leaf(class))));
        assert_eq!(One::from(error), both);
    }
    // Nor is it sent again by a fallback around this one.
    let third = answers(Ok(Via(1)));
    let once = ByClass::new().repeat(Idempotency::IfNotSent);
    let stack =
        Fallback::new(answers(Ok(Via(0))), fails(Class::NotSent), unwanted).fallback_with(third, once);
    assert!(stack.oneshot(write(1)).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_a_primary_with_an_unwanted_response_has_served_was_sent_though_no_fallback_is_ready() {
    let (never_ready, mut handle) = mock::pair::<Req, Via>();
    handle.allow(0);
    let stack = Fallback::new(answers(Ok(Via(0))), never_ready.map_err(Error::from), unwanted);
    let error = stack.oneshot(read(1)).await.unwrap_err();
    let fallback = NotReady::new(ByClass::SECONDARY_PATIENCE).after_response();
    assert_eq!(error, FallbackError::NotReady { primary: None, fallback });
    assert_eq!((error.class(), error.is_timeout()), (Class::Unknown, true));
    assert_eq!(error.to_string(), "primary: response not accepted; fallback: not ready within 1s");
    assert_eq!(error.clone().boxed().class(), Class::Unknown);
    assert_eq!(One::from(error), One::Leaf(Class::Unknown));
}

fn unwanted(_: &Req, _: &Answer) -> bool {
    true
}

#[test]
fn a_timeout_or_a_breaker_around_a_fallback_makes_an_error_of_the_primary() {
    type Deep = FallbackError<FallbackError<Error, Error>, Error>;
    let elapsed = Elapsed::new(Duration::from_secs(2));
    let error = Deep::from(elapsed);
    assert_eq!(error, FallbackError::Primary(FallbackError::Primary(Error::Elapsed(elapsed))));
    assert!(error.is_timeout());
    assert_eq!(Deep::from(Rejected::new(None)).class(), Class::NotSent);
}

/// An error type of an application.
#[derive(Debug, PartialEq)]
enum One {
    Leaf(Class),
    Both(Box<(One, One)>),
}

impl From<Error> for One {
    fn from(error: Error) -> Self {
        Self::Leaf(error.class())
    }
}

impl From<NotReady> for One {
    fn from(error: NotReady) -> Self {
        Self::Leaf(error.class())
    }
}

impl<A: Into<One>, B: Into<One>> From<FallbackError<A, B>> for One {
    fn from(error: FallbackError<A, B>) -> Self {
        error.unify(|primary, fallback| Self::Both(Box::new((primary, fallback))))
    }
}

#[tokio::test]
async fn errors_of_any_depth_become_one_type() {
    let stack = fails(Class::NotSent).fallback_to(fails(Class::Unknown)).fallback_to(fails(Class::Backend));
    let one: One = stack.oneshot(read(1)).await.unwrap_err().into();
    let inner = One::Both(Box::new((One::Leaf(Class::NotSent), One::Leaf(Class::Unknown))));
    assert_eq!(one, One::Both(Box::new((inner, One::Leaf(Class::Backend)))));
}
