//! The life cycle of a bot: reading, handling, stopping.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use eitherway_layers::logging::RateLimitedLog;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, future};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug_span, info, warn};

use super::chat::{Received, Unreadable};
use super::context::Context;
use super::dispatch::Dispatcher;
use super::event::{Event, Kind};
use super::failure_logs::FailureKind;
use super::summary::{Ended, Summary};
use super::{Bot, handlers, tasks};
use crate::op::Op;
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
        let Self { db, chat, identity, commands, dispatcher, intervals, concurrency, grace, progress } = self;
        progress.total(chat.size());
        let bot = Context::new(db, chat.sender(), identity, commands, progress);
        let stop = CancellationToken::new();
        let mut tasks = tasks::start(&bot, intervals, &stop);
        let mut chains = FuturesUnordered::new();
        let reader = Reader { bot: &bot, dispatcher: &dispatcher, concurrency };
        let ended = reader.read(chat.listen(), shutdown, &mut chains).await;
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
        };
        if timeout_at(deadline, farewell).await.is_err() {
            warn!("the last status or the output could not be written in time");
        }
        bot.failures().report(RateLimitedLog::flush);
        Summary::new(ended, bot.progress(), abandoned, bot.deliveries().pending_marks() as u64)
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
    /// Starts the chain of every event in the order of reading, at most `concurrency` of them at a time.
    async fn read(
        &self,
        mut events: impl StreamExt<Item = Received> + Unpin,
        shutdown: impl Future<Output = ()>,
        chains: &mut FuturesUnordered<Chain<'a>>,
    ) -> Ended {
        let mut shutdown = pin!(shutdown.fuse());
        loop {
            // An input that is always ready must not starve the background tasks.
            tokio::task::coop::consume_budget().await;
            let received = tokio::select! {
                biased;
                () = &mut shutdown => return Ended::Shutdown,
                Some(()) = chains.next(), if !chains.is_empty() => continue,
                received = events.next(), if chains.len() < self.concurrency => received,
            };
            let Some(Received { position, item }) = received else { return Ended::EndOfInput };
            self.bot.progress().read_to(position);
            match item {
                Ok(event) => {
                    self.bot.progress().event_read();
                    self.begin(event, chains).await;
                }
                Err(unreadable @ Unreadable::Line { .. }) => {
                    self.bot.progress().bad_line();
                    if let Some(more) = self.bot.failures().record(FailureKind::Unreadable) {
                        warn!("skipped {unreadable}{more}");
                    }
                }
                Err(lost @ (Unreadable::Lost(_) | Unreadable::Refused(_))) => {
                    warn!("{lost}");
                    return Ended::InputLost;
                }
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
