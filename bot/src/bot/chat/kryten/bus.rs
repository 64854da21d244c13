//! The bus that a robot is on: its events, the commands to it, and their answers.

use std::io;
use std::time::Duration;

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, Subscriber};
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::cytube::channel::folded;
use super::super::link::Ended;
use super::Address;

/// How long NATS may take to accept us, and to take a command.
const CONNECTS: Duration = Duration::from_secs(15);
/// Where commands go.
const COMMANDS: &str = "kryten.robot.command";

/// A connection to NATS.
pub(super) struct Bus {
    client: Client,
    events: Subscriber,
    lives: Subscriber,
    answers: Subscriber,
    inbox: String,
    lost: mpsc::Receiver<()>,
    domain: String,
    channel: String,
}

/// What comes from the bus.
#[derive(Debug)]
pub(super) enum News {
    /// An event of the channel, and its data as JSON.
    Event(String, String),
    /// A robot has lost the channel, or has come into it.
    Life { lost: bool },
    /// The robot has answered a command.
    Answer(Answer),
}

/// A robot's answer to a command.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Answer {
    success: Option<bool>,
    error: Option<String>,
    data: Value,
    userlist: Value,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    event_name: String,
    #[serde(borrow)]
    payload: &'a RawValue,
    channel: String,
    domain: String,
}

/// What a robot tells of itself.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Life {
    target: String,
    channel: Option<String>,
    domain: Option<String>,
}

impl Bus {
    pub(super) async fn connect(address: &Address) -> Result<Self, Ended> {
        let lost = Ended::Lost;
        let (gone, is_gone) = mpsc::channel(1);
        let mut options =
            ConnectOptions::new().name("rosey-kryten").connection_timeout(CONNECTS).require_tls(address.tls);
        options = options.event_callback(move |event| {
            if matches!(event, Event::Disconnected | Event::Closed | Event::LameDuckMode) {
                // One is enough.
                let _ = gone.try_send(());
            }
            std::future::ready(())
        });
        if let Some(file) = &address.ca {
            options = options.add_root_certificates(file.clone());
        }
        if let Some(file) = &address.credentials {
            let unreadable = |error: io::Error| lost(format!("{}: {error}", file.display()));
            options = options.credentials_file(file).await.map_err(unreadable)?;
        }
        let client = timeout(CONNECTS, options.connect(address.url())).await;
        let client = client.map_err(|_| lost(format!("NATS does not accept us within {CONNECTS:?}")))?;
        let client = client.map_err(|error| match error.kind() {
            ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
                Ended::Refused(format!("NATS does not take our credentials: {error}"))
            }
            _ => lost(error.to_string()),
        })?;
        let inbox = client.new_inbox();
        let channel = folded(&address.channel);
        let subscribe = async |subject: String| {
            client.subscribe(subject).await.map_err(|error| Ended::Lost(error.to_string()))
        };
        let events = subscribe(format!("kryten.events.cytube.{channel}.>")).await?;
        let lives = subscribe("kryten.lifecycle.robot.>".to_owned()).await?;
        let answers = subscribe(inbox.clone()).await?;
        // The subscriptions are on their way before the first command is.
        let flushed = timeout(CONNECTS, client.flush()).await;
        flushed
            .map_err(|_| lost("NATS takes nothing".to_owned()))?
            .map_err(|error| lost(error.to_string()))?;
        let domain = address.domain.clone();
        Ok(Self { client, events, lives, answers, inbox, lost: is_gone, domain, channel })
    }

    /// What comes next. What is not of this channel, or not understood, is passed over. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<News, Ended> {
        loop {
            let ended = || Ended::Lost("the connection to NATS is lost".to_owned());
            tokio::select! {
                biased;
                _ = self.lost.recv() => return Err(ended()),
                message = self.answers.next() => {
                    let message = message.ok_or_else(ended)?;
                    return Ok(News::Answer(serde_json::from_slice(&message.payload).unwrap_or_default()));
                }
                message = self.events.next() => {
                    let message = message.ok_or_else(ended)?;
                    let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(&message.payload) else { continue };
                    if folded(&envelope.channel) == self.channel && folded(&envelope.domain) == self.domain {
                        return Ok(News::Event(envelope.event_name, envelope.payload.get().to_owned()));
                    }
                }
                message = self.lives.next() => {
                    let message = message.ok_or_else(ended)?;
                    let life: Life = serde_json::from_slice(&message.payload).unwrap_or_default();
                    let ours = |said: &Option<String>, ours: &str| said.as_ref().is_none_or(|said| folded(said) == ours);
                    if !ours(&life.channel, &self.channel) || !ours(&life.domain, &self.domain) {
                        continue;
                    }
                    let what = message.subject.rsplit('.').next().unwrap_or_default();
                    match what {
                        "shutdown" | "startup" => return Ok(News::Life { lost: true }),
                        "disconnected" if life.target == "CyTube" => return Ok(News::Life { lost: true }),
                        "connected" if life.target == "CyTube" => return Ok(News::Life { lost: false }),
                        _ => {}
                    }
                }
            }
        }
    }

    /// Asks the robot for something. The answer, if it gives one, comes as [`News::Answer`].
    pub(super) async fn command(&self, command: &str, args: &Value) -> Result<(), Ended> {
        let meta = json!({"source": "rosey", "domain": self.domain, "channel": self.channel});
        let command = json!({"service": "robot", "command": command, "args": args, "meta": meta}).to_string();
        let sent = async {
            self.client
                .publish_with_reply(COMMANDS, self.inbox.clone(), command.into())
                .await
                .map_err(|e| e.to_string())?;
            self.client.flush().await.map_err(|e| e.to_string())
        };
        match timeout(CONNECTS, sent).await {
            Ok(sent) => sent.map_err(Ended::Lost),
            Err(_) => Err(Ended::Lost("NATS takes nothing".to_owned())),
        }
    }
}

impl Answer {
    /// The users, if it is the list of them.
    pub(super) fn users(&self) -> Option<String> {
        let lists = [&self.userlist, &self.data["userlist"], &self.data["data"]["userlist"]];
        lists.into_iter().find(|list| list.is_array()).map(Value::to_string)
    }

    /// Why the robot does not do it, if it says so.
    pub(super) fn failure(&self) -> Option<String> {
        let error = self.error.clone().or_else(|| self.data["error"].as_str().map(str::to_owned));
        let failed = self.success == Some(false) || self.data["success"] == false;
        failed.then(|| error.unwrap_or_else(|| "it does not say why".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_list_or_a_failure_or_nothing() {
        let read = |text: &str| serde_json::from_str::<Answer>(text).expect("an answer");
        for list in [
            r#"{"userlist":[{"name":"ann"}]}"#,
            r#"{"success":true,"data":{"userlist":[{"name":"ann"}]}}"#,
            r#"{"success":true,"data":{"success":true,"data":{"userlist":[{"name":"ann"}]}}}"#,
        ] {
            assert_eq!(read(list).users().as_deref(), Some(r#"[{"name":"ann"}]"#), "{list}");
            assert_eq!(read(list).failure(), None);
        }
        assert_eq!(
            read(r#"{"success":true,"data":{"success":false,"error":"no"}}"#).failure().as_deref(),
            Some("no")
        );
        assert_eq!(read(r#"{"success":false}"#).failure().as_deref(), Some("it does not say why"));
        assert_eq!((read("{}").users(), read("{}").failure()), (None, None));
    }
}
