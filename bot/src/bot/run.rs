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
use super::lead::takeover::Takeover;
use super::lead::{Role, Turn, keeping};
use super::summary::{Ended, Summary};
use super::{Bot, commands, handlers, tasks};
use crate::op::{Line, Op};
use eitherway::client::Stack;
use eitherway::trace;

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
        let mut work = Work::default();
        let reader = Reader { bot: &bot, dispatcher: &dispatcher, concurrency };
        let (ended, lost) = reader.read(chat.listen(), shutdown, &mut work).await;
        info!("{}: finishing events in progress", ended.as_str());
        let deadline = Instant::now() + grace;
        stop.cancel();
        let mut chains = reader.finish(work, grace / 2).await;
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
        };
        if timeout_at(deadline, farewell).await.is_err() {
            warn!("the last status or the output could not be written in time");
        }
        if bot.lease().may_be_held() {
            // In vain, it ends by itself.
            let _ = timeout_at(deadline, keeping::give_back(&bot)).await;
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

/// What has been read and is not done.
#[derive(Default)]
struct Work<'a> {
    held: Held,
    chains: FuturesUnordered<Chain<'a>>,
    takeover: Takeover<'a>,
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
        work: &mut Work<'a>,
    ) -> (Ended, Option<String>) {
        let mut shutdown = pin!(shutdown.fuse());
        loop {
            // An input that is always ready must not starve the background tasks.
            tokio::task::coop::consume_budget().await;
            if work.chains.is_empty() {
                self.greet(work).await;
            }
            let is_full = work.chains.len() >= self.concurrency;
            let received = tokio::select! {
                biased;
                () = &mut shutdown => return (Ended::Shutdown, None),
                Some(()) = work.chains.next(), if !work.chains.is_empty() => continue,
                () = self.bot.lease().changed.notified() => {
                    self.settle(work).await;
                    continue;
                }
                lines = work.takeover.answered() => {
                    self.write_unwritten(lines, work).await;
                    continue;
                }
                received = events.next(), if !is_full => received,
            };
            let Some(Received { position, item }) = received else { return (Ended::EndOfInput, None) };
            self.bot.progress().read_to(position);
            match item {
                Ok(event) => {
                    self.bot.progress().event_read();
                    self.receive(event, work).await;
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

    /// Handles an event, or holds it while another bot may lead, or what that one has not written is not known yet.
    async fn receive(&self, event: Event, work: &mut Work<'a>) {
        let (room, lease) = (self.bot.room(), self.bot.lease());
        let was_online = room.online();
        room.observe(&event);
        if room.online() != was_online {
            lease.wakes.notify_one();
        }
        if lease.turn() == Turn::Hold {
            let is_watched = Held::WATCHED.contains(&event.kind());
            self.hold(event, work);
            if !is_watched {
                self.settle(work).await;
            }
            return;
        }
        if !work.held.is_empty() || work.takeover.goes_on() {
            self.settle(work).await;
        }
        if work.takeover.goes_on() {
            room.leave_out(work.held.push(event));
        } else {
            self.begin(event, &mut work.chains).await;
        }
    }

    /// Writes what has an id at once: it has one effect, also if several bots write it. It is handled as well if this bot leads.
    fn hold(&self, event: Event, work: &mut Work<'a>) {
        let is_line = matches!(event.kind(), Kind::Message | Kind::History);
        let leader = match self.bot.lease().role() {
            Some(Role::Watches(leader)) => leader,
            _ => String::new(),
        };
        if event.is_identified() && is_line && !held::is_said_by(&event, &leader) {
            let said = handlers::message_said(self.bot.clone(), Arc::new(event.clone()));
            work.chains.push(Box::pin(said));
        }
        if event.kind() == Kind::Pm && !leader.is_empty() {
            work.chains.push(Box::pin(commands::point_to(self.bot.clone(), event.clone(), leader)));
        }
        self.bot.room().leave_out(work.held.push(event));
    }

    /// What becomes of the events that are held.
    async fn settle(&self, work: &mut Work<'a>) {
        let (lease, room) = (self.bot.lease(), self.bot.room());
        if lease.overslept() {
            // The one who led meanwhile has heard all of it.
            room.leave_out(work.held.watch(None));
            work.held.take();
        }
        if lease.turn() == Turn::Hold {
            let watches = matches!(lease.role(), Some(Role::Watches(_)));
            work.takeover.pause(watches);
            if watches {
                self.bot.forget_heartbeat();
                room.leave_out(work.held.watch(lease.written_until()));
            }
            return;
        }
        if let Some(before) = lease.take_over() {
            work.takeover.from(before);
        }
        if work.takeover.goes_on() {
            work.takeover.ask(self.bot, &work.held);
        } else {
            self.begin_held(work).await;
        }
    }

    async fn begin_held(&self, work: &mut Work<'a>) {
        for event in work.held.take() {
            self.begin(event, &mut work.chains).await;
        }
    }

    /// Begins with what the one who led before has not written.
    async fn write_unwritten(&self, lines: Option<Vec<Line>>, work: &mut Work<'a>) {
        for event in work.takeover.unwritten(lines, &mut work.held) {
            self.begin(event, &mut work.chains).await;
        }
    }

    /// Tells that this bot is here and who else is, when what came before is written. What was held meanwhile follows.
    async fn greet(&self, work: &mut Work<'a>) {
        if self.bot.lease().turn() == Turn::Hold || !work.takeover.greets() {
            return;
        }
        self.begin(Event::now(Body::Connect), &mut work.chains).await;
        if let Some(list) = self.bot.room().list() {
            self.begin(Event::now(list), &mut work.chains).await;
        }
        self.begin_held(work).await;
    }

    /// At the end: what no other bot writes is written. What the one who led before has written is known within `limit`, or it may be
    /// written twice.
    async fn finish(&self, mut work: Work<'a>, limit: Duration) -> FuturesUnordered<Chain<'a>> {
        let lease = self.bot.lease();
        if lease.is_led_by_another() {
            return work.chains;
        }
        if let Some(before) = lease.take_over() {
            work.takeover.from(before);
        }
        if work.takeover.goes_on() {
            work.takeover.ask(self.bot, &work.held);
            let Work { takeover, chains, .. } = &mut work;
            let handled = async {
                while chains.next().await.is_some() {}
                future::pending::<()>().await;
            };
            let answered = tokio::select! {
                lines = takeover.answered() => lines,
                () = handled => None,
                () = sleep(limit) => None,
            };
            self.write_unwritten(answered, &mut work).await;
        }
        self.begin_held(&mut work).await;
        work.chains
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
