//! The channel as its server tells of it: the server's events in, ours out. Knows nothing of connections.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use tracing::debug;

use super::html;
use crate::bot::event::{Body, Event, Stamp, UserData};
use eitherway::clock;

/// More members than any channel has: what a server tells beyond is dropped, so that memory is bounded.
const MOST_MEMBERS: usize = 65_536;
/// Longer than any name, in bytes, and than the HTML of any line. What is longer is not believed.
const LONGEST_NAME: usize = 64;
const LONGEST_LINE: usize = 16 * 1024;
/// How old a line may be that the server repeats, in milliseconds: no ledger forgets sooner than in 8 days what it has taken, and an
/// older line could be written a second time.
const OLDEST: i64 = 7 * 24 * 60 * 60 * 1000;
/// How old a line may be that was relayed when it was said, in milliseconds.
const LIVE: i64 = 60 * 1000;
/// A user of this rank may moderate.
const MODERATOR: f64 = 2.0;

/// The channel, and who is in it.
#[derive(Debug)]
pub(in crate::bot::chat) struct Channel {
    name: String,
    me: String,
    source: Arc<str>,
    members: HashMap<String, String>,
    /// Whether the list of users has come: what is said before it was said before we came.
    listed: bool,
    /// Whether others bring us the events, perhaps several times.
    relayed: bool,
    /// When our newest line was said that was shown: others bring it several times.
    shown: i64,
    moment: Moment,
}

/// How often each line was read that was said in one millisecond.
#[derive(Debug, Default)]
struct Moment {
    at: i64,
    lines: HashMap<String, u32>,
}

/// What an event of the server makes.
#[derive(Debug, Default)]
pub(in crate::bot::chat) struct Heard {
    pub(in crate::bot::chat) events: Vec<Event>,
    /// What we have said ourselves.
    pub(in crate::bot::chat) echo: Option<Echo>,
}

/// What we have said, as the server shows it; to whom, if it was said in private.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bot::chat) struct Echo {
    pub(in crate::bot::chat) to: Option<String>,
    pub(in crate::bot::chat) text: String,
}

#[derive(Deserialize)]
struct Line {
    username: String,
    msg: String,
    #[serde(default)]
    meta: LineMeta,
    #[serde(default)]
    time: f64,
    #[serde(default)]
    to: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LineMeta {
    action: bool,
    shadow: bool,
}

#[derive(Deserialize)]
struct User {
    name: String,
    #[serde(default)]
    rank: f64,
    #[serde(default)]
    meta: UserMeta,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct UserMeta {
    afk: bool,
}

impl Channel {
    /// A channel of this server, for a user of this name.
    pub(in crate::bot::chat) fn new(server: &str, name: &str, me: &str) -> Self {
        Self {
            name: folded(name),
            me: me.to_owned(),
            source: format!("cytube/{}", folded(server)).into(),
            members: HashMap::new(),
            listed: false,
            relayed: false,
            shown: 0,
            moment: Moment::default(),
        }
    }

    /// The events come by others, perhaps several times, and the channel's history among them: two lines of one moment are one, and a
    /// line that is older than a minute is history.
    pub(in crate::bot::chat) fn relayed(self) -> Self {
        Self { relayed: true, ..self }
    }

    /// Whether the list of users has come.
    pub(in crate::bot::chat) const fn listed(&self) -> bool {
        self.listed
    }

    /// Our own name, as the server writes it.
    pub(in crate::bot::chat) fn call_me(&mut self, name: &str) {
        name.clone_into(&mut self.me);
    }

    /// Whether this user is in the channel.
    pub(in crate::bot::chat) fn has(&self, user: &str) -> bool {
        self.members.contains_key(&folded(user))
    }

    /// How many things are kept.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.members.len() + self.moment.lines.len()
    }

    /// What an event of the server makes. What is not understood makes nothing.
    pub(in crate::bot::chat) fn hear(&mut self, event: &str, data: &str) -> Heard {
        self.read(event, data).unwrap_or_else(|error| {
            debug!("CyTube: an event `{}` is not understood: {error}", event.escape_debug());
            Heard::default()
        })
    }

    fn read(&mut self, event: &str, data: &str) -> Result<Heard, serde_json::Error> {
        let was_listed = self.listed;
        let body = match event {
            "chatMsg" => return serde_json::from_str(data).map(|line| self.said(line)),
            "pm" => return serde_json::from_str(data).map(|line| self.whispered(line)),
            "userlist" => self.list(serde_json::from_str(data)?),
            "addUser" => self.come(serde_json::from_str(data)?),
            "userLeave" => self.go(&serde_json::from_str::<User>(data)?.name),
            "usercount" => self.count(serde_json::from_str(data)?),
            _ => None,
        };
        // The list is what makes it our channel.
        let connect = (self.listed && !was_listed).then_some(Body::Connect);
        let events = connect.into_iter().chain(body).map(Event::now).collect();
        Ok(Heard { events, echo: None })
    }

    /// The event of a lost connection, if we were in the channel.
    pub(in crate::bot::chat) fn lose(&mut self, reason: &str) -> Option<Event> {
        self.leave(Body::Disconnect { reason: Some(reason.to_owned()) })
    }

    /// The event of a kick, if we were in the channel.
    pub(in crate::bot::chat) fn kicked(&mut self, reason: &str) -> Option<Event> {
        self.leave(Body::Kicked { reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()) })
    }

    fn leave(&mut self, body: Body) -> Option<Event> {
        self.members.clear();
        std::mem::take(&mut self.listed).then(|| Event::now(body))
    }

    fn list(&mut self, users: Vec<User>) -> Option<Body> {
        self.members.clear();
        let known = |user: User| {
            let is_new = is_user(&user.name)
                && self.members.len() < MOST_MEMBERS
                && self.members.insert(folded(&user.name), user.name.clone()).is_none();
            is_new.then(|| user.data())
        };
        let users = users.into_iter().filter_map(known).collect();
        self.listed = true;
        Some(Body::UserList { users })
    }

    fn come(&mut self, user: User) -> Option<Body> {
        let name = folded(&user.name);
        let is_known = self.members.contains_key(&name);
        if !is_user(&user.name) || is_known || self.members.len() >= MOST_MEMBERS {
            return None;
        }
        self.members.insert(name, user.name.clone());
        self.listed.then(|| Body::UserJoin { user: user.name.clone(), user_data: user.data() })
    }

    fn go(&mut self, name: &str) -> Option<Body> {
        let user = self.members.remove(&folded(name))?;
        self.listed.then_some(Body::UserLeave { user })
    }

    fn count(&self, connections: u32) -> Option<Body> {
        let usercount = u32::try_from(self.members.len()).unwrap_or(u32::MAX);
        self.listed.then_some(Body::UserCount { usercount, connected: Some(connections) })
    }

    fn said(&mut self, line: Line) -> Heard {
        // Also our own count: the same words of another one are another line.
        let Some((stamp, content)) = self.taken("chat", &line) else { return Heard::default() };
        if self.is_me(&line.username) {
            let echo = (self.listed && self.is_first(&line)).then_some(Echo { to: None, text: content });
            return Heard { events: Vec::new(), echo };
        }
        let content = if line.meta.action { format!("/me {content}") } else { content };
        let user = line.username;
        let age = if line.time < 1.0 { 0 } else { clock::now() - line.time as i64 };
        let body = match self.listed && (!self.relayed || age < LIVE) {
            true => Body::Message { user, content },
            false if age > OLDEST => return Heard::default(),
            false => Body::History { user, content },
        };
        Heard { events: vec![Event::new(body, stamp)], echo: None }
    }

    fn whispered(&mut self, line: Line) -> Heard {
        let Some((stamp, content)) = self.taken("pm", &line) else { return Heard::default() };
        if self.is_me(&line.username) {
            let echo = self.is_first(&line).then_some(Echo { to: Some(line.to), text: content });
            return Heard { events: Vec::new(), echo };
        }
        if !self.listed || !self.is_me(&line.to) {
            return Heard::default();
        }
        let body = Body::Pm { user: line.username, content };
        Heard { events: vec![Event::new(body, stamp)], echo: None }
    }

    /// Whether a line of ours is told for the first time: a repetition is the receipt of no other line.
    fn is_first(&mut self, line: &Line) -> bool {
        let at = line.time as i64;
        let before = self.shown;
        self.shown = before.max(at);
        !self.relayed || at <= 0 || before < at
    }

    /// The stamp of a line, and what it says. None if nobody has said it: the server's own words, or what a channel hides.
    fn taken(&mut self, kind: &str, line: &Line) -> Option<(Stamp, String)> {
        let is_long = line.msg.len() > LONGEST_LINE || line.to.len() > LONGEST_NAME;
        if is_long || !is_user(&line.username) || line.meta.shadow {
            return None;
        }
        // A time that is none becomes 0, and then none is known.
        let time = line.time as i64;
        let (user, to) = (folded(&line.username), folded(&line.to));
        let key = format!("{}/{kind}/{user}/{to}/{time}/{}", self.name, line.msg);
        let content = html::text(&line.msg);
        if time <= 0 {
            return Some((Stamp::now(), content));
        }
        let before = if self.relayed { 0 } else { self.moment.count(time, &key) };
        let stamp = Stamp::at(time.min(clock::now()));
        Some((stamp.identified(Arc::clone(&self.source), format!("{before}/{key}")), content))
    }

    fn is_me(&self, name: &str) -> bool {
        folded(name) == folded(&self.me)
    }
}

impl Moment {
    /// The most different lines of one millisecond that are told apart.
    const MOST: usize = 256;

    /// How often this line was said before in the same millisecond.
    fn count(&mut self, at: i64, key: &str) -> u32 {
        if at != self.at || self.lines.len() >= Self::MOST {
            (self.at, self.lines) = (at, HashMap::new());
        }
        let count = self.lines.entry(key.to_owned()).or_default();
        *count += 1;
        *count - 1
    }
}

impl User {
    fn data(self) -> UserData {
        let is_moderator = self.rank >= MODERATOR;
        UserData { username: self.name, rank: self.rank, is_afk: self.meta.afk, is_moderator }
    }
}

/// The form of a name that is equal for equal names.
pub(in crate::bot::chat) fn folded(name: &str) -> String {
    name.to_lowercase()
}

/// Whether a name can be a user's: the server itself speaks as `[server]`, `[voteskip]` and so on.
fn is_user(name: &str) -> bool {
    let sign = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '[' | ']');
    !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains(sign)
}
