use std::sync::{Arc, Mutex};

use super::*;
use crate::bot::testing::{MockStack, TestBot, join, line};

type Steps = Arc<Mutex<Vec<String>>>;
type Bot = Context<MockStack>;

/// Dispatches one event, and returns what the handlers noted.
async fn steps_of(
    register: impl FnOnce(&mut Dispatcher<MockStack>, Steps),
    event: Body,
) -> (Vec<String>, TestBot) {
    let test = TestBot::new(MockStack::default());
    let (mut dispatcher, steps) = (Dispatcher::new(), Steps::default());
    register(&mut dispatcher, Arc::clone(&steps));
    dispatcher.dispatch(&test.bot, Arc::new(Event::now(event))).await;
    let steps = steps.lock().expect("steps").clone();
    (steps, test)
}

fn note(steps: &Steps, step: impl Into<String>) {
    steps.lock().expect("steps").push(step.into());
}

#[tokio::test]
async fn handlers_run_in_the_order_of_registration_whether_synchronous_or_not() {
    let register = |dispatcher: &mut Dispatcher<MockStack>, steps: Steps| {
        let (a, b, c, d) = (steps.clone(), steps.clone(), steps.clone(), steps);
        dispatcher
            .on(Kind::Message, move |_: Bot, _: Arc<Event>| {
                let a = a.clone();
                async move {
                    tokio::task::yield_now().await;
                    note(&a, "1 async");
                }
            })
            .on(Kind::Message, move |_: Bot, _: Arc<Event>| note(&b, "2 sync"))
            .on(Kind::Message, move |_: Bot, _: Arc<Event>| {
                let c = c.clone();
                async move {
                    note(&c, "3 async with a result");
                    Ok::<_, std::fmt::Error>(Propagation::Continue)
                }
            })
            .on(Kind::Message, move |_: Bot, _: Arc<Event>| -> Result<(), &'static str> {
                note(&d, "4 sync with a result");
                Ok(())
            })
            .on(Kind::UserJoin, |_: Bot, _: Arc<Event>| -> Propagation { panic!("another kind") });
    };
    let (steps, _) = steps_of(register, line("a", "x")).await;
    assert_eq!(steps, ["1 async", "2 sync", "3 async with a result", "4 sync with a result"]);
}

#[tokio::test]
async fn a_handler_can_stop_the_rest() {
    for asynchronous in [false, true] {
        let register = |dispatcher: &mut Dispatcher<MockStack>, steps: Steps| {
            let first = steps.clone();
            if asynchronous {
                dispatcher.on(Kind::Message, move |_: Bot, _: Arc<Event>| {
                    note(&first, "first");
                    async { Propagation::Stop }
                });
            } else {
                dispatcher.on(Kind::Message, move |_: Bot, _: Arc<Event>| {
                    note(&first, "first");
                    Propagation::Stop
                });
            }
            dispatcher.on(Kind::Message, move |_: Bot, _: Arc<Event>| note(&steps, "second"));
        };
        let (steps, _) = steps_of(register, line("a", "x")).await;
        assert_eq!(steps, ["first"]);
    }
}

#[tokio::test]
async fn an_error_or_a_panic_is_raised_as_an_event_and_the_rest_still_run() {
    let register = |dispatcher: &mut Dispatcher<MockStack>, steps: Steps| {
        let raised = steps.clone();
        dispatcher
            .on(Kind::UserJoin, |_: Bot, _: Arc<Event>| -> Result<(), &str> { Err("sync error") })
            .on(Kind::UserJoin, |_: Bot, _: Arc<Event>| async { Err::<(), _>("async error") })
            .on(Kind::UserJoin, |_: Bot, _: Arc<Event>| -> Propagation { panic!("sync panic") })
            .on(Kind::UserJoin, |_: Bot, _: Arc<Event>| async {
                tokio::task::yield_now().await;
                if true {
                    panic!("async {}", "panic");
                }
            })
            .on(Kind::UserJoin, move |_: Bot, _: Arc<Event>| note(&steps, "the rest"))
            .on(Kind::Error, move |_: Bot, event: Arc<Event>| {
                let Body::Error { during, handler, message } = &event.body else { panic!("not an error") };
                assert!(handler.contains("dispatch::tests"), "{handler}");
                note(&raised, format!("{during}: {message}"));
            });
    };
    let (steps, test) = steps_of(register, join("a")).await;
    assert_eq!(
        steps,
        [
            "user_join: sync error",
            "user_join: async error",
            "user_join: sync panic",
            "user_join: async panic",
            "the rest"
        ]
    );
    assert_eq!((test.bot.progress().handler_errors(), test.bot.progress().handler_panics()), (2, 2));
}

#[tokio::test]
async fn a_failure_while_handling_an_error_raises_nothing_more() {
    let register = |dispatcher: &mut Dispatcher<MockStack>, steps: Steps| {
        let second = steps.clone();
        dispatcher
            .on(Kind::Message, |_: Bot, _: Arc<Event>| -> Result<(), &str> { Err("first") })
            .on(Kind::Error, move |_: Bot, _: Arc<Event>| -> Propagation {
                note(&steps, "raised");
                panic!("in the handler of errors")
            })
            .on(Kind::Error, move |_: Bot, _: Arc<Event>| note(&second, "and the next one runs"));
    };
    let (steps, test) = steps_of(register, line("a", "x")).await;
    assert_eq!(steps, ["raised", "and the next one runs"]);
    assert_eq!((test.bot.progress().handler_errors(), test.bot.progress().handler_panics()), (1, 1));
}
