//! The bot: events of a chat channel in, database operations and chat lines out.
//!
//! ```text
//! chat ── Event ──► Dispatcher ── handlers ──► Db (the typed client)
//!   ▲                                │
//!   └───────── ChatSender ◄──────────┘        ChannelState, background tasks
//! ```
//!
//! | file | contains |
//! |---|---|
//! | [`event`] | normalised events; the time and identity assigned when an event is read |
//! | [`chat`] | networks: events in, a sender out |
//! | [`dispatch`] | which handlers run, in which order, and what happens when one fails |
//! | [`handlers`] | the seven handlers that use the database |
//! | `lead` | two bots in one room |
//! | `commands` | what people of the channel ask the bot |
//! | `tasks` | periodic tasks |
//!
//! Events are handled concurrently, so that one slow operation does not stop the channel. Every event gets
//! its time and its ids when it is read, and operations commute, so the order in which they finish does not
//! matter.
//!
//! The bot knows only the typed client, and not which path serves an operation.

pub mod chat;
mod commands;
mod context;
mod deliveries;
mod delivery;
pub mod dispatch;
pub mod event;
mod failure_logs;
pub mod handlers;
mod lead;
mod progress;
mod room;
mod run;
mod summary;
mod tasks;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use chat::Chat;
pub use chat::{ChatSender, Unsent};
pub use commands::{Command, Commands, Language};
pub use context::{Context, Identity};
pub use dispatch::{BoxError, Dispatcher, Handler, Propagation};
pub use event::{Body, Event, Kind, Stamp, UserData};
use lead::Lease;
pub use lead::Role;
pub use progress::Progress;
pub use room::{ChannelState, Counts};
pub use summary::{Ended, Summary};
pub use tasks::Intervals;

use crate::op::Op;
use eitherway::client::{Db, Stack};

/// A bot, before it runs.
///
/// ```no_run
/// # async fn example<S: eitherway::Stack<rosey::op::Op>>(db: eitherway::Db<S>) -> Result<(), Box<dyn std::error::Error>> {
/// use rosey::bot::{Bot, chat};
///
/// let bot = Bot::new(db, chat::open("jsonl:session.jsonl").await?).name("Rosey").channel("lounge");
/// let summary = bot.run(std::future::pending()).await;
/// eprintln!("{summary}");
/// # Ok(())
/// # }
/// ```
pub struct Bot<S> {
    db: Db<S>,
    chat: Box<dyn Chat>,
    identity: Identity,
    commands: Option<Commands>,
    dispatcher: Dispatcher<S>,
    intervals: Intervals,
    concurrency: usize,
    grace: Duration,
    progress: Arc<Progress>,
    lease: Arc<Lease>,
}

impl<S: Stack<Op>> Bot<S> {
    /// A bot with the standard [`handlers`].
    pub fn new(db: Db<S>, chat: Box<dyn Chat>) -> Self {
        let mut dispatcher = Dispatcher::new();
        handlers::register(&mut dispatcher);
        Self {
            db,
            chat,
            identity: Identity::default(),
            commands: None,
            dispatcher,
            intervals: Intervals::default(),
            concurrency: 256,
            grace: Duration::from_secs(10),
            progress: Arc::default(),
            lease: Arc::new(Lease::none()),
        }
    }

    /// Sets the bot's name in the channel. Default: `Rosey`.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.identity.name = name.into();
        self
    }

    /// Sets the channel's name.
    #[must_use]
    pub fn channel(mut self, channel: impl Into<String>) -> Self {
        self.identity.channel = Some(channel.into());
        self
    }

    /// Says that other bots on the same database may be in this room, which all of them name alike: one leads, and the others
    /// watch. It speaks and answers, and it alone handles events that the network does not identify. Default: no other one.
    #[must_use]
    pub fn shared(self, room: impl Into<String>) -> Self {
        let lease = Arc::new(Lease::new(Some(room.into())));
        self.progress.of_lease(Arc::clone(&lease));
        Self { lease, ..self }
    }

    /// Takes commands of the people of the channel, and answers them. Default: none.
    #[must_use]
    pub fn commands(mut self, commands: Commands) -> Self {
        if self.commands.is_none() {
            commands::register(&mut self.dispatcher);
        }
        self.commands = Some(commands);
        self
    }

    /// Sets how often the background tasks run.
    #[must_use]
    pub fn intervals(self, intervals: Intervals) -> Self {
        Self { intervals, ..self }
    }

    /// Sets how many events are handled concurrently, at least one. Default: 256. While that many events wait
    /// for their operations, no more are read.
    #[must_use]
    pub fn concurrency(self, events: usize) -> Self {
        Self { concurrency: events.max(1), ..self }
    }

    /// Sets how long events in progress may take when the bot ends. Default: 10 s. The last status may take
    /// another quarter of that time.
    #[must_use]
    pub fn grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// Adds a handler after the existing ones.
    #[must_use]
    pub fn on<M>(mut self, kind: Kind, handler: impl Handler<S, M>) -> Self {
        self.dispatcher.on(kind, handler);
        self
    }

    /// The bot's counters, to watch while it runs.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

impl<S: 'static> std::fmt::Debug for Bot<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bot")
            .field("identity", &self.identity)
            .field("dispatcher", &self.dispatcher)
            .field("intervals", &self.intervals)
            .finish_non_exhaustive()
    }
}
