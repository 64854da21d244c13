//! Whether what is denied is still denied: it is named, and asked for again. The permissions of a running server may be changed
//! without a word to its clients.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time;

use super::connection::Carries;
use super::denied::{Denial, Does, INBOXES, MICRO};
use super::link::Link;
use super::shared::Shared;
use crate::nats::Mode;
use crate::nats::names::Names;
use crate::operation::Operation;
use crate::store::Store;

/// How often the denials are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often a subscription that is denied is asked for again.
const RETRY: Duration = Duration::from_secs(3);
/// What the keys of these notices begin with.
const PREFIX: &str = "denied.";

/// Looks as long as the service runs. `wanted`: whether JetStream is, for what is denied of it.
pub(super) async fn run<O: Operation, D: Store<O>>(shared: Arc<Shared<O, D>>, wanted: bool) {
    while time::timeout(LOOK, shared.stop.cancelled()).await.is_err() {
        look(&shared, wanted);
    }
}

/// Asks again for what is denied, as far as that changes nothing, as long as the service runs. Once one of them is allowed, the connection
/// is made anew with all that it listens to: `renew` is told which.
pub(super) async fn retry<O: Operation, D: Store<O>>(
    shared: Arc<Shared<O, D>>,
    stream: Link,
    renew: mpsc::Sender<Carries>,
) {
    let links = [(Carries::Requests, shared.link()), (Carries::Stream, stream)];
    while time::timeout(RETRY, shared.stop.cancelled()).await.is_err() {
        for (over, link) in &links {
            // A connection that is down complains of nothing.
            if !link.now().up || link.now().lame {
                continue;
            }
            if shared.troubles.denials.lift(*over) {
                let _ = renew.try_send(*over);
            }
            for (does, subject) in shared.troubles.denials.ask(*over) {
                let subject = match subject.as_str() {
                    INBOXES => link.client.new_inbox(),
                    MICRO => "$SRV.PING".to_owned(),
                    _ => subject,
                };
                if does == Does::Publish {
                    let _ = link.client.publish(subject, "".into()).await;
                    continue;
                }
                // The other subscriptions to this subject get the same messages: none is lost with this one.
                drop(link.client.subscribe(subject).await);
            }
        }
    }
}

/// States what is denied now.
pub(super) fn look<O: Operation, D: Store<O>>(shared: &Shared<O, D>, wanted: bool) {
    let (names, mode) = (&*shared.names, shared.mode());
    let relevant = |denial: &Denial| wanted || mode == Mode::JetStream || !denial.subject.starts_with("$JS.");
    let keyed = |denial: Denial| {
        let consequence = denial.consequence(names, mode)?;
        // Over either connection it is the same user who is denied it.
        Some((format!("{PREFIX}{} {}", denial.does.word(), denial.subject), denial.sentence(&consequence)))
    };
    let everything = shared.troubles.denials.deny_everything(names, mode);
    let all = shared.troubles.denials.all().into_iter().filter(relevant);
    // One sentence for all of them, where it is all of them.
    let all = all.filter(|denial| !(everything && denial.is_own(names)));
    let mut notices: BTreeMap<_, _> = all.filter_map(keyed).collect();
    if everything {
        notices.insert(format!("{PREFIX}everything"), nothing_served(names, mode));
    }
    shared.notices.replace(PREFIX, notices);
}

fn nothing_served(names: &Names, mode: Mode) -> String {
    let (subjects, consequence) = match mode {
        Mode::Core => ("any of its subjects", "nothing is served"),
        Mode::JetStream => ("the subjects of queries and calls", "none of these is served"),
    };
    let below = names.own(">");
    format!(
        "the NATS server does not let this service subscribe to {subjects}: {consequence}. Clients with a database of their own \
         fall back to it. Allow {below:?} to this user (permissions {{ subscribe: {{ allow: [{below:?}] }} }}), and reload \
         the server; this service tries again every few seconds"
    )
}
