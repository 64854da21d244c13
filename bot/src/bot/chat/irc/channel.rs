//! The channel as its server tells of it: lines in, events out. Knows nothing of connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::crowd::Crowd;
use super::history::History;
use super::message::Message;
use super::server::{Server, is_split};
use super::speech::plain;
use crate::bot::event::{Body, Event, Stamp, UserData};
use eitherway::clock;

/// How long those whom a netsplit took away are waited for.
const HELD: Duration = Duration::from_secs(10 * 60);
/// More members than any channel has: what a server tells beyond is dropped, so that memory is bounded.
const MOST_MEMBERS: usize = 65_536;
/// Longer than any name, or any user and host, of a server, in bytes. What has a longer one is not believed.
const LONGEST_NAME: usize = 256;
/// How far a server's clock may be behind ours, in milliseconds. Instead of one that is further behind, ours counts.
const BEHIND: i64 = 60_000;

/// The channel, and who is in it.
pub(super) struct Channel {
    name: String,
    me: String,
    /// Our `user@host` as others see it.
    mask: String,
    server: Server,
    source: Arc<str>,
    members: HashMap<String, Member>,
    held: HashMap<String, HeldLeave>,
    listing: Vec<UserData>,
    inside: bool,
    /// Whether the list of names that an entry brings has not ended. Later lists are not asked for.
    entering: bool,
    /// The time of the last event of presence: none is before it.
    latest: i64,
    crowd: Crowd,
    history: History,
    /// What is to be asked of the server.
    question: Option<String>,
}

struct Member {
    nick: String,
    mask: String,
}

/// A user whom a netsplit took away.
struct HeldLeave {
    member: Member,
    /// In unix milliseconds.
    since: i64,
    until: Instant,
}

impl Channel {
    pub(super) fn new(name: &str, me: &str, server: Server, history: History) -> Self {
        Self {
            name: name.to_owned(),
            me: me.to_owned(),
            mask: String::new(),
            source: format!("irc/{}", server.network).into(),
            server,
            members: HashMap::new(),
            held: HashMap::new(),
            listing: Vec::new(),
            inside: false,
            entering: false,
            latest: 0,
            crowd: Crowd::default(),
            history,
            question: None,
        }
    }

    /// When the newest line was said, by the server's clock.
    pub(super) const fn newest_line(&self) -> Option<i64> {
        self.history.newest()
    }

    /// What is to be asked of the server now.
    pub(super) fn question(&mut self) -> Option<String> {
        self.question.take()
    }

    /// Our own name.
    pub(super) fn me(&self) -> &str {
        &self.me
    }

    /// Whether we are in the channel.
    pub(super) const fn inside(&self) -> bool {
        self.inside
    }

    /// What the server puts in front of what we say; at its longest, while it has not shown it.
    pub(super) fn prefix(&self) -> String {
        if self.mask.is_empty() {
            format!("{}!{}", self.me, "x".repeat(10 + 1 + 63))
        } else {
            format!("{}!{}", self.me, self.mask)
        }
    }

    /// Whether it is our own name.
    pub(super) fn is_me(&self, nick: &str) -> bool {
        self.server.folding.same(nick, &self.me)
    }

    /// Whether it is the channel.
    pub(super) fn is_here(&self, target: &str) -> bool {
        self.server.folding.same(target, &self.name)
    }

    /// The events that a line makes.
    pub(super) fn hear(&mut self, message: &Message<'_>, now: Instant) -> Vec<Event> {
        let mut events = Vec::new();
        let nick = message.nick();
        if nick.len().max(message.mask().len()) > LONGEST_NAME {
            return events;
        }
        let repeated = self.history.is_repeated(message);
        match message.command {
            // Who came and went is as it is now.
            command if repeated && command != "PRIVMSG" => {}
            "JOIN" if self.is_here(message.param(0)) => self.joined(message, &mut events),
            "353" if self.entering && self.is_here(message.param(2)) => self.listed(message),
            "366" if self.entering && self.inside && self.is_here(message.param(1)) => {
                self.entering = false;
                let at = self.moment(message);
                self.list_ended(at, &mut events);
                self.question = self.history.question(&self.name, self.server.keeps_lines);
            }
            "PART" if self.is_here(message.param(0)) => {
                self.left(nick, message, message.param(1), &mut events)
            }
            "KICK" if self.is_here(message.param(0)) => {
                self.left(message.param(1), message, message.param(2), &mut events);
            }
            "QUIT" => self.quit(message, now, &mut events),
            "NICK" => self.renamed(message, &mut events),
            "PRIVMSG" => events.extend(self.said(message, repeated)),
            "BATCH" if self.inside => {
                let asks = self.history.batch(message, &self.name, self.server.keeps_lines);
                self.question = asks.or_else(|| self.question.take());
            }
            "CHGHOST" => self.moved(nick, format!("{}@{}", message.param(0), message.param(1))),
            // Our host is hidden from now on.
            "396" => {
                let user = self.mask.split('@').next().unwrap_or_default().to_owned();
                let host = message.param(1);
                self.mask = if host.contains('@') { host.to_owned() } else { format!("{user}@{host}") };
            }
            _ => {}
        }
        events
    }

    /// The events of a lost connection.
    pub(super) fn lose(&mut self, reason: &str) -> Vec<Event> {
        let at = self.later(clock::issue());
        let mut events = self.release(|_| true);
        self.members.clear();
        self.crowd = Crowd::default();
        if std::mem::take(&mut self.inside) {
            events.push(Event::new(Body::Disconnect { reason: Some(reason.to_owned()) }, Stamp::at(at)));
        }
        events
    }

    /// When the first of those who are held is waited for no longer.
    pub(super) fn next_release(&self) -> Option<Instant> {
        self.held.values().map(|held| held.until).min()
    }

    /// The leaves of those who were waited for long enough: at the time of the split.
    pub(super) fn release_due(&mut self, now: Instant) -> Vec<Event> {
        self.release(|held| held.until <= now)
    }

    /// Whether the number of members has changed since it was told.
    pub(super) fn has_news(&self) -> bool {
        self.inside && self.crowd.has_news(self.members.len())
    }

    /// The number of members, after the most that there were since it was told.
    pub(super) fn count(&mut self) -> Vec<Event> {
        let at = self.later(clock::issue());
        let event = |(count, at): (usize, i64)| {
            let usercount = u32::try_from(count).unwrap_or(u32::MAX);
            Event::new(Body::UserCount { usercount, connected: None }, Stamp::at(at))
        };
        self.crowd.told(self.members.len(), at).map(event).collect()
    }

    fn joined(&mut self, message: &Message<'_>, events: &mut Vec<Event>) {
        let (nick, at) = (message.nick(), self.moment(message));
        let member = Member { nick: nick.to_owned(), mask: message.mask().to_owned() };
        if self.is_me(nick) {
            // By our clock, and all moves after it: by the server's, it could be before the loss of the last connection.
            let at = self.later(clock::issue());
            (self.mask, self.inside, self.entering) = (member.mask, true, true);
            self.listing.clear();
            events.push(Event::new(Body::Connect, Stamp::at(at)));
            return;
        }
        let name = self.server.folding.fold(nick);
        let back = self.held.get(&name).is_some_and(|held| {
            held.member.nick == nick && (held.member.mask.is_empty() || held.member.mask == member.mask)
        });
        if back {
            self.held.remove(&name);
        } else {
            events.extend(self.release_name(&name));
        }
        let (known, full) = (self.members.contains_key(&name), self.members.len() >= MOST_MEMBERS);
        if known || full {
            return;
        }
        self.members.insert(name, member);
        self.crowd.grown(self.members.len(), at);
        if !back {
            events.push(join(nick, at));
        }
    }

    fn listed(&mut self, message: &Message<'_>) {
        for entry in message.last().split(' ').filter(|entry| !entry.is_empty()) {
            let name = entry.trim_start_matches(|c| self.server.ranks.contains(c));
            let signs = &entry[..entry.len() - name.len()];
            let (nick, mask) = name.split_once('!').unwrap_or((name, ""));
            let is_long = nick.len().max(mask.len()) > LONGEST_NAME;
            let full = self.listing.len().max(self.members.len()) >= MOST_MEMBERS;
            if nick.is_empty() || is_long || full {
                continue;
            }
            let known = self.server.folding.fold(nick);
            let mask = if mask.is_empty() {
                self.members.remove(&known).map(|m| m.mask).unwrap_or_default()
            } else {
                mask.to_owned()
            };
            self.members.insert(known, Member { nick: nick.to_owned(), mask });
            self.listing.push(UserData {
                is_moderator: signs.contains(['~', '&', '@', '%']),
                ..UserData::named(nick)
            });
        }
    }

    fn list_ended(&mut self, at: i64, events: &mut Vec<Event>) {
        let users = std::mem::take(&mut self.listing);
        if users.is_empty() {
            return;
        }
        let fold = |user: &UserData| self.server.folding.fold(&user.username);
        let listed: std::collections::HashSet<String> = users.iter().map(fold).collect();
        self.members.retain(|name, _| listed.contains(name));
        self.crowd.grown(self.members.len(), at);
        events.push(Event::new(Body::UserList { users }, Stamp::at(at)));
    }

    /// A user has left this channel alone, by himself or by a kick.
    fn left(&mut self, nick: &str, message: &Message<'_>, reason: &str, events: &mut Vec<Event>) {
        let at = self.moment(message);
        if !self.is_me(nick) {
            events.extend(
                self.members.remove(&self.server.folding.fold(nick)).map(|member| leave(&member.nick, at)),
            );
            return;
        }
        events.extend(self.release(|_| true));
        self.members.clear();
        self.crowd = Crowd::default();
        self.inside = false;
        let reason = Some(plain(reason)).filter(|reason| !reason.is_empty());
        events.push(Event::new(Body::Kicked { reason }, Stamp::at(at)));
    }

    fn quit(&mut self, message: &Message<'_>, now: Instant, events: &mut Vec<Event>) {
        let name = self.server.folding.fold(message.nick());
        let at = self.moment(message);
        let Some(member) = self.members.remove(&name) else { return };
        if is_split(message.param(0)) && self.held.len() < MOST_MEMBERS {
            // The mask of now: a host may change without a word.
            let shown = message.mask();
            let mask = if shown.is_empty() { member.mask } else { shown.to_owned() };
            let member = Member { mask, ..member };
            self.held.insert(name, HeldLeave { member, since: at, until: now + HELD });
        } else {
            events.push(leave(&member.nick, at));
        }
    }

    fn renamed(&mut self, message: &Message<'_>, events: &mut Vec<Event>) {
        let (old, new, at) = (message.nick(), message.param(0), self.moment(message));
        if new.is_empty() || new.len() > LONGEST_NAME {
            return;
        }
        if self.is_me(old) {
            new.clone_into(&mut self.me);
        }
        let (from, to) = (self.server.folding.fold(old), self.server.folding.fold(new));
        let Some(member) = self.members.remove(&from) else { return };
        events.extend(self.release_name(&to));
        events.push(leave(&member.nick, at));
        events.push(join(new, at));
        self.members.insert(to, Member { nick: new.to_owned(), ..member });
    }

    fn said(&mut self, message: &Message<'_>, repeated: bool) -> Option<Event> {
        let (nick, target, at) = (message.nick(), message.param(0), stamped(message));
        let is_here = self.inside && self.is_here(target);
        if is_here {
            self.history.line(at);
        }
        let is_server = !message.source.contains('!') && nick.contains('.');
        if nick.is_empty() || is_server || self.is_me(nick) {
            return None;
        }
        let text = message.param(1);
        let content = match text.strip_prefix('\x01').map(|ctcp| ctcp.strip_suffix('\x01').unwrap_or(ctcp)) {
            None => plain(text),
            Some(ctcp) => format!("/me {}", plain(ctcp.strip_prefix("ACTION ")?)),
        };
        let user = nick.to_owned();
        let body = match repeated {
            // Without an id it might be here already.
            true if is_here && message.tag("msgid").is_some() => Body::History { user, content },
            true => return None,
            false if is_here => Body::Message { user, content },
            false if self.inside && self.is_me(target) => Body::Pm { user, content },
            false => return None,
        };
        let stamp = Stamp::at(at.unwrap_or_else(clock::issue));
        let stamp = match message.tag("msgid").filter(|id| !id.is_empty()) {
            Some(id) => stamp.identified(Arc::clone(&self.source), id),
            None => stamp,
        };
        Some(Event::new(body, stamp))
    }

    fn moved(&mut self, nick: &str, mask: String) {
        if mask.len() > LONGEST_NAME {
            return;
        }
        if self.is_me(nick) {
            self.mask.clone_from(&mask);
        }
        if let Some(member) = self.members.get_mut(&self.server.folding.fold(nick)) {
            member.mask = mask;
        }
    }

    fn release_name(&mut self, name: &str) -> Option<Event> {
        self.held.remove(name).map(|held| leave(&held.member.nick, held.since))
    }

    fn release(&mut self, is_due: impl Fn(&HeldLeave) -> bool) -> Vec<Event> {
        self.held
            .extract_if(|_, held| is_due(held))
            .map(|(_, held)| leave(&held.member.nick, held.since))
            .collect()
    }

    /// When a move happened: by the server's clock, if it tells, but never before the last move. Messages of servers whose
    /// clocks differ would change places otherwise.
    fn moment(&mut self, message: &Message<'_>) -> i64 {
        let near = |at: &i64| *at >= clock::now() - BEHIND;
        self.later(stamped(message).filter(near).unwrap_or_else(clock::issue))
    }

    fn later(&mut self, at: i64) -> i64 {
        // The moment of a clock that was ahead and has been set back is not kept.
        self.latest = self.latest.min(clock::issue()).max(at);
        self.latest
    }
}

/// The time of a line by its server's clock; a clock that is ahead of ours is not believed.
fn stamped(message: &Message<'_>) -> Option<i64> {
    let at = clock::millis_of_rfc3339(&message.tag("time")?)?;
    Some(at.min(clock::now())).filter(|at| *at > 0)
}

fn join(user: &str, at: i64) -> Event {
    Event::new(Body::UserJoin { user: user.to_owned(), user_data: UserData::named(user) }, Stamp::at(at))
}

fn leave(user: &str, at: i64) -> Event {
    Event::new(Body::UserLeave { user: user.to_owned() }, Stamp::at(at))
}
