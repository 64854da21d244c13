//! A peer that knows nothing of us: a plain client, no headers of ours. It plays the Python bot, `nats pub`, the
//! database service of another make, and a monitor.

use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, RequestError, Subscriber};
use bytes::Bytes;
use eitherway::__private::wire;
use eitherway::Operation;
use futures_util::StreamExt;
use tokio::task::JoinHandle;

use crate::{LIMIT, Url};

/// A plain client of NATS.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client.
    pub client: Client,
}

/// What an answer says, in its headers and in its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The headers; empty if there are none.
    pub headers: HeaderMap,
    /// The payload.
    pub body: String,
}

impl Said {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.as_str())
    }

    /// The number of the refusal, if it is one.
    pub fn refusal(&self) -> Option<u16> {
        self.header("Nats-Service-Error-Code").map(|code| code.parse().unwrap())
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {:?}", self.body))
    }
}

impl Peer {
    /// Connects; requests wait for [`LIMIT`].
    pub async fn connect(server: &impl Url) -> Self {
        let options = async_nats::ConnectOptions::new().request_timeout(Some(LIMIT));
        // A cluster has several addresses.
        let url = server.url();
        let addresses: Vec<_> = url.split(',').collect();
        let connecting = async {
            loop {
                match options.clone().connect(addresses.as_slice()).await {
                    // The connection by which the kit has seen that the server is up is not gone from its count yet.
                    Err(e) if format!("{e:?}").contains("maximum connections exceeded") => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    connected => break connected.unwrap(),
                }
            }
        };
        Self { client: tokio::time::timeout(LIMIT, connecting).await.expect("a place on the server") }
    }

    /// Waits until the server has taken note of what was sent before.
    pub async fn flush(&self) {
        let inbox = self.client.new_inbox();
        let mut echo = self.client.subscribe(inbox.clone()).await.unwrap();
        self.client.publish(inbox, "".into()).await.unwrap();
        tokio::time::timeout(LIMIT, echo.next()).await.expect("an echo").unwrap();
    }

    /// Publishes, without waiting for anything.
    pub async fn publish(&self, subject: &str, payload: impl Into<Bytes>) {
        self.client.publish(subject.to_owned(), payload.into()).await.unwrap();
    }

    /// Asks, and returns the answer.
    pub async fn request(&self, subject: &str, payload: impl Into<Bytes>) -> Said {
        self.request_with(subject, HeaderMap::new(), payload).await
    }

    /// The same with headers.
    pub async fn request_with(&self, subject: &str, headers: HeaderMap, payload: impl Into<Bytes>) -> Said {
        self.try_request_with(subject, headers, payload).await.unwrap_or_else(|e| panic!("{subject}: {e}"))
    }

    /// The same, while it may be that no service answers, or no leader of a stream.
    ///
    /// # Errors
    /// None answers: there is none, or none does within the limit.
    pub async fn try_request_with(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: impl Into<Bytes>,
    ) -> Result<Said, RequestError> {
        let answer = if headers.is_empty() {
            self.client.request(subject.to_owned(), payload.into()).await?
        } else {
            self.client.request_with_headers(subject.to_owned(), headers, payload.into()).await?
        };
        Ok(Said {
            body: String::from_utf8(answer.payload.to_vec()).unwrap(),
            headers: answer.headers.unwrap_or_default(),
        })
    }

    /// Hears everything on `subject`, and answers nothing.
    pub async fn listen(&self, subject: &str) -> Subscriber {
        let subscriber = self.client.subscribe(subject.to_owned()).await.unwrap();
        self.flush().await;
        subscriber
    }

    /// Answers every request on `subject` with these headers and this body, as long as the test runs.
    pub async fn answer(&self, subject: &str, headers: HeaderMap, body: &'static str) -> JoinHandle<()> {
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

    /// Answers the ping as our service would, on the database `database`, and nothing else: to every client, a service
    /// that has been recognised.
    pub async fn pretend<O: Operation>(&self, database: &str) -> JoinHandle<()> {
        let mut headers = HeaderMap::new();
        headers.insert(wire::REPLY, "1");
        headers.insert(wire::DATABASE, database);
        self.answer(&format!("{}.ping", O::SERVICE), headers, "{}").await
    }
}

/// The next message of a subscription.
pub async fn next(subscriber: &mut Subscriber) -> Message {
    tokio::time::timeout(LIMIT, subscriber.next()).await.expect("a message").expect("an open subscription")
}

/// Whether nothing comes for `time`.
pub async fn silent(subscriber: &mut Subscriber, time: Duration) -> bool {
    tokio::time::timeout(time, subscriber.next()).await.is_err()
}
