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
async fn a_fallback_that_fails_after_an_unwanted_response_or_an_unready_primary_has_one_error() {
    let error = Fallback::new(answers(Ok(Via(0))), fails(Class::Backend), |_: &Req, _: &Answer| true)
        .oneshot(read(1))
        .await
        .unwrap_err();
    assert_eq!(error, FallbackError::Unready { fallback: Error::Of(Class::Backend) });
    assert_eq!((error.primary(), error.class()), (None, Class::Backend));
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

#[tokio::test]
async fn errors_of_any_depth_become_one_type() {
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
    let stack = fails(Class::NotSent).fallback_to(fails(Class::Unknown)).fallback_to(fails(Class::Backend));
    let one: One = stack.oneshot(read(1)).await.unwrap_err().into();
    let inner = One::Both(Box::new((One::Leaf(Class::NotSent), One::Leaf(Class::Unknown))));
    assert_eq!(one, One::Both(Box::new((inner, One::Leaf(Class::Backend)))));
}
