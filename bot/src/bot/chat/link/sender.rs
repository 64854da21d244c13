//! What the bot says, on its way to the connection.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::super::{ChatSender, MaySpeak, Unsent};
use super::pace::Bucket;

/// How many messages wait for the connection. What comes beyond waits where it comes from.
const WAITING: usize = 16;
/// How long a message may wait until its first line is written.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// Why nothing is said meanwhile.
pub(in crate::bot::chat) const NOT_INSIDE: &str = "the bot is not in the channel";
/// How long the connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// What the connection is asked for.
#[derive(Debug)]
pub(in crate::bot::chat) enum Order {
    Say(Said),
    /// To end.
    Leave(oneshot::Sender<()>),
}

/// A message to the channel, or to one user.
#[derive(Debug)]
pub(in crate::bot::chat) struct Said {
    pub(in crate::bot::chat) to: Option<String>,
    pub(in crate::bot::chat) text: String,
    /// Whether it is said only while this bot may speak.
    pub(in crate::bot::chat) needs_turn: bool,
    pub(in crate::bot::chat) begun: oneshot::Sender<()>,
    pub(in crate::bot::chat) done: oneshot::Sender<Result<(), Unsent>>,
}

impl Said {
    /// Does not say it.
    pub(in crate::bot::chat) fn refuse(self, unsent: Unsent) {
        let _ = self.begun.send(());
        let _ = self.done.send(Err(unsent));
    }
}

/// What sender and connection share.
pub(in crate::bot::chat) struct State {
    /// Whether we are in the channel, and whether its server answers.
    pub(in crate::bot::chat) inside: AtomicBool,
    pub(in crate::bot::chat) silent: AtomicBool,
    pub(in crate::bot::chat) bucket: Mutex<Bucket>,
    may_speak: OnceLock<MaySpeak>,
}

impl State {
    /// Whether other bots may be in the channel.
    pub(in crate::bot::chat) fn is_shared(&self) -> bool {
        self.may_speak.get().is_some()
    }

    /// Whether a line may be said now: no other bot speaks in the channel.
    pub(in crate::bot::chat) fn may_speak(&self) -> bool {
        self.may_speak.get().is_none_or(|may_speak| may_speak())
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("inside", &self.inside)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

/// The sender of a connection.
///
/// `Ok` means that the network has taken every line of the message. If the connection is lost in between, the message counts as
/// unsent, and may be said twice.
#[derive(Debug)]
pub(in crate::bot::chat) struct Sender {
    orders: mpsc::Sender<Order>,
    state: Arc<State>,
    is_name: fn(&str) -> bool,
}

impl Sender {
    /// With the pace of the network, and which names users can have there.
    pub(in crate::bot::chat) fn new(
        bucket: Bucket,
        is_name: fn(&str) -> bool,
    ) -> (Self, mpsc::Receiver<Order>, Arc<State>) {
        let (orders, taken) = mpsc::channel(WAITING);
        let state = Arc::new(State {
            inside: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            bucket: Mutex::new(bucket),
            may_speak: OnceLock::new(),
        });
        (Self { orders, state: Arc::clone(&state), is_name }, taken, state)
    }

    async fn send(&self, to: Option<&str>, text: &str, needs_turn: bool) -> Result<(), Unsent> {
        if !self.state.inside.load(Ordering::Acquire) {
            return Err(Unsent::transient(NOT_INSIDE));
        }
        if let Some(name) = to.filter(|name| !(self.is_name)(name)) {
            return Err(Unsent::permanent(format!("`{}` cannot be a name", name.escape_debug())));
        }
        let ((begun, mut begins), (done, ends)) = (oneshot::channel(), oneshot::channel());
        let said = Said { to: to.map(str::to_owned), text: text.to_owned(), needs_turn, begun, done };
        let ended = || Unsent::transient("the connection has ended");
        let begin = async {
            self.orders.send(Order::Say(said)).await.map_err(|_| ended())?;
            // An error comes by the other way.
            let _ = (&mut begins).await;
            Ok::<(), Unsent>(())
        };
        if let Ok(sent) = timeout(LONGEST_WAIT, begin).await {
            sent?;
        } else {
            // From here on it is not begun; but it may have been in this moment.
            begins.close();
            begins.try_recv().map_err(|_| Unsent::transient("too many messages wait to be said"))?;
        }
        ends.await.map_err(|_| ended())?
    }
}

impl ChatSender for Sender {
    fn allowance(&self) -> Option<u32> {
        let now = Instant::now();
        let free = self.state.inside.load(Ordering::Acquire) && self.state.bucket.lock().next(now) <= now;
        Some(u32::from(free))
    }

    fn only_while(&self, may_speak: MaySpeak) {
        let _ = self.state.may_speak.set(may_speak);
    }

    fn say<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        self.send(None, text, true).boxed()
    }

    fn pm<'a>(&'a self, user: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        self.send(Some(user), text, true).boxed()
    }

    fn hears(&self) -> bool {
        !self.state.silent.load(Ordering::Acquire)
    }

    fn hint<'a>(&'a self, user: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        self.send(Some(user), text, false).boxed()
    }

    fn flush(&self) -> BoxFuture<'_, Result<(), Unsent>> {
        async {
            let (left, leaves) = oneshot::channel();
            let leave = async {
                // A connection that has ended has nothing to say goodbye to.
                let _ = self.orders.send(Order::Leave(left)).await;
                let _ = leaves.await;
            };
            timeout(GOODBYE, leave).await.map_err(|_| Unsent::transient("the server does not say goodbye"))
        }
        .boxed()
    }
}
