//! A peer that knows nothing of us: a plain client, no headers of ours. It plays the Python bot, `nats pub`, the
//! database service of another make, and a monitor.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use super::{LIMIT, Url};

pub(crate) struct Peer {
    pub(crate) client: Client,
}

/// What an answer says, to whoever reads headers and to whoever does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Said {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.as_str())
    }

    /// The number of the refusal, if it is one.
    pub(crate) fn refusal(&self) -> Option<u16> {
        self.header("Nats-Service-Error-Code").map(|code| code.parse().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }
}

impl Peer {
    pub(crate) async fn connect(server: &impl Url) -> Self {
        let options = async_nats::ConnectOptions::new().request_timeout(Some(LIMIT));
        Self { client: options.connect(server.url()).await.unwrap() }
    }

    /// Waits until the server has taken note of what was sent before.
    pub(crate) async fn settle(&self) {
        let inbox = self.client.new_inbox();
        let mut echo = self.client.subscribe(inbox.clone()).await.unwrap();
        self.client.publish(inbox, "".into()).await.unwrap();
        tokio::time::timeout(LIMIT, echo.next()).await.expect("an echo").unwrap();
    }

    pub(crate) async fn publish(&self, subject: &str, payload: impl Into<Bytes>) {
        self.client.publish(subject.to_owned(), payload.into()).await.unwrap();
    }

    pub(crate) async fn request(&self, subject: &str, payload: impl Into<Bytes>) -> Said {
        self.request_with(subject, HeaderMap::new(), payload).await
    }

    pub(crate) async fn request_with(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: impl Into<Bytes>,
    ) -> Said {
        let answer = if headers.is_empty() {
            self.client.request(subject.to_owned(), payload.into()).await
        } else {
            self.client.request_with_headers(subject.to_owned(), headers, payload.into()).await
        };
        let answer = answer.unwrap_or_else(|e| panic!("{subject}: {e}"));
        Said {
            body: String::from_utf8(answer.payload.to_vec()).unwrap(),
            headers: answer.headers.unwrap_or_default(),
        }
    }

    /// Hears everything on `subject`, and answers nothing.
    pub(crate) async fn listen(&self, subject: &str) -> Subscriber {
        let subscriber = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.settle().await;
        subscriber
    }

    /// Answers every request on `subject` with these headers and this body, as long as the test runs.
    pub(crate) async fn answer(
        &self,
        subject: &str,
        headers: HeaderMap,
        body: &'static str,
    ) -> JoinHandle<()> {
        let mut requests = self.listen(subject).await;
        let client = self.client.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.next().await {
                let Some(reply) = request.reply else { continue };
                let sent = if headers.is_empty() {
                    client.publish(reply, body.into()).await
                } else {
                    client.publish_with_headers(reply, headers.clone(), body.into()).await
                };
                sent.unwrap();
            }
        })
    }

    /// Answers the ping as our service would, on the database `database`, and nothing else: to whoever asks, a service
    /// that has been recognised.
    pub(crate) async fn pretend(&self, database: &str) -> JoinHandle<()> {
        let mut headers = HeaderMap::new();
        headers.insert("Eitherway-Reply", "1");
        headers.insert("Eitherway-Database", database);
        self.answer("rosey.db.ping", headers, "{}").await
    }
}

/// The next message of a subscription.
pub(crate) async fn next(subscriber: &mut Subscriber) -> Message {
    tokio::time::timeout(LIMIT, subscriber.next()).await.expect("a message").expect("an open subscription")
}

/// Whether nothing comes for `time`.
pub(crate) async fn silent(subscriber: &mut Subscriber, time: Duration) -> bool {
    tokio::time::timeout(time, subscriber.next()).await.is_err()
}
