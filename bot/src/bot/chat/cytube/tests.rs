use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::super::link::pace::Bucket;
use super::super::link::sender::Sender;
use super::super::link::{Ended, Ends};
use super::super::{ChatSender, Received};
use super::session::{self, Guest, Memory};
use super::socket::{self, Socket};
use super::{BURST, EVERY, speech};
use crate::bot::event::{Body, Event};
use eitherway::clock;

/// What a server says first, and when it has let us in.
const OPEN: &str =
    r#"0{"sid":"a","upgrades":[],"pingInterval":25000,"pingTimeout":120000,"maxPayload":1048576}"#;
const CONNECTED: &str = r#"40{"sid":"b"}"#;
/// What it says of a channel, in which somebody has spoken a minute ago, we ourselves, and somebody two weeks ago.
const CHANNEL: [&str; 17] = [
    r#"42["rank",-1]"#,
    r#"42["setPermissions",{"seeplaylist":-1,"chat":0}]"#,
    r#"42["setPlaylistLocked",true]"#,
    r#"42["emoteList",[]]"#,
    r#"42["drinkCount",0]"#,
    r#"42["channelCSSJS",{"css":"","cssHash":"","js":"","jsHash":""}]"#,
    r#"42["setMotd",""]"#,
    r#"42["channelOpts",{"chat_antiflood":false,"chat_antiflood_params":{"burst":4,"sustained":1,"cooldown":4}}]"#,
    r#"42["chatMsg",{"username":"ann","msg":"long ago","meta":{},"time":TWO_WEEKS_AGO}]"#,
    r#"42["chatMsg",{"username":"ann","msg":"said &lt;before&gt;","meta":{},"time":A_MINUTE_AGO}]"#,
    r#"42["chatMsg",{"username":"rosey","msg":"I was here","meta":{},"time":A_MINUTE_AGO}]"#,
    r#"42["setPlaylistMeta",{"rawTime":0,"count":0,"time":"00:00:00"}]"#,
    r#"42["playlist",[]]"#,
    r#"42["userlist",[{"name":"ann","rank":3,"profile":{"image":"","text":""},"meta":{"afk":true,"muted":false}}]]"#,
    r#"42["usercount",2]"#,
    r#"42["channelNotRegistered"]"#,
    "2",
];
const LOGIN: &str = r#"42["login",{"success":true,"name":"rosey","guest":true}]"#;
const TAKEN: &str = r#"42["login",{"success":false,"error":"That name is already in use on this channel."}]"#;

/// A session, and the server's end of it.
struct World {
    server: WebSocketStream<DuplexStream>,
    events: mpsc::Receiver<Received>,
    sender: Arc<Sender>,
    session: JoinHandle<Ended>,
}

impl World {
    /// A server that has let us in and shown the channel. We want to log in.
    async fn shown() -> Self {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (sender, orders, state) = Sender::new(Bucket::new(BURST, EVERY), speech::is_name);
        let (told, events) = mpsc::channel(64);
        let session = tokio::spawn(async move {
            let socket = match Socket::open(Box::new(ours), "cytu.be", 443).await {
                Ok(socket) => socket,
                Err(ended) => return ended,
            };
            let guest =
                Guest { host: "cytu.be", name: "rosey", channel: "lounge", password: None, key: None };
            let mut ends = Ends { events: told, orders, state };
            session::run(socket, guest, &mut ends, &mut Memory::default()).await
        });
        let server = tokio_tungstenite::accept_async(theirs).await.expect("a websocket");
        let mut world = Self { server, events, sender: Arc::new(sender), session };
        world.says(&["2", OPEN]).await;
        assert_eq!((world.hears().await, world.hears().await), ("3".to_owned(), "40".to_owned()));
        world.says(&[CONNECTED]).await;
        assert_eq!(world.hears().await, r#"42["joinChannel",{"name":"lounge"}]"#);
        let ago = |minutes: i64| (clock::now() - minutes * 60_000).to_string();
        for frame in CHANNEL {
            let frame = frame.replace("TWO_WEEKS_AGO", &ago(14 * 24 * 60));
            world.says(&[&frame.replace("A_MINUTE_AGO", &ago(1))]).await;
        }
        let mut heard = [world.hears().await, world.hears().await];
        heard.sort();
        assert_eq!(heard, ["3", r#"42["login",{"name":"rosey"}]"#]);
        world
    }

    /// And logged in.
    async fn inside() -> Self {
        let mut world = Self::shown().await;
        world.says(&[r#"42["rank",0]"#, LOGIN, r#"42["addUser",{"name":"rosey","rank":0,"meta":{}}]"#]).await;
        let events = world.told(5).await;
        assert_eq!(events, ["history <ann> said <before>", "connect", "list ann", "count 1/2", "+rosey"]);
        world
    }

    async fn says(&mut self, frames: &[&str]) {
        for frame in frames {
            self.server.send(Message::text(*frame)).await.expect("the session reads");
        }
    }

    async fn hears(&mut self) -> String {
        let next = self.server.next().await.expect("the session speaks").expect("a frame");
        next.into_text().expect("a text").to_string()
    }

    async fn told(&mut self, many: usize) -> Vec<String> {
        let mut told = Vec::new();
        while told.len() < many {
            let received = self.events.recv().await.expect("an event");
            told.push(brief(&received.item.expect("an event")));
        }
        told
    }

    /// Says something, which the test answers.
    fn speak(
        &self,
        to: Option<&'static str>,
        text: &'static str,
    ) -> JoinHandle<Result<(), super::super::Unsent>> {
        let sender = Arc::clone(&self.sender);
        tokio::spawn(async move {
            match to {
                Some(user) => sender.pm(user, text).await,
                None => sender.say(text).await,
            }
        })
    }

    async fn ends(mut self) -> (Ended, Vec<String>) {
        let ended = self.session.await.expect("no panic");
        let mut told = Vec::new();
        while let Some(received) = self.events.recv().await {
            told.push(brief(&received.item.expect("an event")));
        }
        (ended, told)
    }
}

fn brief(event: &Event) -> String {
    match &event.body {
        Body::Connect => "connect".to_owned(),
        Body::Disconnect { reason } => format!("disconnect {}", reason.as_deref().unwrap_or("-")),
        Body::Kicked { reason } => format!("kicked {}", reason.as_deref().unwrap_or("-")),
        Body::UserJoin { user, .. } => format!("+{user}"),
        Body::UserLeave { user } => format!("-{user}"),
        Body::Message { user, content } => format!("<{user}> {content}"),
        Body::History { user, content } => format!("history <{user}> {content}"),
        Body::Pm { user, content } => format!("*{user}* {content}"),
        Body::UserCount { usercount, connected } => {
            format!("count {usercount}/{}", connected.unwrap_or_default())
        }
        Body::UserList { users } => {
            format!("list {}", users.iter().map(|user| user.username.as_str()).collect::<Vec<_>>().join(" "))
        }
        Body::Error { .. } => "error".to_owned(),
    }
}

#[tokio::test]
async fn a_recorded_session_is_what_it_was() {
    let mut world = World::inside().await;
    world
        .says(&[
            r#"42["addUser",{"name":"Bob","rank":1,"profile":{"image":"","text":""},"meta":{"afk":false}}]"#,
            r#"42["addUser",{"name":"bob","rank":1}]"#,
            r#"42["chatMsg",{"username":"Bob","msg":"hi &amp; <b>bye</b>","meta":{},"time":1795769796001}]"#,
            r#"42["chatMsg",{"username":"Bob","msg":"waves","meta":{"addClass":"action","action":true},"time":1795769796002}]"#,
            r#"42["chatMsg",{"username":"[server]","msg":"Bob did something","meta":{},"time":1795769796003}]"#,
            r#"42["chatMsg",{"username":"troll","msg":"hidden","meta":{"shadow":true},"time":1795769796003}]"#,
            r#"42["pm",{"username":"Bob","msg":"psst","meta":{},"time":1795769796004,"to":"Rosey"}]"#,
            r#"42["userLeave",{"name":"BOB"}]"#,
            r#"42["userLeave",{"name":"nobody"}]"#,
            r#"42["usercount",2]"#,
            r#"427["usercount",3]"#,
        ])
        .await;
    let told = world.told(7).await;
    let expected =
        ["+Bob", "<Bob> hi & bye", "<Bob> /me waves", "*Bob* psst", "-Bob", "count 2/2", "count 2/3"];
    assert_eq!(told, expected);
    assert_eq!(world.hears().await, "437[]", "what is to be confirmed is confirmed");
}

#[tokio::test]
async fn a_line_has_one_id_however_often_it_is_read_and_two_equal_lines_have_two() {
    let mut ids = Vec::new();
    for _ in 0..2 {
        let mut channel = super::channel::Channel::new("CyTu.be", "Lounge", "rosey");
        let line = r#"{"username":"ann","msg":"again","meta":{},"time":1795769796001}"#;
        let mut read = |line: &str| {
            let heard = channel.hear("chatMsg", line);
            heard.events.iter().map(|event| event.head("message_log").id.to_string()).collect::<Vec<_>>()
        };
        ids.push([read(line), read(line), read(&line.replace("001}", "002}"))].concat());
    }
    assert_eq!(ids[0], ids[1], "replayed");
    assert_eq!(ids[0].len(), 3);
    assert!(ids[0][0] != ids[0][1] && ids[0][1] != ids[0][2] && ids[0][0] != ids[0][2], "{ids:?}");
}

#[tokio::test]
async fn a_message_is_said_when_the_channel_shows_it_and_not_before() {
    let mut world = World::inside().await;
    let said = world.speak(None, "hello <you>");
    assert_eq!(world.hears().await, r#"42["chatMsg",{"meta":{},"msg":"hello <you>"}]"#);
    assert!(!said.is_finished());
    world.says(&[r#"42["chatMsg",{"username":"ann","msg":"hello &lt;you&gt;","meta":{},"time":1}]"#]).await;
    assert_eq!(world.told(1).await, ["<ann> hello <you>"]);
    assert!(!said.is_finished(), "somebody else has said it");
    world.says(&[r#"42["chatMsg",{"username":"rosey","msg":"hello &lt;you&gt;","meta":{},"time":2}]"#]).await;
    assert_eq!(said.await.expect("no panic"), Ok(()));
    let said = world.speak(Some("Ann"), "psst");
    assert_eq!(world.hears().await, r#"42["pm",{"meta":{},"msg":"psst","to":"Ann"}]"#);
    world.says(&[r#"42["errorMsg",{"msg":"PM failed: ann isn't connected to this channel."}]"#]).await;
    let unsent = said.await.expect("no panic").expect_err("he has gone");
    assert!(!unsent.is_permanent() && unsent.to_string().contains("isn't connected"), "{unsent}");
    let unsent = world.speak(Some("nobody"), "psst").await.expect("no panic").expect_err("he is not there");
    assert!(!unsent.is_permanent(), "{unsent}");
}

#[tokio::test(start_paused = true)]
async fn what_the_server_drops_is_said_again_and_what_it_never_shows_is_not_said() {
    let mut world = World::inside().await;
    let said = world.speak(None, "hello");
    let line = r#"42["chatMsg",{"meta":{},"msg":"hello"}]"#;
    assert_eq!(world.hears().await, line);
    world.says(&[r#"42["cooldown",250]"#]).await;
    assert_eq!(world.hears().await, line);
    world.says(&[r#"42["chatMsg",{"username":"rosey","msg":"hello","meta":{},"time":2}]"#]).await;
    assert_eq!(said.await.expect("no panic"), Ok(()));
    let unsent = world.speak(None, "muted").await.expect("no panic").expect_err("nobody has seen it");
    assert!(!unsent.is_permanent() && unsent.to_string().contains("has not shown it"), "{unsent}");
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_not_free_after_the_time_of_a_ghost_ends_with_a_sentence() {
    let mut world = World::shown().await;
    for _ in 0..15 {
        world.says(&[TAKEN]).await;
        assert_eq!(world.hears().await, r#"42["login",{"name":"rosey"}]"#);
    }
    world.says(&[TAKEN]).await;
    let (ended, told) = world.ends().await;
    let Ended::Refused(reason) = ended else { panic!("{ended:?}") };
    assert!(reason.contains("does not log rosey in") && reason.contains("already in use"), "{reason}");
    assert!(told.last().is_some_and(|last| last.starts_with("disconnect")), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_silent_is_lost() {
    let mut world = World::inside().await;
    let said = world.speak(None, "hello");
    world.hears().await;
    let (ended, told) = world.ends().await;
    assert!(matches!(&ended, Ended::Lost(reason) if reason.contains("silent")), "{ended:?}");
    assert!(said.await.expect("no panic").is_err(), "nobody knows whether it was said");
    assert!(told.last().is_some_and(|last| last.contains("silent")), "{told:?}");
}

#[tokio::test]
async fn a_refusal_that_is_final_ends_with_a_sentence() {
    for (frame, sentence) in [
        (
            r#"42["login",{"success":false,"error":"Invalid username/password combination"}]"#,
            "does not log rosey in",
        ),
        (r#"42["kick",{"reason":"You're banned!"}]"#, "thrown out of lounge as rosey: You're banned!"),
        (r#"42["kick",{"reason":"Duplicate login"}]"#, "Duplicate login"),
        (r#"42["needPassword",false]"#, "wants a password: key=FILE"),
    ] {
        let mut world = World::shown().await;
        world.says(&[frame]).await;
        let (ended, _) = world.ends().await;
        assert!(matches!(&ended, Ended::Refused(reason) if reason.contains(sentence)), "{frame}: {ended:?}");
    }
}

#[tokio::test]
async fn frames_that_mean_nothing_are_passed_over_and_one_that_is_too_long_ends_the_connection() {
    let mut world = World::inside().await;
    let deep = format!("42[\"chatMsg\",{}]", "[".repeat(100_000));
    let long = format!(r#"42["chatMsg",{{"username":"ann","msg":"{}","time":1}}]"#, "x".repeat(100_000));
    let many = format!(r#"42["userlist"{}]"#, ",1".repeat(100_000));
    let odd = [
        "",
        "4",
        "42",
        "42[",
        "42[]",
        "42[1]",
        "42{\"a\":1}",
        "6",
        "9",
        "bxyz",
        "é",
        "45-[]",
        "451-[\"x\",{\"_placeholder\":true}]",
        "42[\"chatMsg\"]",
        "42[\"chatMsg\",null]",
        "42[\"chatMsg\",{\"username\":1}]",
        "42[\"addUser\",{\"name\":\"\"}]",
        "42[\"usercount\",-1]",
        "42[\"usercount\",1e99]",
        "42[\"login\",[]]",
        "42[\"cooldown\",\"x\"]",
        "42[\"channelOpts\",7]",
        "42[\"noflood\"]",
        "40",
        &deep,
        &long,
        &many,
    ];
    world.says(&odd).await;
    world.server.send(Message::binary(vec![0, 159, 146, 150])).await.expect("the session reads");
    world.says(&[r#"42["chatMsg",{"username":"ann","msg":"still here","time":1}]"#]).await;
    assert_eq!(world.told(1).await, ["<ann> still here"]);
    let huge = format!("42[\"playlist\",\"{}\"]", "x".repeat(socket::LONGEST));
    // The session ends in the middle of it.
    let _ = world.server.send(Message::text(huge)).await;
    let (ended, _) = world.ends().await;
    assert!(matches!(&ended, Ended::Lost(_)), "{ended:?}");
}
