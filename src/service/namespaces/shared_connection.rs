//! Where namespaces are asked for that are not open: one connection for all of them.
//!
//! The subscription of a namespace is in the queue group of its service. So whatever is sent there comes to one of both, also in the
//! moments in which they take turns, and to a service in another process if one is open there.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use tokio::sync::watch;
use tokio::time;

use crate::nats::names::Names;
use crate::nats::{ConnectError, NatsOptions};
use crate::service::connection::Carries;
use crate::service::drain::drain_subscription;
use crate::service::link::Link;
use crate::service::log_throttle::LogThrottle;
use crate::service::monitor::Observed;
use crate::service::stream::Api;
use crate::service::subscription::flush_subscriptions;

/// The connection, which is made anew when it has ended permanently.
pub(super) struct SharedConnection {
    nats: NatsOptions,
    troubles: Arc<LogThrottle>,
    links: watch::Sender<Link>,
}

/// Whether that is up.
struct Connected(watch::Receiver<Link>);

impl Observed for Connected {
    fn connected(&self) -> Option<bool> {
        Some(self.0.borrow().now().up)
    }
}

impl SharedConnection {
    /// Returns at once, connected or not.
    ///
    /// # Errors
    /// When connecting cannot even begin.
    pub(super) async fn open(nats: NatsOptions) -> Result<Self, ConnectError> {
        let name = format!("{}-door", nats.name);
        let nats = nats.name(name);
        let troubles = Arc::new(LogThrottle::new(&[]));
        let link = Link::open(nats.clone(), Carries::Requests, &troubles).await?;
        Ok(Self { nats, troubles, links: watch::Sender::new(link) })
    }

    /// What it tells the monitor of all services.
    pub(super) fn observed(&self) -> impl Observed + 'static {
        Connected(self.links())
    }

    pub(super) fn links(&self) -> watch::Receiver<Link> {
        self.links.subscribe()
    }

    /// Keeps it open, for as long as it is polled.
    pub(super) async fn keep(&self) {
        loop {
            let link = self.links.borrow().clone();
            tokio::select! {
                () = link.ended(&self.troubles) => {}
                () = self.name_denials() => {}
            }
            match Link::open(self.nats.clone(), Carries::Requests, &self.troubles).await {
                Ok(link) => drop(self.links.send_replace(link)),
                // It could be read before.
                Err(e) => {
                    tracing::error!("namespaces that are not open cannot be asked for: {e}");
                    std::future::pending::<()>().await;
                }
            }
        }
    }

    /// Says what the server denies, as long as it is polled.
    async fn name_denials(&self) {
        let mut said = String::new();
        loop {
            time::sleep(Duration::from_secs(1)).await;
            let denied = self.troubles.denials.summary();
            if denied != said && !denied.is_empty() {
                tracing::error!(
                    "namespaces that are not open cannot all be asked for: the NATS server does not allow this user to {denied}"
                );
            }
            said = denied;
        }
    }

    pub(super) async fn close(&self) {
        let link = self.links.borrow().clone();
        link.close().await;
        self.troubles.flush();
    }
}

/// What is heard of some subjects at the door.
pub(super) struct SharedSubscriptions {
    links: watch::Receiver<Link>,
    subjects: Vec<String>,
    group: String,
    subscribers: Option<SelectAll<Subscriber>>,
}

impl SharedSubscriptions {
    /// To everything that the service of these names is sent.
    pub(super) async fn to(links: &watch::Receiver<Link>, names: &Names) -> Self {
        let beside = names.operations().map(|(_, _, subject)| subject.to_string());
        let beside = beside.filter(|subject| names.word(subject).is_none());
        Self::open(links, [names.own(">")].into_iter().chain(beside).collect(), names.service.clone()).await
    }

    /// To these subjects, in this queue group.
    pub(super) async fn open(links: &watch::Receiver<Link>, subjects: Vec<String>, group: String) -> Self {
        let mut links = links.clone();
        links.mark_changed();
        let mut listening = Self { links, subjects, group, subscribers: None };
        listening.listen().await;
        listening
    }

    pub(super) fn link(&self) -> Link {
        self.links.borrow().clone()
    }

    pub(super) fn api(&self) -> Api {
        Api::new(self.link().client)
    }

    /// Listens, from the beginning or again.
    pub(super) async fn listen(&mut self) {
        let client = self.links.borrow_and_update().client.clone();
        let mut all = SelectAll::new();
        for subject in &self.subjects {
            match client.queue_subscribe(subject.clone(), self.group.clone()).await {
                Ok(subscriber) => all.push(subscriber),
                // The client has ended: there will be another one.
                Err(e) => return tracing::debug!(subject, "not listened to: {e}"),
            }
        }
        self.subscribers = Some(all);
    }

    /// Whether it listens, as far as there is a connection.
    pub(super) const fn listens(&self) -> bool {
        self.subscribers.is_some()
    }

    /// Waits until the server has taken note of it, if there is one.
    pub(super) async fn flush_subscriptions(&self) {
        let link = self.link();
        if link.now().up
            && let Err(e) = flush_subscriptions(&link.client).await
        {
            tracing::debug!("at the door: {e}");
        }
    }

    /// What comes next. Cancel safe.
    pub(super) async fn next(&mut self) -> Message {
        loop {
            if let Some(subscribers) = &mut self.subscribers
                && let Some(message) = subscribers.next().await
            {
                return message;
            }
            self.subscribers = None;
            if self.links.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
            self.listen().await;
        }
    }

    /// Ends it; what the server had sent until then.
    pub(super) async fn stop_listening(&mut self) -> Vec<Message> {
        let (client, mut rest) = (self.link().client, Vec::new());
        for mut subscriber in self.subscribers.take().into_iter().flatten() {
            rest.extend(drain_subscription(&client, &mut subscriber).await);
        }
        rest
    }
}
