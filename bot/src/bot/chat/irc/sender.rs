//! What the bot says, on its way to the connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::super::{ChatSender, Unsent};
use super::pace::Bucket;
use super::speech::is_nick;

/// How many messages wait for the connection. What comes beyond waits where it comes from.
const WAITING: usize = 16;
/// How long a message may wait until its first line is written.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// How long the connection may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(3);

/// What the connection is asked for.
#[derive(Debug)]
pub(super) enum Order {
    Say(Said),
    /// To end.
    Leave(oneshot::Sender<()>),
}

/// A message to the channel, or to one user.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) to: Option<String>,
    pub(super) text: String,
    pub(super) begun: oneshot::Sender<()>,
    pub(super) done: oneshot::Sender<Result<(), Unsent>>,
}

/// What sender and connection share.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Whether we are in the channel.
    pub(super) inside: AtomicBool,
    pub(super) bucket: Mutex<Bucket>,
}

/// The sender of an IRC connection.
///
/// `Ok` means that the server has taken every line of the message: a question that follows them has been answered, and a server
/// answers in order. If the connection is lost in between, the message counts as unsent, and may be said twice.
#[derive(Debug)]
pub(super) struct IrcSender {
    orders: mpsc::Sender<Order>,
    state: Arc<State>,
}

impl IrcSender {
    pub(super) fn new() -> (Self, mpsc::Receiver<Order>, Arc<State>) {
        let (orders, taken) = mpsc::channel(WAITING);
        let state = Arc::<State>::default();
        (Self { orders, state: Arc::clone(&state) }, taken, state)
    }

    async fn send(&self, to: Option<&str>, text: &str) -> Result<(), Unsent> {
        if !self.state.inside.load(Ordering::Acquire) {
            return Err(Unsent::transient("the bot is not in the channel"));
        }
        if let Some(name) = to.filter(|name| !is_nick(name)) {
            return Err(Unsent::permanent(format!("`{}` cannot be a nickname", name.escape_debug())));
        }
        let ((begun, mut begins), (done, ends)) = (oneshot::channel(), oneshot::channel());
        let said = Said { to: to.map(str::to_owned), text: text.to_owned(), begun, done };
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

impl ChatSender for IrcSender {
    fn allowance(&self) -> Option<u32> {
        let now = Instant::now();
        let free = self.state.inside.load(Ordering::Acquire) && self.state.bucket.lock().next(now) <= now;
        Some(u32::from(free))
    }

    fn say<'a>(&'a self, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        self.send(None, text).boxed()
    }

    fn pm<'a>(&'a self, user: &'a str, text: &'a str) -> BoxFuture<'a, Result<(), Unsent>> {
        self.send(Some(user), text).boxed()
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
