//! The bot's periodic tasks: delivering messages, counting users, sending the heartbeat.
//!
//! The tasks follow the wall clock, even if a recording is played at another speed. A missed tick is skipped,
//! a task never runs concurrently with itself, and a panic in a task costs only that tick.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use eitherway_layers::logging::RateLimitedLog;
use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::{self, Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use tracing::warn;

use super::context::Context;
use super::dispatch::panic_message;
use super::failure_logs::FailureKind;
use super::handlers;
use super::lead::keeping;
use crate::op::{Op, RoseyClient};
use eitherway::client::Stack;

/// How often the bot checks whether a failure has stopped repeating.
const LOOK: Duration = Duration::from_secs(1);

/// How often the background tasks run. Zero disables a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intervals {
    pub(in crate::bot) messages: Duration,
    pub(in crate::bot) user_counts: Duration,
    pub(in crate::bot) status: Duration,
}

impl Intervals {
    /// How often messages are delivered to the channel, and failed marks repeated: 2 s.
    #[must_use]
    pub fn messages(self, messages: Duration) -> Self {
        Self { messages, ..self }
    }

    /// How often the number of users is recorded: 300 s.
    #[must_use]
    pub fn user_counts(self, user_counts: Duration) -> Self {
        Self { user_counts, ..self }
    }

    /// How often the status is sent, which is also the heartbeat: 10 s.
    #[must_use]
    pub fn status(self, status: Duration) -> Self {
        Self { status, ..self }
    }
}

impl Default for Intervals {
    fn default() -> Self {
        Self {
            messages: Duration::from_secs(2),
            user_counts: Duration::from_secs(300),
            status: Duration::from_secs(10),
        }
    }
}

/// Starts the tasks. Each runs first after one interval, and ends when `stop` is cancelled: immediately between two
/// runs, otherwise after the current run. Dropping the set aborts the tasks.
pub(super) fn start<S: Stack<Op>>(
    bot: &Context<S>,
    intervals: Intervals,
    stop: &CancellationToken,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let messages =
        every(intervals.messages, "messages", bot.clone(), stop.clone(), handlers::channel_messages);
    tasks.spawn(messages.in_current_span());
    let user_counts = every(intervals.user_counts, "user counts", bot.clone(), stop.clone(), count_users);
    tasks.spawn(user_counts.in_current_span());
    let status = every(intervals.status, "status", bot.clone(), stop.clone(), handlers::heartbeat);
    tasks.spawn(status.in_current_span());
    if bot.lease().room().is_some() {
        tasks.spawn(keeping::keep(bot.clone(), stop.clone()).in_current_span());
    }
    tasks.spawn(watch_failures(bot.clone(), stop.clone()).in_current_span());
    tasks
}

/// Records the current number of users, if it is known.
async fn count_users<S: Stack<Op>>(bot: Context<S>) {
    let Some(counts) = bot.room().counts().filter(|_| bot.tells()) else { return };
    let noted = bot.db().user_count(counts.chat, counts.connected.unwrap_or(counts.chat)).await;
    bot.record_result(noted, format_args!("a count of {} users", counts.chat));
}

async fn every<S, F>(
    interval: Duration,
    name: &'static str,
    bot: Context<S>,
    stop: CancellationToken,
    task: impl Fn(Context<S>) -> F + Send,
) where
    S: Stack<Op>,
    F: Future<Output = ()> + Send,
{
    if interval.is_zero() {
        return;
    }
    let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(panic) = AssertUnwindSafe(task(bot.clone())).catch_unwind().await {
            bot.progress().handler_panic();
            if let Some(more) = bot.failures().record(FailureKind::Handler) {
                let message = panic_message(&*panic);
                warn!(task = name, "a background task panicked and continues: {message}{more}");
            }
        }
    }
}

/// Logs the summary of failures that have stopped, until `stop`.
async fn watch_failures<S>(bot: Context<S>, stop: CancellationToken) {
    while time::timeout(LOOK, stop.cancelled()).await.is_err() {
        bot.failures().report(RateLimitedLog::recovered);
    }
}
