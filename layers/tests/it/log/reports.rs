//! What other logs of failures hide, as was reported in public, and this one says.

use super::*;
use std::{error::Error as StdError, fmt, io};
use tower::BoxError;

/// An error as most are: it does not repeat what its source says.
#[derive(Debug)]
struct Lost(Option<io::Error>);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cannot reach the store")
    }
}
impl StdError for Lost {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.as_ref().map(|error| error as _)
    }
}
impl eitherway_layers::Classify for Lost {
    fn class(&self) -> Class {
        Class::Backend
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionRefused, Lost(Some(io::Error::other("port 4222 refused"))))
}

#[tokio::test]
async fn the_sources_of_an_error_are_logged_where_its_message_does_not_say_them() {
    let (events, _guard) = Events::catch(Level::INFO);
    let boxed = service_fn(async |_: Req| Err::<Via, BoxError>(Lost(Some(refused())).into()));
    let _ = last().layer(boxed).oneshot(read(1)).await;
    assert_eq!(
        events.take(),
        ["ERROR [TOTAL] read failed: cannot reach the store: port 4222 refused id=1 class=unknown"]
    );
    let typed = service_fn(async |_: Req| Err::<Via, _>(Lost(Some(io::Error::other("certificate expired")))));
    let _ = last().with_sources().layer(typed).oneshot(read(1)).await;
    assert_eq!(
        events.take(),
        ["ERROR [TOTAL] read failed: cannot reach the store: certificate expired id=1 class=backend"]
    );
}

#[tokio::test(start_paused = true)]
async fn another_reason_of_the_same_class_is_said_at_once_and_every_failure_is_said_or_counted() {
    let (events, _guard) = Events::catch(Level::INFO);
    let log = last();
    let fail = async |text: String| {
        let failing = service_fn(move |_: Req| ready(Err::<Via, _>(io::Error::other(text.clone()))));
        let _ = log.layer(failing).oneshot(read(1)).await;
    };
    for round in 0..100 {
        fail(format!("reset after {round} ms")).await;
        if round == 50 {
            fail("certificate has expired".to_owned()).await;
        }
    }
    let said = events.take();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("reset after 0 ms") && said[1].contains("certificate has expired"));
    // However many reasons there are, the log is not flooded.
    for reason in 'a'..='z' {
        fail(format!("because of {reason}")).await;
    }
    assert_eq!(events.take().len(), RateLimitedLog::TEXTS - 2);
    advance(RateLimitedLog::EVERY).await;
    fail("because of z".to_owned()).await;
    let said = events.take();
    let suppressed = 99 + 26 - (RateLimitedLog::TEXTS - 2);
    assert!(said[0].contains(&format!("({suppressed} similar messages suppressed)")), "{said:?}");
}

#[tokio::test(start_paused = true)]
async fn the_interval_and_the_levels_are_those_that_were_set() {
    let (events, _guard) = Events::catch(Level::TRACE);
    let second = Duration::from_secs(1);
    for (layer, loud) in [(path(), "INFO [NATS]"), (last(), "INFO [TOTAL]")] {
        let layer = layer.every(second).levels(Level::INFO, Level::TRACE);
        let end = async |answer: Answer| {
            let _ = layer.layer(service_fn(move |_: Req| ready(answer.clone()))).oneshot(read(1)).await;
            events.take()
        };
        assert!(end(BUSY).await[0].starts_with(loud));
        assert!(end(BUSY).await[0].starts_with("TRACE"));
        advance(second).await;
        assert!(end(BUSY).await[0].starts_with(loud), "a second later");
        let _ = end(BUSY).await;
        let success = end(Ok(Via(0))).await;
        assert!(success.iter().all(|line| line.starts_with("TRACE [NATS] read ok")), "{success:?}");
        drop(layer);
        let rest = events.take();
        assert!(rest[0].starts_with(loud) && rest[0].contains("1 more operations"), "{rest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_service_is_loud_and_one_of_its_caller_is_a_call_that_was_cancelled() {
    let (events, _guard) = Events::catch(Level::DEBUG);
    let panics = service_fn(async |_: Req| -> Answer { panic!("on purpose") });
    let panics_at_once = service_fn(|_: Req| -> std::future::Ready<Answer> { panic!("on purpose") });
    for (layer, line) in [
        (path(), "WARN [NATS] read panicked id=1 took=0ns class=unknown"),
        (last(), "ERROR [TOTAL] read panicked id=1 took=0ns class=unknown"),
    ] {
        assert!(tokio::spawn(layer.layer(panics).oneshot(read(1))).await.unwrap_err().is_panic());
        assert!(tokio::spawn(layer.layer(panics_at_once).oneshot(read(2))).await.unwrap_err().is_panic());
        let said = events.take();
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(said[0], line);
        assert!(said[1].starts_with("DEBUG") && said[1].contains("panicked id=2"), "said already: {said:?}");
        drop(layer);
        assert!(events.take()[0].contains("1 more operations failed"), "none goes uncounted");
    }
    let mut caller = path().layer(silent());
    let task = tokio::spawn(async move {
        let mut call = task::spawn(caller.call(read(3)));
        assert_pending!(call.poll());
        let _not_polled = caller.call(read(4));
        panic!("the caller's own")
    });
    assert!(task.await.unwrap_err().is_panic());
    let said = events.take();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said.iter().all(|line| line.contains("cancelled")), "{said:?}");
}
