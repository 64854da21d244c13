//! The services that introduce themselves on `$SRV.INFO`. Each service asks for itself; several in one process are asked for
//! together, because otherwise all of them would answer each of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{self, Instant};

use super::link::Link;
use crate::nats::names::Names;
use crate::nats::wire;

/// How often it is asked for several.
const EVERY: Duration = Duration::from_secs(2);
/// How long answers are collected.
const COLLECT: Duration = Duration::from_millis(500);
/// No answer is larger, and no more of them are kept.
const LARGEST: usize = 64 << 10;
const MOST: usize = 512;
/// This many services of a process look beside them as often as one does; twice as many half as often.
const CROWD: usize = 16;

/// What one of several services in a process knows of the others.
#[derive(Clone, Debug)]
pub(super) struct ProcessDiscovery {
    /// What stands in a question of this process: no service of it answers.
    token: Arc<str>,
    /// The services outside of this process.
    pub(super) found: watch::Receiver<Arc<[Info]>>,
    /// How many services of this process are open.
    open: watch::Receiver<usize>,
}

/// The same, for the process.
#[derive(Debug)]
pub(super) struct InfoCollector {
    token: Arc<str>,
    found: watch::Sender<Arc<[Info]>>,
}

impl ProcessDiscovery {
    /// Whether a question comes from this process.
    pub(super) fn asked(&self, question: &Message) -> bool {
        let headers = question.headers.as_ref();
        headers
            .and_then(|headers| headers.get(wire::LOOK))
            .is_some_and(|token| token.as_str() == &*self.token)
    }

    /// How many times more seldom each of them looks what is beside it than one alone does, so that together they ask no
    /// more often than a few.
    pub(super) fn crowd(&self) -> u64 {
        (1 + *self.open.borrow() / CROWD) as u64
    }
}

impl InfoCollector {
    /// For services of which this many are open.
    pub(super) fn new(open: watch::Receiver<usize>) -> (Self, ProcessDiscovery) {
        let token: Arc<str> = uuid::Uuid::new_v4().simple().to_string().into();
        let (found, receiver) = watch::channel(Arc::default());
        (Self { token: Arc::clone(&token), found }, ProcessDiscovery { token, found: receiver, open })
    }

    /// Asks for as long as it is polled.
    pub(super) async fn ask(&self, mut links: watch::Receiver<Link>) {
        loop {
            let link = links.borrow_and_update().clone();
            let now = link.now();
            if now.up && !now.lame && !now.micro_denied {
                match self.collect(&link).await {
                    Some(found) => drop(self.found.send_replace(found.into())),
                    None => tracing::debug!("which services introduce themselves is not known"),
                }
            }
            time::sleep(EVERY).await;
        }
    }

    /// Asks once.
    async fn collect(&self, link: &Link) -> Option<Vec<Info>> {
        let inbox = link.client.new_inbox();
        let mut answers = link.client.subscribe(inbox.clone()).await.ok()?;
        let mut headers = HeaderMap::new();
        headers.insert(wire::LOOK, &*self.token);
        link.client.publish_with_reply_and_headers("$SRV.INFO", inbox, headers, Bytes::new()).await.ok()?;
        let (until, mut found) = (Instant::now() + COLLECT, Vec::new());
        while let Ok(Some(answer)) = time::timeout_at(until, answers.next()).await {
            if answer.length <= LARGEST && found.len() < MOST {
                found.extend(Info::read(&answer));
            }
        }
        Some(found)
    }
}

/// A service as it introduces itself, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Info {
    name: String,
    id: String,
    metadata: Option<HashMap<String, String>>,
    endpoints: Vec<Endpoint>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Endpoint {
    subject: String,
}

impl Info {
    pub(super) fn read(answer: &Message) -> Option<Self> {
        serde_json::from_slice(&answer.payload).ok()
    }

    /// The name of a service that is not ours, and has endpoints on our subjects.
    pub(super) fn foreign(&self, names: &Names) -> Option<String> {
        let ours = self.name == names.micro
            && self.metadata.as_ref().is_some_and(|metadata| metadata.contains_key("database_id"));
        if ours {
            return None;
        }
        let on_ours = |endpoint: &Endpoint| {
            names.operations().any(|(_, _, subject)| covers(&endpoint.subject, subject))
        };
        let first = self.endpoints.iter().find(|endpoint| on_ours(endpoint))?;
        let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(64).collect::<String>();
        Some(format!("{} {} on {}", short(&self.name), short(&self.id), short(&first.subject)))
    }
}

/// Whether a subscription to `pattern` gets what is sent to `subject`.
fn covers(pattern: &str, subject: &str) -> bool {
    let (mut patterns, mut tokens) = (pattern.split('.'), subject.split('.'));
    loop {
        match (patterns.next(), tokens.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some(pattern), Some(token)) if pattern == "*" || pattern == token => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn a_pattern_covers_what_its_subscription_gets() {
        for (pattern, covered) in [
            ("shop.db.user.joined", true),
            ("shop.db.user.*", true),
            ("shop.>", true),
            ("*.db.*.joined", true),
            ("shop.db.user", false),
            ("shop.db.user.joined.>", false),
            ("shop.db.*", false),
            ("", false),
        ] {
            assert_eq!(covers(pattern, "shop.db.user.joined"), covered, "{pattern}");
        }
    }
}
