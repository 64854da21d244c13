//! One reading of the clock for layers around each other that time the same moment.
//!
//! Layers of one request note its beginning within nanoseconds, one inside the `call` of the other, and its end
//! likewise, one inside the `poll` of the other; each reading of the clock costs as much as the rest of such a layer.
//! Only an outer layer that was told that nothing happens between the two shares readings: it alone sets
//! [`BEGUN`], and it alone reads [`ENDED`].

use std::cell::Cell;
use tokio::time::Instant;

thread_local! {
    /// When the sharing call began inside whose `call` this thread is.
    static BEGUN: Cell<Option<Instant>> = const { Cell::new(None) };
    /// When a call last ended in the poll of the sharing call inside whose `poll` this thread is.
    static ENDED: Cell<Option<Instant>> = const { Cell::new(None) };
}

#[cfg(test)]
thread_local! {
    /// How often this thread has read the clock.
    static READINGS: Cell<u32> = const { Cell::new(0) };
}

/// A reading.
#[inline]
pub(crate) fn now() -> Instant {
    #[cfg(test)]
    READINGS.set(READINGS.get() + 1);
    Instant::now()
}

/// When a call began: now, or when the sharing call around it did.
#[inline]
pub(crate) fn begun() -> Instant {
    BEGUN.get().unwrap_or_else(now)
}

/// What begins on this thread began then, until the [`OuterBegin`] that was kept before is dropped.
#[inline(always)]
pub(crate) fn share_begin(begun: Instant) {
    BEGUN.set(Some(begun));
}

/// When the sharing call around the one that is about to begin has begun; restored when this is dropped.
pub(crate) struct OuterBegin(Option<Instant>);

impl OuterBegin {
    #[inline(always)]
    pub(crate) fn keep() -> Self {
        Self(BEGUN.get())
    }
}

impl Drop for OuterBegin {
    #[inline(always)]
    fn drop(&mut self) {
        BEGUN.set(self.0);
    }
}

/// A sharing call is about to poll the call inside it: whatever has ended so far, that one has not.
#[inline]
pub(crate) fn expect_end() {
    ENDED.set(None);
}

/// When the call inside a sharing call has ended, if a layer in there has read the clock for that in this poll.
#[inline]
pub(crate) fn shared_end() -> Instant {
    ENDED.get().unwrap_or_else(end)
}

/// A call ends now. A sharing call around it ends with it.
#[inline]
pub(crate) fn end() -> Instant {
    let now = now();
    ENDED.set(Some(now));
    now
}

#[cfg(all(test, feature = "log", feature = "metrics"))]
mod tests {
    use super::READINGS;
    use crate::{Class, Classify, Label, LogLayer, MetricsLayer};
    use std::{
        fmt,
        future::{Future, Ready, poll_fn, ready},
        pin::pin,
        task::{Context, Poll, Waker},
    };
    use tower::{Layer, Service, ServiceBuilder, service_fn};
    use tracing_subscriber::{filter::LevelFilter, layer::SubscriberExt, registry};

    struct Req;

    impl Label for Req {
        const LABELS: &'static [&'static str] = &["read"];
        type Id = u8;
        fn label(&self) -> usize {
            0
        }
        fn id(&self) -> u8 {
            0
        }
    }

    #[derive(Clone, Copy, Debug)]
    struct Down;

    impl Classify for Down {
        fn class(&self) -> Class {
            Class::Unknown
        }
    }

    impl fmt::Display for Down {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("down")
        }
    }

    type Answer = Result<(), Down>;

    fn answers(answer: Answer) -> impl Service<Req, Response = (), Error = Down, Future = Ready<Answer>> {
        service_fn(move |_| ready(answer))
    }

    /// Answers in its second poll.
    fn yields() -> impl Service<Req, Response = (), Error = Down> {
        service_fn(async |_| {
            let mut polls = 0;
            poll_fn(|_| {
                polls += 1;
                if polls == 2 { Poll::Ready(Ok(())) } else { Poll::Pending }
            })
            .await
        })
    }

    /// How often one call reads the clock, while every event is logged.
    fn readings(mut stack: impl Service<Req>) -> u32 {
        let everything = registry().with(LevelFilter::TRACE);
        tracing::subscriber::with_default(everything, || {
            READINGS.set(0);
            let mut cx = Context::from_waker(Waker::noop());
            assert!(stack.poll_ready(&mut cx).is_ready());
            let mut call = pin!(stack.call(Req));
            while call.as_mut().poll(&mut cx).is_pending() {}
            READINGS.get()
        })
    }

    #[test]
    fn a_request_through_log_and_metrics_of_a_path_reads_the_clock_twice_though_both_tell_its_time() {
        let log = || LogLayer::new("[DB]");
        let metrics = || MetricsLayer::new("db");
        for answer in [Ok(()), Err(Down)] {
            assert_eq!(readings(log().layer(metrics().layer(answers(answer)))), 4, "not shared");
            assert_eq!(readings(log().share_clock().layer(metrics().layer(answers(answer)))), 2);
            assert_eq!(readings(metrics().share_clock().layer(log().layer(answers(answer)))), 2);
        }
        assert_eq!(readings(log().share_clock().layer(metrics().layer(yields()))), 2);
        assert_eq!(readings(metrics().share_clock().layer(log().layer(yields()))), 2);
    }

    #[test]
    fn logs_and_metrics_of_a_path_and_of_all_around_it_read_the_clock_twice() {
        let stack = ServiceBuilder::new()
            .layer(LogLayer::new("[TOTAL]").last().share_clock())
            .layer(MetricsLayer::new("total").share_clock())
            .layer(LogLayer::new("[DB]").share_clock())
            .layer(MetricsLayer::new("db"))
            .service(answers(Ok(())));
        assert_eq!(readings(stack), 2);
    }
}
