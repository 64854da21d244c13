//! What was taken, on its way to where it is done: one lane an operation, each a task that works on many at once. They are
//! given their time and their place in the order here, as they are read; after that each may take as long as it needs.

use std::collections::HashMap;
use std::sync::Arc;

use async_nats::Message;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::peers::who_subject;
use super::taken::{Serves, Taken};
use super::waiting::AT_WORK;
use super::work_limit::WorkPermit;
use super::{Shared, barrier, bundle, handle};
use crate::clock;
use crate::nats::names::BUNDLES;
use crate::operation::Operation;
use crate::request::OpId;
use crate::store::Store;

/// How many messages may wait in a lane: as many as in a subscription.
const WAITING: usize = 1 << 16;

/// The lanes. They end with the subscriptions that fill them.
pub(super) struct Lanes<O, D> {
    shared: Arc<Shared<O, D>>,
    /// By subject; those of which every instance has a subscription of its own have no lane here.
    routes: HashMap<String, Option<Serves>>,
    lanes: HashMap<Serves, mpsc::Sender<Taken>>,
}

impl<O: Operation, D: Store<O>> Lanes<O, D> {
    /// Starts them.
    pub(super) fn start(shared: &Arc<Shared<O, D>>, tasks: &mut JoinSet<()>) -> Arc<Self> {
        let names = &shared.names;
        let operations =
            names.operations().map(|(i, _, subject)| (subject.to_string(), Serves::Operation(i)));
        let own = [("ping", Serves::Ping), ("applied", Serves::Applied), (BUNDLES, Serves::Bundle)];
        let own = own.map(|(word, serves)| (names.own(word), serves));
        let served: HashMap<_, _> =
            own.into_iter().chain(operations).map(|(subject, serves)| (subject, Some(serves))).collect();
        let beside = [Serves::Who, Serves::Unknown];
        let lanes = served.values().copied().flatten().chain(beside).map(|serves| {
            let (lane, queue) = mpsc::channel(WAITING);
            tasks.spawn(run(Arc::clone(shared), serves, queue).in_current_span());
            (serves, lane)
        });
        let lanes = lanes.collect();
        let mut routes = served;
        routes.insert(who_subject(names), None);
        Arc::new(Self { shared: Arc::clone(shared), routes, lanes })
    }

    /// Takes a message of a subscription, in the order in which they are read.
    pub(super) fn take(&self, serves: Serves, mut message: Message) {
        let serves = match serves {
            Serves::Everything => match self.routes.get(message.subject.as_str()) {
                Some(Some(serves)) => *serves,
                Some(None) => return,
                None => Serves::Unknown,
            },
            one => one,
        };
        if serves == Serves::Unknown {
            self.shared.troubles.unknown(&message.subject);
            if message.reply.is_none() {
                return;
            }
        }
        let token = serves.works().then(|| self.shared.running.token());
        let place = self.shared.room.take(&mut message);
        let taken = place.map(|place| Taken {
            message,
            arrival: clock::issue(),
            id: OpId::new(),
            place,
            _running: token,
        });
        // A lane that is closed has ended with its connection, in the middle of a start.
        let overrun = match self.lanes.get(&serves).zip(taken) {
            Some((lane, taken)) => matches!(lane.try_send(taken), Err(TrySendError::Full(_))),
            None => true,
        };
        if overrun {
            self.shared.troubles.overrun();
        }
    }
}

/// One lane: works on what comes until nothing more will, and ends when all is done. What is begun is begun in order, within
/// limits of number and of bytes.
async fn run<O: Operation, D: Store<O>>(
    shared: Arc<Shared<O, D>>,
    serves: Serves,
    mut queue: mpsc::Receiver<Taken>,
) {
    let (mut working, mut bytes, mut next) = (FuturesUnordered::new(), 0, None);
    loop {
        let room = working.len() < shared.in_flight.max(1) && bytes < AT_WORK;
        tokio::select! {
            biased;
            Some(cost) = working.next() => bytes -= cost,
            taken = begin(&shared, serves, &mut queue, &mut next), if room => match taken {
                Some((taken, place)) => {
                    let cost = cost(serves, &taken);
                    bytes += cost;
                    working.push(work(&shared, serves, taken, place).map(move |()| cost));
                }
                None => break,
            },
        }
    }
    while working.next().await.is_some() {}
}

/// The next message, as soon as it may be worked on; none at the end. Cancel safe: it stays in `next`. What is no operation waits
/// for none.
async fn begin<O, D>(
    shared: &Shared<O, D>,
    serves: Serves,
    queue: &mut mpsc::Receiver<Taken>,
    next: &mut Option<Taken>,
) -> Option<(Taken, Option<WorkPermit>)> {
    if next.is_none() {
        *next = Some(queue.recv().await?);
    }
    let place = match serves {
        Serves::Operation(_) => Some(shared.work_limit.enter().await),
        _ => None,
    };
    next.take().map(|taken| (taken, place))
}

/// How many bytes a message takes while it is worked on.
fn cost(serves: Serves, taken: &Taken) -> usize {
    if serves == Serves::Bundle { bundle::cost(taken) } else { taken.place.cost() }
}

/// Works on one message.
async fn work<O: Operation, D: Store<O>>(
    shared: &Shared<O, D>,
    serves: Serves,
    taken: Taken,
    _place: Option<WorkPermit>,
) {
    match serves {
        Serves::Operation(index) => handle::operation(shared, index, taken).await,
        Serves::Bundle => bundle::serve(shared, taken).await,
        Serves::Ping => handle::ping(shared, taken.message).await,
        Serves::Who => handle::who(shared, taken.message).await,
        Serves::Applied => barrier::applied(shared, taken.message).await,
        Serves::Unknown | Serves::Everything => handle::unknown(shared, taken.message).await,
    }
}
