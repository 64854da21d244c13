//! The life cycle of a bot: reading, handling, stopping.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use eitherway_layers::logging::RateLimitedLog;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, future};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug_span, info, warn};

use super::chat::{Received, Unreadable};
use super::context::Context;
use super::dispatch::Dispatcher;
use super::event::{Body, Event, Kind};
use super::failure_logs::FailureKind;
use super::lead::held::{self, Held};
use super::lead::{Role, Turn, keeping};
use super::summary::{Ended, Summary};
use super::{Bot, handlers, tasks};
use crate::op::{Op, RoseyClient, SearchChat};
use eitherway::client::Stack;
use eitherway::trace;

/// How often, and how soon again, a bot that takes over asks what is written; and of how many lines.
const TRIES: u32 = 5;
const AGAIN: Duration = Duration::from_millis(500);
const MOST_LINES: u32 = 10_000;

type Chain<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

impl<S: Stack<Op>> Bot<S> {
    /// Runs until the input ends or `shutdown` completes. The bot then reads no more events, finishes those
    /// in progress within the grace period, sends the last status, and flushes the output.
    ///
    /// Dropping the future ends everything at once: events in progress are abandoned, background tasks
    /// aborted, and no last status is sent.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Summary {
        let Self { db, chat, identity, commands, dispatcher, intervals, concurrency, grace, progress, lease } =
            self;
        progress.total(chat.size());
        let bot = Context::new(db, chat.sender(), identity, commands, progress, lease);
        let stop = CancellationToken::new();
        let mut tasks = tasks::start(&bot, intervals, &stop);
        let mut chains = FuturesUnordered::new();
        let reader = Reader { bot: &bot, dispatcher: &dispatcher, concurrency };
        let mut held = Held::default();
        let (ended, lost) = reader.read(chat.listen(), shutdown, &mut held, &mut chains).await;
        reader.finish(held, &mut chains).await;
        info!("{}: finishing events in progress", ended.as_str());

        let deadline = Instant::now() + grace;
        stop.cancel();
        let chains_done = async { while chains.next().await.is_some() {} };
        let tasks_done = async { while tasks.join_next().await.is_some() {} };
        if timeout_at(deadline, future::join(chains_done, tasks_done)).await.is_err() {
            warn!("{} events were not finished within {grace:?}", chains.len());
        }
        let abandoned = chains.len() as u64;
        drop(chains);
        tasks.shutdown().await;
        // The rest of the grace period, but at least a quarter of it.
        let deadline = deadline.max(Instant::now() + grace / 4);
        let farewell = async {
            bot.retry_pending_marks().await;
            handlers::say_offline(&bot, ended.as_str()).await;
            if let Err(unsent) = bot.sender().flush().await {
                warn!("some of the output could not be written: {unsent}");
            }
            if bot.lease().may_speak() {
                keeping::give_back(&bot).await;
            }
        };
        if timeout_at(deadline, farewell).await.is_err() {
            warn!("the last status or the output could not be written in time");
        }
        bot.failures().report(RateLimitedLog::flush);
        Summary::new((ended, lost), bot.progress(), abandoned, bot.deliveries().pending_marks() as u64)
    }
}

/// Where the trace of an event begins, if there is a tracer.
fn span(kind: Kind) -> Span {
    if trace::tracer().is_none() {
        return Span::none();
    }
    debug_span!(target: trace::TARGET, "event", otel.name = %format_args!("event {kind}"), otel.kind = "consumer")
}

struct Reader<'a, S> {
    bot: &'a Context<S>,
    dispatcher: &'a Dispatcher<S>,
    concurrency: usize,
}

impl<'a, S: Stack<Op>> Reader<'a, S> {
    /// Starts the chain of every event in the order of reading, at most `concurrency` of them at a time. Returns why it has ended, and
    /// how the input was lost, if it was.
    async fn read(
        &self,
        mut events: impl StreamExt<Item = Received> + Unpin,
        shutdown: impl Future<Output = ()>,
        held: &mut Held,
        chains: &mut FuturesUnordered<Chain<'a>>,
    ) -> (Ended, Option<String>) {
        let mut shutdown = pin!(shutdown.fuse());
        loop {
            // An input that is always ready must not starve the background tasks.
            tokio::task::coop::consume_budget().await;
            let received = tokio::select! {
                biased;
                () = &mut shutdown => return (Ended::Shutdown, None),
                Some(()) = chains.next(), if !chains.is_empty() => continue,
                () = self.bot.lease().changed.notified() => {
                    self.settle(held, chains).await;
                    continue;
                }
                received = events.next(), if chains.len() < self.concurrency => received,
            };
            let Some(Received { position, item }) = received else { return (Ended::EndOfInput, None) };
            self.bot.progress().read_to(position);
            match item {
                Ok(event) => {
                    self.bot.progress().event_read();
                    self.receive(event, held, chains).await;
                }
                Err(unreadable @ Unreadable::Line { .. }) => {
                    self.bot.progress().bad_line();
                    if let Some(more) = self.bot.failures().record(FailureKind::Unreadable) {
                        warn!("skipped {unreadable}{more}");
                    }
                }
                Err(lost @ (Unreadable::Lost(_) | Unreadable::Refused(_))) => {
                    warn!("{lost}");
                    return (Ended::InputLost, Some(lost.to_string()));
                }
            }
        }
    }

    /// Handles an event, or holds it while another bot may lead.
    async fn receive(&self, event: Event, held: &mut Held, chains: &mut FuturesUnordered<Chain<'a>>) {
        let (room, lease) = (self.bot.room(), self.bot.lease());
        let was_online = room.online();
        room.observe(&event);
        if room.online() != was_online {
            lease.wakes.notify_one();
        }
        if lease.turn() == Turn::Hold {
            let is_watched = Held::WATCHED.contains(&event.kind());
            self.hold(event, held, chains);
            if !is_watched {
                self.settle(held, chains).await;
            }
            return;
        }
        if !held.is_empty() {
            self.settle(held, chains).await;
        }
        self.begin(event, chains).await;
    }

    /// Writes what has an id at once: it has one effect, also if several bots write it. It is handled as well if this bot leads.
    fn hold(&self, event: Event, held: &mut Held, chains: &mut FuturesUnordered<Chain<'a>>) {
        let is_line = matches!(event.kind(), Kind::Message | Kind::History);
        let leader = match self.bot.lease().role() {
            Some(Role::Watches(leader)) => leader,
            _ => String::new(),
        };
        if event.is_identified() && is_line && !held::is_said_by(&event, &leader) {
            chains.push(Box::pin(handlers::message_said(self.bot.clone(), Arc::new(event.clone()))));
        }
        self.bot.room().leave_out(held.push(event));
    }

    /// What becomes of the events that are held.
    async fn settle(&self, held: &mut Held, chains: &mut FuturesUnordered<Chain<'a>>) {
        let lease = self.bot.lease();
        if lease.overslept() {
            // The one who led meanwhile has heard all of it.
            self.bot.room().leave_out(held.watch(None));
            held.take();
        }
        if lease.turn() == Turn::Hold {
            if let Some(Role::Watches(_)) = lease.role() {
                self.bot.forget_heartbeat();
                self.bot.room().leave_out(held.watch(lease.written_until()));
            }
            return;
        }
        let events = held.take();
        let Some(before) = lease.take_over() else {
            for event in events {
                self.begin(event, chains).await;
            }
            return;
        };
        let events = events.into_iter().filter(|event| !held::is_said_by(event, &before.name)).collect();
        for event in self.unwritten(events, before.ahead).await {
            self.begin(event, chains).await;
        }
        while chains.next().await.is_some() {}
        self.begin(Event::now(Body::Connect), chains).await;
        if let Some(list) = self.bot.room().list() {
            self.begin(Event::now(list), chains).await;
        }
    }

    /// What the one who led before has not written.
    async fn unwritten(&self, events: Vec<Event>, ahead: i64) -> Vec<Event> {
        if events.is_empty() {
            return events;
        }
        for _ in 0..TRIES {
            let search =
                SearchChat { since: held::since(&events, ahead), limit: MOST_LINES, ..SearchChat::default() };
            match self.bot.count_result(self.bot.db().chat(search).await) {
                Ok(lines) => return held::unwritten(events, &lines, ahead),
                Err(error) => warn!("cannot read what the bot that led before has written: {error}"),
            }
            sleep(AGAIN).await;
        }
        warn!("{} events may be written for the second time", events.len());
        events
    }

    /// At the end: what no other bot writes is written.
    async fn finish(&self, mut held: Held, chains: &mut FuturesUnordered<Chain<'a>>) {
        if !self.bot.lease().is_led_by_another() {
            for event in held.take() {
                self.begin(event, chains).await;
            }
        }
    }

    /// Polls a chain for the first time immediately, so that its synchronous handlers run in the order of
    /// events. The remaining work mostly waits, and runs concurrently.
    async fn begin(&self, event: Event, chains: &mut FuturesUnordered<Chain<'a>>) {
        let (bot, dispatcher) = (self.bot, self.dispatcher);
        let kind = event.kind();
        let chain = async move {
            dispatcher.dispatch(bot, Arc::new(event)).await;
            bot.progress().event(kind);
        };
        let mut chain: Chain<'a> = Box::pin(chain.instrument(span(kind)));
        // `chains` polls every future that is pushed, which replaces the waker of this poll.
        if future::poll_fn(|cx| Poll::Ready(chain.as_mut().poll(cx))).await.is_pending() {
            chains.push(chain);
        }
    }
}
