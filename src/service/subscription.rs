//! One subscription, and whether the server has taken note of it.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use futures_util::StreamExt;
use tokio::time;

use super::options::ServeError;
use super::taken::Serves;
use crate::nats::names::Names;

/// A subscription, and what it is for.
pub(super) struct Subscription {
    pub(super) serves: Serves,
    pub(super) subject: String,
    pub(super) subscriber: Subscriber,
    /// What has come already, and is to be taken first.
    pub(super) early: Vec<Message>,
}

impl Subscription {
    pub(super) async fn open(
        names: &Names,
        client: &Client,
        serves: Serves,
        subject: String,
    ) -> Result<Self, ServeError> {
        let subscriber = subscriber(names, client, serves, &subject).await?;
        Ok(Self { serves, subject, subscriber, early: Vec::new() })
    }
}

/// Listens to a subject: with the other instances, where one of them is enough.
pub(super) async fn subscriber(
    names: &Names,
    client: &Client,
    serves: Serves,
    subject: &str,
) -> Result<Subscriber, ServeError> {
    let subject = subject.to_owned();
    let subscriber = match serves {
        Serves::Who => client.subscribe(subject).await,
        _ => client.queue_subscribe(subject, names.service.clone()).await,
    };
    subscriber.map_err(|e| ServeError::Connection(e.to_string()))
}

/// Waits until the server has taken note of what was sent before. It reads in order: what comes back to us was sent
/// after all subscriptions.
pub(super) async fn flush_subscriptions(client: &Client) -> Result<(), ServeError> {
    let failed = |e: &dyn std::fmt::Display| ServeError::Connection(e.to_string());
    let inbox = client.new_inbox();
    let mut echo = client.subscribe(inbox.clone()).await.map_err(|e| failed(&e))?;
    client.publish(inbox, "".into()).await.map_err(|e| failed(&e))?;
    match time::timeout(Duration::from_secs(5), echo.next()).await {
        Ok(Some(_)) => Ok(()),
        _ => Err(failed(&"the server did not confirm our subscriptions within 5 s")),
    }
}
