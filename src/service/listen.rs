//! What is listened to. Without a stream that is one subscription for everything below the service's name: NATS keeps the
//! order of a connection within a subscription, and nowhere else.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use tokio::task::JoinSet;
use tokio::task::coop::unconstrained;
use tokio::time;
use tracing::Instrument;

use super::denied::COMPLAINT;
use super::lanes::Lanes;
use super::peers::who_subject;
use super::stream::Overlap;
use super::subscription::{Subscription, flush_subscriptions};
use super::taken::Serves;
use super::{ServeError, Shared, subscription_worker};
use crate::nats::Mode;
use crate::operation::{Kind, Operation, Spec};
use crate::store::Store;

/// What is listened to, before anything of it is taken.
pub(super) struct Subscriptions<O, D> {
    all: Vec<Subscription>,
    lanes: Arc<Lanes<O, D>>,
}

/// Subscribes to everything, and returns when the server has taken note of it all. What a stream takes has no other
/// subscription. From now on this instance says which it is, because another one may be starting at the same moment.
pub(super) async fn subscribe<O: Operation, D: Store<O>>(
    shared: &Arc<Shared<O, D>>,
    tasks: &mut JoinSet<()>,
) -> Result<Subscriptions<O, D>, ServeError> {
    let (client, names) = (&shared.client, &*shared.names);
    let lanes = Lanes::start(shared, tasks);
    let beside = |spec: &Spec, subject: &str| match shared.mode() {
        // Here the server itself says that there is no such operation.
        Mode::JetStream => spec.kind != Kind::Event,
        Mode::Core => names.word(subject).is_none(),
    };
    let operations = names.operations().filter(|(_, spec, subject)| beside(spec, subject));
    let operations = operations.map(|(i, _, subject)| (subject.to_string(), Serves::Operation(i)));
    // In the queue group of the other instances, also of older ones that listen to each subject by itself: the server
    // gives each message to one subscription of the group.
    let bundles = (names.bundles.to_string(), Serves::Bundle);
    let bundles = Some(bundles).filter(|_| shared.bundles.are_taken() && shared.mode() == Mode::JetStream);
    let others = match shared.mode() {
        Mode::JetStream => (names.own("applied"), Serves::Applied),
        Mode::Core => (names.own(">"), Serves::Everything),
    };
    if shared.mode() == Mode::Core {
        // A subject that is denied is left out of a wider subscription without a word. Asked for by itself, it is complained of.
        for subject in names.operations().map(|(_, _, subject)| subject).chain([&names.bundles]) {
            drop(client.subscribe(subject.clone()).await.map_err(|e| ServeError::Connection(e.to_string()))?);
        }
    }
    // A subscription of its own, which stays when the others are given up.
    let ping = (names.own("ping"), Serves::Ping);
    let mut all = Vec::new();
    for (subject, serves) in operations.chain([others, ping]).chain(bundles) {
        all.push(Subscription::open(names, client, serves, subject).await?);
    }
    let who = Subscription::open(names, client, Serves::Who, who_subject(names)).await?;
    tasks.spawn(subscription_worker::run(Arc::clone(shared), Arc::clone(&lanes), who).in_current_span());
    flush_subscriptions(client).await?;
    Ok(Subscriptions { all, lanes })
}

impl<O: Operation, D: Store<O>> Subscriptions<O, D> {
    /// Passes over what has come by now and is done from a stream.
    pub(super) fn without(&mut self, mut overlap: Overlap) {
        for Subscription { serves, subscriber, early, .. } in &mut self.all {
            if !matches!(serves, Serves::Everything | Serves::Operation(_)) {
                continue;
            }
            // Outside of tokio's budget: it would say "nothing more" in the middle.
            while let Some(Some(message)) = unconstrained(subscriber.next()).now_or_never() {
                if !overlap.takes(&message) {
                    early.push(message);
                }
            }
        }
    }

    /// Begins to take what comes.
    pub(super) fn serve(self, shared: &Arc<Shared<O, D>>, tasks: &mut JoinSet<()>) {
        if self.all.iter().any(|subscription| subscription.serves == Serves::Everything) {
            tasks.spawn(narrow(Arc::clone(shared), Arc::clone(&self.lanes)).in_current_span());
        }
        for subscription in self.all {
            tasks.spawn(
                subscription_worker::run(Arc::clone(shared), Arc::clone(&self.lanes), subscription)
                    .in_current_span(),
            );
        }
    }
}

/// The key of the notice that the order across subjects is lost.
const ORDER: &str = "order";

/// Where the server does not let us listen to everything below our name, each subject is listened to by itself, and an
/// operator is told what that costs.
async fn narrow<O: Operation, D: Store<O>>(shared: Arc<Shared<O, D>>, lanes: Arc<Lanes<O, D>>) {
    let mut connection = shared.connection.clone();
    let mut wide = Box::pin(time::sleep(COMPLAINT));
    loop {
        tokio::select! {
            Ok(_) = connection.wait_for(|c| c.narrow) => break,
            // It may have been so over an earlier connection.
            () = &mut wide, if !wide.is_elapsed() => shared.notices.clear(ORDER),
            () = shared.stop.cancelled() => return,
        }
    }
    let names = &*shared.names;
    let below = names.own(">");
    let told_so = || {
        // Where nothing is listened to, nothing has an order.
        if shared.troubles.denials.deny_everything(names, shared.mode()) {
            return shared.notices.clear(ORDER);
        }
        shared.notices.raise(
            ORDER,
            format!(
                "the NATS server does not let this service subscribe to {below}: each subject is listened to by itself, and \
                 what peers send without id and time loses its order across subjects. Allow it to subscribe to {below}"
            ),
        );
    };
    told_so();
    let applied = (names.own("applied"), Serves::Applied);
    let operations = names.operations().filter(|(_, _, subject)| names.word(subject).is_some());
    let operations = operations.map(|(i, _, subject)| (subject.to_string(), Serves::Operation(i)));
    let mut tasks = JoinSet::new();
    let bundles = (names.bundles.to_string(), Serves::Bundle);
    let bundles = Some(bundles).filter(|_| shared.bundles.are_taken());
    for (subject, serves) in operations.chain([applied]).chain(bundles) {
        match Subscription::open(names, &shared.client, serves, subject).await {
            Ok(one) => drop(tasks.spawn(
                subscription_worker::run(Arc::clone(&shared), Arc::clone(&lanes), one).in_current_span(),
            )),
            Err(e) => tracing::error!("one of our subjects has no subscription: {e}"),
        }
    }
    let watch = async {
        while time::timeout(Duration::from_secs(1), shared.stop.cancelled()).await.is_err() {
            let now = *connection.borrow();
            match (now.up, now.narrow) {
                (_, true) => told_so(),
                (true, false) => shared.notices.clear(ORDER),
                (false, false) => {}
            }
        }
    };
    tokio::join!(watch, async { while tasks.join_next().await.is_some() {} });
}
