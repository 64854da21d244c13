//! The channel: its people, those who are connected, what was said.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use eitherway::clock;
use serde_json::{Value, json};
use socketioxide::extract::SocketRef;

/// How many lines a channel repeats to those who come.
const BUFFER: usize = 100;

#[derive(Default)]
pub(crate) struct Room {
    /// The names of those who are there, and the connections of those who have one.
    users: Vec<String>,
    visitors: Vec<Visitor>,
    buffer: Vec<Value>,
    /// `name: text`, as it was typed, and of each name `+` and `-` for its coming and going.
    pub(crate) lines: Vec<String>,
    pub(crate) moves: BTreeMap<String, String>,
    /// `from > to: text`.
    pub(crate) whispers: Vec<String>,
    /// Those who have an account, and their passwords.
    pub(crate) accounts: HashMap<String, String>,
    /// The channel's password.
    pub(crate) key: Option<String>,
    /// Lines at once, and then in a second, before one is dropped. The channel does not tell so.
    pub(crate) flood: Option<(f64, f64)>,
    /// How many lines were dropped.
    pub(crate) dropped: usize,
    /// Whether nobody may speak.
    pub(crate) mute: bool,
    /// Whether the site does not tell where the channel is.
    pub(crate) closed: bool,
}

struct Visitor {
    socket: SocketRef,
    name: Option<String>,
    tokens: f64,
    since: Instant,
}

impl Room {
    /// A user comes.
    pub(crate) fn join(&mut self, name: &str) {
        self.come(name, 1);
    }

    /// A user goes.
    pub(crate) fn leave(&mut self, name: &str) {
        self.go(name);
    }

    /// A user says something.
    pub(crate) fn say(&mut self, name: &str, text: &str) {
        self.said(name, text, clock::now());
    }

    /// A user says the same thing twice in one millisecond.
    pub(crate) fn say_twice(&mut self, name: &str, text: &str) {
        let now = clock::now();
        self.said(name, text, now);
        self.said(name, text, now);
    }

    /// A user says something to another one in private.
    pub(crate) fn pm(&mut self, from: &str, to: &str, text: &str) {
        let line = json!({"username": from, "msg": html(text), "meta": {}, "time": clock::now(), "to": to});
        self.tell(to, "pm", &line);
    }

    /// Throws somebody out.
    pub(crate) fn kick(&mut self, name: &str, reason: &str) {
        self.tell(name, "kick", &json!({ "reason": reason }));
        self.cut(name);
    }

    /// Ends somebody's connection.
    pub(crate) fn cut(&mut self, name: &str) {
        let cut: Vec<_> = self.of(name).map(|visitor| visitor.socket.clone()).collect();
        for socket in cut {
            self.part(&socket);
            socket.disconnect().ok();
        }
    }

    /// How many connections are in the channel under this name.
    pub(crate) fn connections(&self, name: &str) -> usize {
        self.of(name).count()
    }

    /// How often this line was said.
    pub(crate) fn times(&self, line: &str) -> usize {
        self.lines.iter().filter(|said| *said == line).count()
    }

    /// Everybody is gone, and nobody was told.
    pub(super) fn desert(&mut self) {
        self.visitors.clear();
        self.users.clear();
    }

    pub(super) fn enter(&mut self, socket: &SocketRef, asked: &Value) {
        if self.key.as_deref().is_some_and(|key| asked["pw"] != key) {
            socket.emit("needPassword", &asked["pw"].is_string()).ok();
            return;
        }
        let pace = json!({"burst": 4, "sustained": 1, "cooldown": 4});
        for (event, data) in [
            ("rank", json!(-1)),
            ("setPermissions", json!({"seeplaylist": -1, "chat": 0})),
            ("setPlaylistLocked", json!(true)),
            ("emoteList", json!([])),
            ("drinkCount", json!(0)),
            ("channelCSSJS", json!({"css": "", "cssHash": "", "js": "", "jsHash": ""})),
            ("setMotd", json!("")),
            ("channelOpts", json!({"chat_antiflood": false, "chat_antiflood_params": pace})),
        ] {
            socket.emit(event, &data).unwrap();
        }
        for line in &self.buffer {
            socket.emit("chatMsg", line).unwrap();
        }
        let users: Vec<_> = self.users.iter().map(|name| user(name, 1)).collect();
        socket.emit("setPlaylistMeta", &json!({"rawTime": 0, "count": 0, "time": "00:00:00"})).unwrap();
        socket.emit("playlist", &json!([])).unwrap();
        socket.emit("userlist", &json!(users)).unwrap();
        let burst = self.flood.map_or(20.0, |(burst, _)| burst);
        let (socket, since) = (socket.clone(), Instant::now());
        self.visitors.push(Visitor { socket, name: None, tokens: burst, since });
        self.count();
    }

    pub(super) fn login(&mut self, socket: &SocketRef, asked: &Value) {
        let name = asked["name"].as_str().unwrap().to_owned();
        let account = self.accounts.get(&name.to_lowercase()).cloned();
        let is_taken = self.users.iter().any(|user| user.eq_ignore_ascii_case(&name));
        let error = match (&account, asked["pw"].as_str()) {
            (account, Some(pw)) if account.as_deref() != Some(pw) => "Invalid username/password combination",
            (Some(_), None) => "That username is registered.",
            (None, None) if is_taken => "That name is already in use on this channel.",
            _ => "",
        };
        if !error.is_empty() {
            socket.emit("login", &json!({"success": false, "error": error})).unwrap();
            return;
        }
        if account.is_some() {
            self.kick(&name, "Duplicate login");
        }
        let rank = i32::from(account.is_some());
        socket.emit("rank", &json!(rank)).unwrap();
        socket.emit("login", &json!({"success": true, "name": name, "guest": account.is_none()})).unwrap();
        if let Some(visitor) = self.visitors.iter_mut().find(|visitor| visitor.socket.id == socket.id) {
            visitor.name = Some(name.clone());
        }
        self.come(&name, rank);
    }

    pub(super) fn chat(&mut self, socket: &SocketRef, asked: &Value) {
        let Some(name) = self.speaker(socket) else { return };
        let text = asked["msg"].as_str().unwrap().to_owned();
        assert!(text.encode_utf16().count() <= 240, "it would be cut: {text:?}");
        assert!(!text.starts_with('/'), "it would be a command: {text:?}");
        if !self.mute {
            self.said(&name, &text, clock::now());
        }
    }

    pub(super) fn whisper(&mut self, socket: &SocketRef, asked: &Value) {
        let Some(name) = self.speaker(socket) else { return };
        let (to, text) = (asked["to"].as_str().unwrap(), asked["msg"].as_str().unwrap());
        if !self.users.iter().any(|user| user.eq_ignore_ascii_case(to)) {
            let error = format!("PM failed: {} isn't connected to this channel.", to.to_lowercase());
            socket.emit("errorMsg", &json!({ "msg": error })).unwrap();
            return;
        }
        self.whispers.push(format!("{name} > {to}: {text}"));
        let line = json!({"username": name, "msg": html(text), "meta": {}, "time": clock::now(), "to": to});
        socket.emit("pm", &line).unwrap();
        self.tell(to, "pm", &line);
    }

    pub(super) fn part(&mut self, socket: &SocketRef) {
        let Some(place) = self.visitors.iter().position(|visitor| visitor.socket.id == socket.id) else {
            return;
        };
        if let Some(name) = self.visitors.remove(place).name {
            self.go(&name);
        }
        self.count();
    }

    /// Who speaks, unless too much is said already.
    fn speaker(&mut self, socket: &SocketRef) -> Option<String> {
        let (burst, sustained) = self.flood.unwrap_or((20.0, 10.0));
        let visitor = self.visitors.iter_mut().find(|visitor| visitor.socket.id == socket.id)?;
        let name = visitor.name.clone()?;
        let refill = visitor.since.elapsed().as_secs_f64() * sustained;
        (visitor.tokens, visitor.since) = ((visitor.tokens + refill).min(burst), Instant::now());
        if visitor.tokens < 1.0 {
            self.dropped += 1;
            socket.emit("cooldown", &json!(1000.0 / sustained)).unwrap();
            return None;
        }
        visitor.tokens -= 1.0;
        Some(name)
    }

    fn said(&mut self, name: &str, text: &str, time: i64) {
        self.lines.push(format!("{name}: {}", text.trim()));
        let line = json!({"username": name, "msg": html(text), "meta": {}, "time": time});
        if self.buffer.len() == BUFFER {
            self.buffer.remove(0);
        }
        self.buffer.push(line.clone());
        self.show("chatMsg", &line);
    }

    fn come(&mut self, name: &str, rank: i32) {
        self.users.push(name.to_owned());
        self.moves.entry(name.to_owned()).or_default().push('+');
        self.show("addUser", &user(name, rank));
        self.count();
    }

    fn go(&mut self, name: &str) {
        self.users.retain(|user| user != name);
        self.moves.entry(name.to_owned()).or_default().push('-');
        self.show("userLeave", &json!({ "name": name }));
        self.count();
    }

    fn count(&self) {
        let with_connection = self.visitors.iter().filter(|visitor| visitor.name.is_some()).count();
        self.show(
            "usercount",
            &json!(self.users.len() - with_connection.min(self.users.len()) + self.visitors.len()),
        );
    }

    fn show(&self, event: &str, data: &Value) {
        for visitor in &self.visitors {
            // One that is gone is told nothing.
            visitor.socket.emit(event, data).ok();
        }
    }

    fn tell(&self, name: &str, event: &str, data: &Value) {
        for visitor in self.of(name) {
            visitor.socket.emit(event, data).ok();
        }
    }

    fn of(&self, name: &str) -> impl Iterator<Item = &Visitor> {
        self.visitors.iter().filter(move |visitor| {
            visitor.name.as_ref().is_some_and(|known| known.eq_ignore_ascii_case(name))
        })
    }
}

fn user(name: &str, rank: i32) -> Value {
    json!({"name": name, "rank": rank, "profile": {"image": "", "text": ""}, "meta": {"afk": false, "muted": false}})
}

/// What was typed, as a server sends it: its signs as entities, links as links.
fn html(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let text = text.replace('\'', "&#39;").replace('(', "&#40;").replace(')', "&#41;");
    let linked = |word: &str| match word.starts_with("https://") {
        true => format!("<a href=\"{word}\" target=\"_blank\" rel=\"noopener noreferrer\">{word}</a>"),
        false => word.to_owned(),
    };
    text.split(' ').map(linked).collect::<Vec<_>>().join(" ")
}
