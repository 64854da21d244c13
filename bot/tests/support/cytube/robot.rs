//! A Kryten robot: tells on NATS what happens in a channel, and does what it is told there.

use std::sync::{Arc, Mutex};

use async_nats::Client;
use eitherway::clock;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

pub(crate) struct Robot {
    client: Client,
    channel: Arc<Mutex<Channel>>,
    listens: JoinHandle<()>,
}

#[derive(Default)]
struct Channel {
    users: Vec<String>,
    /// What was said, as events.
    history: Vec<Value>,
    events: u64,
}

impl Robot {
    /// In a channel with these users.
    pub(crate) async fn start(nats: &str, users: &[&str]) -> Self {
        let client = async_nats::connect(nats).await.unwrap();
        let channel =
            Channel { users: users.iter().map(ToString::to_string).collect(), ..Channel::default() };
        let channel = Arc::new(Mutex::new(channel));
        let mut commands = client.subscribe("kryten.robot.command").await.unwrap();
        client.flush().await.unwrap();
        let (speaker, known) = (client.clone(), Arc::clone(&channel));
        let listens = tokio::spawn(async move {
            while let Some(message) = commands.next().await {
                let command: Value = serde_json::from_slice(&message.payload).unwrap();
                assert_eq!(command["meta"]["channel"], "lounge", "each command is for one channel");
                let answer = obey(&speaker, &known, &command).await;
                if let Some(reply) = message.reply {
                    speaker.publish(reply, answer.to_string().into()).await.unwrap();
                }
            }
        });
        Self { client, channel, listens }
    }

    /// Tells it as two robots in one channel do: each tells it.
    pub(crate) async fn tells_twice(&self, name: &str, payload: Value) {
        self.tells(name, payload.clone()).await;
        self.tells(name, payload).await;
    }

    pub(crate) async fn tells(&self, name: &str, payload: Value) {
        tell(&self.client, &self.channel, name, payload).await;
    }

    /// A user says something.
    pub(crate) async fn says(&self, name: &str, text: &str) {
        let line = json!({"username": name, "msg": text, "meta": {}, "time": clock::now()});
        self.channel.lock().unwrap().history.push(line.clone());
        self.tells_twice("chatMsg", line).await;
    }

    /// Ends, and starts again: what was said is told once more, with other ids and times of its own.
    pub(crate) async fn restarts(&self) {
        self.lives("shutdown").await;
        self.lives("startup").await;
        self.lives("connected").await;
        let (history, users) = {
            let channel = self.channel.lock().unwrap();
            (channel.history.clone(), list(&channel.users))
        };
        for line in history {
            self.tells("chatMsg", line).await;
        }
        self.tells("userlist", users).await;
    }

    async fn lives(&self, what: &str) {
        let life = json!({"target": "CyTube", "channel": "lounge", "domain": "cytu.test"});
        let subject = format!("kryten.lifecycle.robot.{what}");
        self.client.publish(subject, life.to_string().into()).await.unwrap();
        self.client.flush().await.unwrap();
    }
}

impl Drop for Robot {
    fn drop(&mut self) {
        self.listens.abort();
    }
}

async fn tell(client: &Client, channel: &Mutex<Channel>, name: &str, payload: Value) {
    let number = {
        let mut channel = channel.lock().unwrap();
        channel.events += 1;
        channel.events
    };
    let event = json!({
        "event_name": name, "payload": payload, "channel": "Lounge", "domain": "cytu.test",
        "timestamp": "2026-11-27T12:00:00+00:00", "correlation_id": format!("id-{number}"),
    });
    let subject = format!("kryten.events.cytube.lounge.{}", name.to_lowercase());
    client.publish(subject, event.to_string().into()).await.unwrap();
    client.flush().await.unwrap();
}

async fn obey(client: &Client, channel: &Mutex<Channel>, command: &Value) -> Value {
    let args = &command["args"];
    match command["command"].as_str().unwrap() {
        "state.userlist" => {
            let users = list(&channel.lock().unwrap().users);
            return json!({"success": true, "data": { "userlist": users }});
        }
        "say" => {
            let line = json!({"username": "robot", "msg": args["message"], "meta": {}, "time": clock::now()});
            tell(client, channel, "chatMsg", line).await;
        }
        "pm" => {
            let to = args["username"].as_str().unwrap();
            let line = json!({"username": "robot", "to": to, "msg": args["message"], "meta": {}, "time": clock::now()});
            tell(client, channel, "pm", line).await;
        }
        other => panic!("{other}"),
    }
    json!({"success": true, "data": {"success": true}})
}

fn list(users: &[String]) -> Value {
    let user = |name: &String| json!({"name": name, "rank": 1, "profile": {}, "meta": {"afk": false}});
    users.iter().map(user).collect::<Vec<_>>().into()
}
