//! Which namespaces are open and which cannot be served, told as `$SRV` under a name of its own. What is wrong within an open
//! one is told by its own service.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::Message;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;

use super::shared_connection::SharedSubscriptions;
use crate::clock;
use crate::namespace::Namespace;
use crate::nats::wire;
use crate::rfc3339;
use crate::service::link::Link;
use crate::service::replies::Replies;

/// So many that are not served are named, at most.
const NAMED: usize = 100;

/// What is known of all of them.
#[derive(Debug, Default)]
pub(super) struct States {
    known: Mutex<Known>,
    open: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Known {
    all: usize,
    failing: BTreeMap<Namespace, String>,
}

impl States {
    /// How many serve.
    pub(super) fn open(&self) -> watch::Receiver<usize> {
        self.open.subscribe()
    }

    pub(super) fn are(&self, all: usize) {
        self.known.lock().all = all;
    }

    /// One serves.
    pub(super) fn opens(&self, namespace: &Namespace) {
        self.open.send_modify(|open| *open += 1);
        self.known.lock().failing.remove(namespace);
    }

    /// One that has served does not any more.
    pub(super) fn closes(&self) {
        self.open.send_modify(|open| *open -= 1);
    }

    /// One cannot be served.
    pub(super) fn fails(&self, namespace: &Namespace, why: &str) {
        self.known.lock().failing.insert(namespace.clone(), why.to_owned());
    }

    /// One is not to be served any more.
    pub(super) fn leaves(&self, namespace: &Namespace) {
        self.known.lock().failing.remove(namespace);
    }
}

/// Answers who asks, for as long as it is polled.
pub(super) async fn tell(
    states: Arc<States>,
    micro: String,
    replies: Replies,
    links: &watch::Receiver<Link>,
) {
    let (name, id) = (format!("{micro}-namespaces"), uuid::Uuid::new_v4().simple().to_string());
    let started = rfc3339::format(clock::now());
    let subjects = ["PING", "INFO", "STATS"].into_iter().flat_map(|verb| {
        let all = format!("$SRV.{verb}");
        let named = format!("{all}.{name}");
        let single = format!("{named}.{id}");
        [all, named, single]
    });
    // In a group of its own: every process answers.
    let mut asked = SharedSubscriptions::open(links, subjects.collect(), id.clone()).await;
    loop {
        let question = asked.next().await;
        let Ok(Some(to)) = replies.of(&question) else { continue };
        let verb = verb(&question);
        let body = {
            let (known, open) = (states.known.lock(), *states.open.borrow());
            let failing: BTreeMap<_, _> =
                known.failing.iter().take(NAMED).map(|(name, why)| (name.as_str(), why.as_str())).collect();
            let notices =
                failing.iter().map(|(name, why)| format!("{name}: {why}")).collect::<Vec<_>>().join("; ");
            let mut body = json!({
                "type": format!("io.nats.micro.v1.{verb}_response"),
                "name": name, "id": id, "version": env!("CARGO_PKG_VERSION"),
                // Metadata are texts.
                "metadata": {"namespaces": known.all.to_string(), "open": open.to_string(), "notices": notices},
            });
            match verb {
                "info" => {
                    body["description"] = "opens namespaces when they are asked for".into();
                    body["endpoints"] = json!([]);
                }
                "stats" => {
                    body["started"] = started.as_str().into();
                    body["endpoints"] = json!([]);
                    body["data"] = json!({"namespaces": known.all, "open": open, "failing": failing});
                }
                _ => {}
            }
            body.to_string()
        };
        let client = asked.link().client;
        if body.len() <= client.max_payload()
            && let Err(e) =
                client.publish_with_headers(to.subject(), wire::answer_headers(""), body.into()).await
        {
            tracing::debug!("a question about the namespaces is not answered: {e}");
        }
    }
}

fn verb(question: &Message) -> &'static str {
    match question.subject.split('.').nth(1) {
        Some("INFO") => "info",
        Some("STATS") => "stats",
        _ => "ping",
    }
}
