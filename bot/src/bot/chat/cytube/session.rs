//! One connection, from its first frame to its last.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::super::link::sender::{NOT_INSIDE, Order};
use super::super::link::{Ended, Ends};
use super::super::{ANOTHER, Received, Unsent};
use super::channel::Channel;
use super::frames::{self, Frame};
use super::login::{self, Outcome};
use super::socket::Socket;
use super::told::{self, Told, printable, read};
use super::voice::Voice;
use crate::bot::event::Event;

/// How long the server may take to let us in, and then to show us the channel.
const ENTERS: Duration = Duration::from_secs(30);
/// How long we stay away after a kick.
const AFTER_KICK: Duration = Duration::from_secs(5);
/// Two kicks within this time are meant.
const FORGIVEN: Duration = Duration::from_secs(10 * 60);
/// When a login is tried again for a name that somebody has, or that was refused for now.
const TAKEN: Duration = Duration::from_secs(10);
const LATER: Duration = Duration::from_secs(30);
/// How often it is looked whether the bot takes events again.
const LOOKS: Duration = Duration::from_secs(5);
/// Events that wait to be handled. With that many, no more frames are read.
const WAITING: usize = 256;

/// Who comes to which channel.
pub(super) struct Guest<'a> {
    pub(super) host: &'a str,
    pub(super) name: &'a str,
    pub(super) channel: &'a str,
    /// The passwords of the account and of the channel.
    pub(super) password: Option<String>,
    pub(super) key: Option<String>,
}

/// What is remembered from one connection to the next.
#[derive(Default)]
pub(super) struct Memory {
    kicked: Option<Instant>,
    /// Since when somebody has our name.
    taken: Option<Instant>,
    /// Since when we are in the channel.
    pub(super) entered: Option<Instant>,
}

/// Comes into the channel, logs in, and stays until the connection ends.
pub(super) async fn run(mut socket: Socket, guest: Guest<'_>, ends: &mut Ends, memory: &mut Memory) -> Ended {
    let entered = tokio::select! {
        entered = timeout(ENTERS, enter(&mut socket, &guest)) => entered,
        () = ends.refuse_all() => return Ended::Left,
    };
    let silent = match entered {
        Ok(Ok(silent)) => silent,
        Ok(Err(ended)) => return ended,
        Err(_) => return Ended::Lost(format!("the server does not let us in within {ENTERS:?}")),
    };
    let now = Instant::now();
    let session = Session {
        channel: Channel::new(guest.host, guest.channel, guest.name),
        socket,
        guest,
        voice: Voice::default(),
        waiting: VecDeque::new(),
        inside: false,
        silent,
        heard: now,
        listed_by: Some(now + ENTERS),
        login_at: None,
        login_by: None,
        memory,
    };
    session.stay(ends).await
}

/// Is let in, and asks for the channel. Returns how long the server may be silent.
async fn enter(socket: &mut Socket, guest: &Guest<'_>) -> Result<Duration, Ended> {
    let mut silent = None;
    loop {
        let text = socket.read().await?;
        match Frame::parse(&text) {
            Frame::Open(open) => {
                silent = Some(open.silent);
                socket.write(frames::CONNECT.to_owned()).await?;
            }
            Frame::Ping => socket.write(frames::PONG.to_owned()).await?,
            Frame::Connected => break,
            Frame::Refused(reason) => {
                return Err(Ended::Lost(format!("the server does not let us in: {reason}")));
            }
            Frame::Closed => return Err(Ended::Lost("the server has closed the connection".to_owned())),
            Frame::Event(_) | Frame::Other => {}
        }
    }
    let channel = match &guest.key {
        Some(key) => json!({"name": guest.channel, "pw": key}),
        None => json!({"name": guest.channel}),
    };
    socket.write(frames::event("joinChannel", &channel)).await?;
    silent.ok_or_else(|| Ended::Lost("the server does not speak engine.io 4".to_owned()))
}

struct Session<'a> {
    socket: Socket,
    guest: Guest<'a>,
    channel: Channel,
    voice: Voice,
    /// Events that the bot has not taken.
    waiting: VecDeque<Event>,
    /// Whether we are logged in.
    inside: bool,
    /// How long the server may be silent, and when it was heard.
    silent: Duration,
    heard: Instant,
    /// Until when the server has to show the channel, when we log in, and until when it has to answer that.
    listed_by: Option<Instant>,
    login_at: Option<Instant>,
    login_by: Option<Instant>,
    memory: &'a mut Memory,
}

impl Session<'_> {
    async fn stay(mut self, ends: &mut Ends) -> Ended {
        let ended = loop {
            if let Err(ended) = self.step(ends).await {
                break ended;
            }
        };
        ends.state.inside.store(false, Ordering::Release);
        self.voice.lose("the connection was lost before the channel had shown it");
        if let Ended::Lost(reason) | Ended::Refused(reason) = &ended {
            self.waiting.extend(self.channel.lose(reason));
            for event in std::mem::take(&mut self.waiting) {
                // A bot that reads no more needs none of them.
                let _ = ends.events.send(Received { position: 0, item: Ok(event) }).await;
            }
        }
        let away = self.memory.kicked.map(|at| at + AFTER_KICK).filter(|until| Instant::now() < *until);
        match (&ended, away) {
            (Ended::Lost(_), Some(until)) => tokio::select! {
                () = sleep_until(until) => ended,
                () = ends.refuse_all() => Ended::Left,
            },
            _ => ended,
        }
    }

    async fn step(&mut self, ends: &mut Ends) -> Result<(), Ended> {
        let due = self.voice.due().map(|due| due.max(ends.state.bucket.lock().next(Instant::now())));
        let waits = !self.waiting.is_empty() && !ends.events.is_closed();
        let reads = self.waiting.len() < WAITING || !waits;
        if !reads {
            // The bot is slow: that the server is not heard is not the server's doing.
            self.heard = Instant::now();
        }
        let wakes_at = if reads { self.next_deadline() } else { Instant::now() + LOOKS };
        tokio::select! {
            // What has been read comes first: a deadline that it keeps is not missed.
            biased;
            permit = ends.events.reserve(), if waits => {
                if let (Ok(permit), Some(event)) = (permit, self.waiting.pop_front()) {
                    permit.send(Received { position: 0, item: Ok(event) });
                }
            }
            text = self.socket.read(), if reads => {
                self.hear(&text?, ends).await?;
                if ends.events.is_closed() {
                    self.waiting.clear();
                }
                ends.state.inside.store(self.inside, Ordering::Release);
            }
            order = ends.orders.recv(), if self.voice.is_free() => self.obey(order).await?,
            () = sleep_until(due.unwrap_or(wakes_at)), if due.is_some() => self.speak(ends).await?,
            () = sleep_until(wakes_at), if reads => self.wake(Instant::now()).await?,
            // The bot takes no event, perhaps because it waits for an echo that is not read: that wait ends in time.
            () = sleep_until(wakes_at) => self.voice.expire(Instant::now()),
        }
        Ok(())
    }

    async fn obey(&mut self, order: Option<Order>) -> Result<(), Ended> {
        match order {
            Some(Order::Say(said)) if !self.inside => said.refuse(Unsent::transient(NOT_INSIDE)),
            Some(Order::Say(said)) => match said.to.clone().filter(|user| !self.channel.has(user)) {
                // The server would say so too.
                Some(user) => said.refuse(Unsent::transient(format!("{user} is not in the channel"))),
                None => self.voice.take(said, Instant::now()),
            },
            order => {
                self.socket.close().await;
                if let Some(Order::Leave(left)) = order {
                    let _ = left.send(());
                }
                return Err(Ended::Left);
            }
        }
        Ok(())
    }

    async fn speak(&mut self, ends: &Ends) -> Result<(), Ended> {
        let now = Instant::now();
        if self.voice.needs_turn() && !ends.state.may_speak() {
            self.voice.lose(ANOTHER);
            return Ok(());
        }
        let Some(line) = self.voice.next(now) else { return Ok(()) };
        ends.state.bucket.lock().take(now);
        let frame = match line.to {
            Some(to) => frames::event("pm", &json!({"to": to, "msg": line.text, "meta": {}})),
            None => frames::event("chatMsg", &json!({"msg": line.text, "meta": {}})),
        };
        self.socket.write(frame).await
    }

    /// When something is due.
    fn next_deadline(&self) -> Instant {
        let others = [self.listed_by, self.login_at, self.login_by, self.voice.deadline()];
        others.into_iter().flatten().fold(self.heard + self.silent, Instant::min)
    }

    /// Does what is due.
    async fn wake(&mut self, now: Instant) -> Result<(), Ended> {
        if self.heard + self.silent <= now {
            return Err(Ended::Lost(format!("the server was silent for {:?}", self.silent)));
        }
        if self.listed_by.is_some_and(|until| until <= now) {
            return Err(Ended::Lost(format!("the server does not show the channel within {ENTERS:?}")));
        }
        if self.login_by.is_some_and(|until| until <= now) {
            return Err(Ended::Lost(format!("the server does not answer to the login within {ENTERS:?}")));
        }
        self.voice.expire(now);
        if self.login_at.is_some_and(|at| at <= now) {
            (self.login_at, self.login_by) = (None, Some(now + ENTERS));
            let login = match &self.guest.password {
                Some(password) => json!({"name": self.guest.name, "pw": password}),
                None => json!({"name": self.guest.name}),
            };
            self.socket.write(frames::event("login", &login)).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, text: &str, ends: &Ends) -> Result<(), Ended> {
        let now = Instant::now();
        self.heard = now;
        let event = match Frame::parse(text) {
            Frame::Event(event) => event,
            Frame::Ping => return self.socket.write(frames::PONG.to_owned()).await,
            Frame::Closed => return Err(Ended::Lost("the server has closed the connection".to_owned())),
            Frame::Refused(reason) => return Err(Ended::Lost(format!("the server puts us out: {reason}"))),
            Frame::Open(_) | Frame::Connected | Frame::Other => return Ok(()),
        };
        if let Some(number) = event.ack {
            self.socket.write(frames::ack(number)).await?;
        }
        if told::of_voice(&event.name, event.data, &mut self.voice, &ends.state.bucket, now) {
            return Ok(());
        }
        match event.name.as_str() {
            "login" => self.login_answered(read(event.data), now)?,
            "kick" => return Err(self.kicked(&read::<Told>(event.data).reason, now)),
            "needPassword" => return Err(self.needs_password()),
            "partitionChange" => return Err(Ended::Lost("the channel moves to another server".to_owned())),
            "errorMsg" => self.refused(&read::<Told>(event.data).msg)?,
            name => {
                let heard = self.channel.hear(name, event.data);
                self.waiting.extend(heard.events);
                if let Some(echo) = heard.echo {
                    self.voice.hear(&echo, now);
                }
                if self.channel.listed() && self.listed_by.take().is_some() {
                    self.memory.entered = Some(now);
                    self.login_at = Some(now);
                }
            }
        }
        Ok(())
    }

    fn login_answered(&mut self, answer: login::Answer, now: Instant) -> Result<(), Ended> {
        if self.login_by.take().is_none() {
            return Ok(());
        }
        let (guest, memory) = (&self.guest, &mut *self.memory);
        match answer.into() {
            Outcome::In(name) => {
                memory.taken = None;
                self.inside = true;
                let name = if name.is_empty() { guest.name.to_owned() } else { name };
                info!("in {} as {}, on {}", guest.channel, printable(&name), guest.host);
                self.channel.call_me(&name);
            }
            Outcome::Refused(reason) => return Err(self.not_logged_in(&reason)),
            Outcome::Taken(reason) => {
                if *memory.taken.get_or_insert(now) + login::GHOST <= now {
                    return Err(self.not_logged_in(&reason));
                }
                warn!(
                    "not in {} as {}: {}; trying again in {TAKEN:?}",
                    guest.channel,
                    guest.name,
                    printable(&reason)
                );
                self.login_at = Some(now + TAKEN);
            }
            Outcome::Later(reason) => {
                warn!(
                    "not in {} as {}: {}; trying again in {LATER:?}",
                    guest.channel,
                    guest.name,
                    printable(&reason)
                );
                self.login_at = Some(now + LATER);
            }
        }
        Ok(())
    }

    fn not_logged_in(&self, reason: &str) -> Ended {
        Ended::Refused(format!("the server does not log {} in: {}", self.guest.name, printable(reason)))
    }

    fn needs_password(&self) -> Ended {
        Ended::Refused(match self.guest.key {
            None => format!("{} wants a password: key=FILE", self.guest.channel),
            Some(_) => format!("{} wants another password than that of key=FILE", self.guest.channel),
        })
    }

    /// We are thrown out: comes back once, and stays away if that was not wanted.
    fn kicked(&mut self, reason: &str, now: Instant) -> Ended {
        let was_inside = self.channel.listed();
        self.waiting.extend(self.channel.kicked(reason));
        let (name, reason, channel) = (self.guest.name, printable(reason), self.guest.channel);
        let before = was_inside.then(|| self.memory.kicked.replace(now)).flatten();
        match () {
            () if login::is_final(&reason) => {
                Ended::Refused(format!("thrown out of {channel} as {name}: {reason}"))
            }
            () if before.is_some_and(|last| now < last + FORGIVEN) => {
                Ended::Refused(format!("thrown out of {channel} twice, at last: {reason}"))
            }
            () => Ended::Lost(format!("thrown out of {channel}: {reason}")),
        }
    }

    /// The server says that something does not work.
    fn refused(&self, reason: &str) -> Result<(), Ended> {
        if !self.channel.listed() {
            return Err(Ended::Lost(format!(
                "the server does not let us into {}: {reason}",
                self.guest.channel
            )));
        }
        warn!("{}: {}", self.guest.host, printable(reason));
        Ok(())
    }
}
