//! A bot that may not be alone in its room.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Role;
use crate::bot::chat::{Chat, ChatSender, Received, Unsent};
use crate::bot::event::{Body, Event, Stamp};
use crate::bot::testing::{MockStack, RecordingSender, line, list};
use crate::bot::{Bot, Commands, Intervals, Progress, Summary};
use eitherway::client::Db;
use eitherway::clock;
use eitherway::error::Code;

const GRACE: Duration = Duration::from_secs(10);

fn leader(leads: bool) -> Value {
    json!({"leads": leads, "leader": "other", "age": 0, "skew": 0, "company": true})
}

/// What happens when it is told, and whether it is heard.
struct Ears {
    events: mpsc::UnboundedReceiver<Event>,
    sender: RecordingSender,
    hears: Arc<AtomicBool>,
}

impl Chat for Ears {
    fn sender(&self) -> Arc<dyn ChatSender> {
        Arc::new(Voice { sender: self.sender.clone(), hears: Arc::clone(&self.hears) })
    }

    fn listen(self: Box<Self>) -> BoxStream<'static, Received> {
        let received = |event| Received { position: 0, item: Ok(event) };
        stream::unfold(self.events, move |mut events| async move {
            events.recv().await.map(|event| (received(event), events))
        })
        .boxed()
    }
}

struct Voice {
    sender: RecordingSender,
    hears: Arc<AtomicBool>,
}

impl ChatSender for Voice {
    fn hears(&self) -> bool {
        self.hears.load(Ordering::Relaxed)
    }

    fn say<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        self.sender.say(text)
    }

    fn pm<'a>(&'a self, user: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        self.sender.pm(user, text)
    }
}

/// A bot that runs, and has come into its room.
struct Shared {
    stack: MockStack,
    events: mpsc::UnboundedSender<Event>,
    sender: RecordingSender,
    hears: Arc<AtomicBool>,
    progress: Arc<Progress>,
    stop: CancellationToken,
    running: JoinHandle<Summary>,
}

impl Shared {
    /// It leads, or another one does.
    fn start(leads: bool) -> Self {
        let stack = MockStack::default();
        stack.always("lead", leader(leads));
        let (events, heard) = mpsc::unbounded_channel();
        let (sender, hears) = (RecordingSender::default(), Arc::new(AtomicBool::new(true)));
        let ears = Ears { events: heard, sender: sender.clone(), hears: Arc::clone(&hears) };
        let off = Intervals::default().messages(Duration::ZERO).status(Duration::ZERO);
        let bot = Bot::new(Db::new(stack.clone()), Box::new(ears)).intervals(off).grace(GRACE);
        let bot = bot.shared("irc:#lounge").commands(Commands::default());
        let (progress, stop) = (bot.progress(), CancellationToken::new());
        let running = tokio::spawn(bot.run(stop.clone().cancelled_owned()));
        let shared = Self { stack, events, sender, hears, progress, stop, running };
        shared.happens(Body::Connect);
        shared
    }

    fn happens(&self, body: Body) {
        self.events.send(Event::new(body, Stamp::at(clock::now()))).expect("the bot reads");
    }

    /// How often the lead was asked for, and given back.
    fn asked_and_given_back(&self) -> (usize, usize) {
        let asked = self.stack.of("lead");
        let back = asked.iter().filter(|seen| seen.payload["seconds"] == json!(0)).count();
        (asked.len() - back, back)
    }

    /// The other one does not come back.
    fn may_lead(&self) {
        self.stack.always("lead", leader(true));
    }

    /// By the clock of the test, which stands still while anything is to be done.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(120);
        while !holds(self) {
            let last: Vec<_> = self.stack.names().into_iter().rev().take(20).collect();
            assert!(Instant::now() < until, "{what}; the last operations: {last:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn leads(&self) {
        self.until("it leads", |bot| bot.progress.role() == Some(Role::Leads)).await;
    }

    async fn watches(&self) {
        self.until("it watches", |bot| matches!(bot.progress.role(), Some(Role::Watches(_)))).await;
    }

    async fn end(self) -> Summary {
        self.stop.cancel();
        self.running.await.expect("a summary")
    }
}

#[tokio::test(start_paused = true)]
async fn while_a_takeover_waits_for_an_answer_handlers_end_and_a_stop_ends_within_its_grace() {
    let bot = Shared::start(false);
    let (written, handled) = (bot.stack.hold("chat"), bot.stack.hold("message_log"));
    bot.watches().await;
    // One that has an id is written at once, by whoever has heard it.
    let identified = Event::new(line("ann", "with an id"), Stamp::at(clock::now()).identified("irc", "1"));
    bot.events.send(identified).expect("the bot reads");
    bot.happens(line("ann", "without an id"));
    bot.until("it is held", |bot| bot.stack.names().contains(&"message_log")).await;
    bot.may_lead();
    bot.until("it takes over", |bot| bot.stack.names().contains(&"chat")).await;
    assert_eq!(bot.progress.operations(), 0);
    handled.add_permits(1);
    bot.until("the handler ends", |bot| bot.progress.operations() == 1).await;
    handled.add_permits(100);
    bot.happens(line("bob", "heard meanwhile"));
    // The clock goes on when it is read.
    sleep(Duration::from_millis(1)).await;
    let (begun, stack, progress) = (Instant::now(), bot.stack.clone(), Arc::clone(&bot.progress));
    let summary = bot.end().await;
    assert!(begun.elapsed() <= GRACE, "{:?}", begun.elapsed());
    assert_eq!((summary.abandoned, progress.role()), (0, Some(Role::Unknown)));
    let lines: Vec<_> = stack.of("message_log").iter().map(|seen| seen.payload["message"].clone()).collect();
    for said in ["without an id", "heard meanwhile"] {
        assert_eq!(lines.iter().filter(|line| *line == said).count(), 1, "{lines:?}");
    }
    drop(written);
}

#[tokio::test(start_paused = true)]
async fn what_is_heard_while_a_takeover_waits_follows_what_was_held_and_that_the_bot_is_here() {
    let bot = Shared::start(false);
    let written = bot.stack.hold("chat");
    bot.watches().await;
    bot.happens(line("ann", "written by the other one"));
    bot.happens(line("ann", "held"));
    bot.may_lead();
    bot.until("it takes over", |bot| bot.stack.names().contains(&"chat")).await;
    bot.happens(line("bob", "heard meanwhile"));
    let second = clock::seconds(clock::now());
    let line = json!({"timestamp": second, "username": "ann", "message": "written by the other one"});
    bot.stack.answer("chat", json!([line]));
    written.add_permits(1);
    bot.until("all is written", |bot| bot.stack.of("message_log").len() == 2).await;
    let done = bot.stack.seen();
    let told: Vec<_> = done
        .iter()
        .filter_map(|seen| match seen.name {
            "message_log" => seen.payload["message"].as_str(),
            "status_update" => seen.payload["status"].as_str(),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["held", "online", "heard meanwhile"]);
    assert!(bot.end().await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_task_that_keeps_the_lead_is_told_and_the_bot_leads_again() {
    let bot = Shared::start(true);
    bot.leads().await;
    bot.stack.panic("lead");
    bot.until("it is told", |bot| bot.progress.handler_panics() == 1).await;
    let (asked, _) = bot.asked_and_given_back();
    bot.until("it asks again", |bot| bot.asked_and_given_back().0 > asked).await;
    bot.leads().await;
    assert_eq!(bot.end().await.handler_panics, 1);
}

#[tokio::test(start_paused = true)]
async fn a_bot_that_is_out_of_its_room_gives_the_lead_back_until_the_database_knows_it() {
    let bot = Shared::start(true);
    bot.leads().await;
    bot.stack.fail("lead", Code::UNAVAILABLE);
    bot.happens(Body::Kicked { reason: None });
    bot.until("it is tried again", |bot| bot.asked_and_given_back().1 > 2).await;
    assert_eq!(bot.progress.role(), Some(Role::Unknown), "it does not count on it meanwhile");
    bot.stack.recover();
    let (asked, tried) = bot.asked_and_given_back();
    bot.until("it is given back", |bot| bot.asked_and_given_back().1 > tried).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bot.asked_and_given_back(), (asked, tried + 1), "once it is known, nothing is asked");
    bot.happens(Body::Connect);
    bot.leads().await;
    bot.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_bot_that_hears_nothing_gives_the_lead_up_and_asks_for_it_when_it_hears_again() {
    let bot = Shared::start(true);
    bot.leads().await;
    bot.hears.store(false, Ordering::Relaxed);
    bot.until("it is given up", |bot| bot.asked_and_given_back().1 == 1).await;
    assert_ne!(bot.progress.role(), Some(Role::Leads));
    let (asked, _) = bot.asked_and_given_back();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(bot.asked_and_given_back(), (asked, 1));
    bot.hears.store(true, Ordering::Relaxed);
    bot.leads().await;
    assert!(bot.end().await.is_clean());
}

#[tokio::test(start_paused = true)]
async fn who_asks_a_bot_in_private_that_watches_is_told_once_which_one_answers() {
    let bot = Shared::start(false);
    bot.watches().await;
    bot.happens(list(&["ann"]));
    let pm = |user: &str, text: &str| Body::Pm { user: user.into(), content: text.into() };
    bot.happens(pm("ann", "hello"));
    bot.happens(pm("eve", "!seen ann"));
    bot.happens(pm("ann", "!seen bob"));
    bot.happens(pm("ann", "!seen carl"));
    bot.until("it is told", |bot| !bot.sender.said().is_empty()).await;
    bot.until("all is read", |bot| bot.events.is_closed() || bot.progress.last_event().is_some()).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(bot.sender.said(), ["pm ann other answers here at present: ask that one"]);
    assert!(!bot.stack.names().contains(&"outbound_enqueue"), "the other one answers");
    bot.end().await;
}
