//! One connection, from its first line to its last.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::{debug, info, warn};

use super::super::link::sender::{NOT_INSIDE, Order};
use super::super::link::tcp::Stream;
use super::super::link::{Ended, Ends};
use super::super::{ANOTHER, Received, Unsent};
use super::alive::Alive;
use super::channel::Channel;
use super::history::History;
use super::message::{Message, text};
use super::registration::{Login, Outcome, Registration};
use super::server::Server;
use super::voice::Voice;
use super::wire::Wire;
use crate::bot::event::Event;

/// How long the server may take to register us, or to let us into the channel.
const REGISTERS: Duration = Duration::from_secs(60);
/// How long we stay away after a kick, before the name is tried again that another one has, before a full channel is tried
/// again, and how often the number of members is told.
const AFTER_KICK: Duration = Duration::from_secs(5);
const REGAIN: Duration = Duration::from_secs(30);
const FULL: Duration = Duration::from_secs(60);
const COUNTS: Duration = Duration::from_secs(5);
/// Two kicks within this time are meant.
const FORGIVEN: Duration = Duration::from_secs(10 * 60);
/// How often a client is told what program this is.
const CURIOUS: Duration = Duration::from_secs(60);
/// Events that wait to be handled. With that many, no more lines are read.
const WAITING: usize = 256;

/// Who comes to which channel.
pub(super) struct Guest<'a> {
    pub(super) host: &'a str,
    pub(super) nick: &'a str,
    pub(super) channel: &'a str,
    pub(super) key: Option<String>,
    pub(super) login: Option<Login>,
    /// Whether nobody on the way can listen.
    pub(super) encrypted: bool,
}

/// What is remembered from one connection to the next.
#[derive(Default)]
pub(super) struct Memory {
    kicked: Option<Instant>,
    curious: Option<Instant>,
    /// Whether a server has let us in, with the login.
    registered: bool,
    /// The port to which the server wants encrypted connections, until the process ends.
    pub(super) encrypts: Option<u16>,
    /// When the newest line was said, by the server's clock.
    newest_line: Option<i64>,
    /// Since when we are in the channel.
    pub(super) entered: Option<Instant>,
}

/// Registers, joins, and stays until the connection ends.
pub(super) async fn run(
    stream: Box<dyn Stream>,
    guest: Guest<'_>,
    ends: &mut Ends,
    memory: &mut Memory,
) -> Ended {
    let mut wire = Wire::new(stream);
    let mut registration = Registration::new(guest.host, guest.nick, guest.login, guest.encrypted);
    let registered = timeout(REGISTERS, register(&mut wire, &mut registration, memory));
    let lost = || Ended::Lost(format!("the server did not let us in within {REGISTERS:?}"));
    let registered = tokio::select! {
        registered = registered => registered.unwrap_or_else(|_| Err(lost())),
        () = ends.refuse_all() => Err(Ended::Left),
    };
    if let Err(ended) = registered {
        return ended;
    }
    let server = registration.server();
    let now = Instant::now();
    let session = Session {
        channel: Channel::new(
            guest.channel,
            registration.nick(),
            server.clone(),
            History::after(memory.newest_line),
        ),
        wire,
        wanted: guest.nick,
        name: guest.channel,
        key: guest.key,
        server,
        voice: Voice::default(),
        waiting: VecDeque::new(),
        alive: Alive::new(Arc::clone(&ends.state), now),
        joins_at: Some(now),
        joined_by: None,
        regains_at: now + REGAIN,
        counts_at: now + COUNTS,
        refusal: None,
        memory,
    };
    session.stay(ends).await
}

/// Returns when the server has let us in.
async fn register(
    wire: &mut Wire,
    registration: &mut Registration,
    memory: &mut Memory,
) -> Result<(), Ended> {
    let mut lines = registration.begin();
    loop {
        wire.write(&lines).await?;
        let line = wire.read().await?;
        let line = text(&line);
        let Some(message) = Message::parse(&line) else { continue };
        let outcome;
        (lines, outcome) = registration.hear(&message);
        match outcome {
            None => {}
            Some(Outcome::Done) => {
                memory.registered = true;
                return wire.write(&lines).await;
            }
            Some(Outcome::Encrypt(port)) => {
                memory.encrypts = Some(port);
                let reason = format!("the server wants an encrypted connection, to port {port} (STS)");
                return Err(Ended::Lost(reason));
            }
            // The server that had a login has it again when its services are back.
            Some(Outcome::NoLogin(reason)) if memory.registered => return Err(Ended::Lost(reason)),
            Some(Outcome::Refused(reason) | Outcome::NoLogin(reason)) => return Err(Ended::Refused(reason)),
            Some(Outcome::Lost(reason)) => return Err(Ended::Lost(reason)),
        }
    }
}

struct Session<'a> {
    wire: Wire,
    channel: Channel,
    wanted: &'a str,
    name: &'a str,
    key: Option<String>,
    server: Server,
    voice: Voice,
    /// Events that the bot has not taken.
    waiting: VecDeque<Event>,
    /// Whether the server is there.
    alive: Alive,
    joins_at: Option<Instant>,
    /// Until when the server has to say that we are in the channel.
    joined_by: Option<Instant>,
    regains_at: Instant,
    counts_at: Instant,
    /// The last reason why the server has closed the connection.
    refusal: Option<String>,
    memory: &'a mut Memory,
}

impl Session<'_> {
    async fn stay(mut self, ends: &mut Ends) -> Ended {
        let ended = loop {
            if let Err(ended) = self.step(ends).await {
                break ended;
            }
        };
        let reason = match &ended {
            Ended::Lost(reason) | Ended::Refused(reason) => self.refusal.as_ref().unwrap_or(reason).clone(),
            Ended::Left => "the bot has left".to_owned(),
        };
        ends.state.inside.store(false, Ordering::Release);
        self.memory.newest_line = self.channel.newest_line();
        self.voice.lose("the connection was lost before the server had confirmed it");
        self.waiting.extend(self.channel.lose(&reason));
        if ended != Ended::Left {
            for event in self.waiting {
                // A bot that reads no more needs none of them.
                let _ = ends.events.send(Received { position: 0, item: Ok(event) }).await;
            }
        }
        if let Ended::Lost(_) = ended { Ended::Lost(reason) } else { ended }
    }

    async fn step(&mut self, ends: &mut Ends) -> Result<(), Ended> {
        let speaks_at = (!self.voice.is_free()).then(|| ends.state.bucket.lock().next(Instant::now()));
        let waits = !self.waiting.is_empty() && !ends.events.is_closed();
        let reads = self.waiting.len() < WAITING || !waits;
        if !reads {
            // The bot is slow: that the server is not heard is not the server's doing.
            self.alive.heard(Instant::now());
        }
        let wakes_at = if reads { self.next_deadline() } else { Instant::now() + COUNTS };
        tokio::select! {
            // What has been read comes first: a deadline that it keeps is not missed.
            biased;
            permit = ends.events.reserve(), if waits => {
                if let (Ok(permit), Some(event)) = (permit, self.waiting.pop_front()) {
                    permit.send(Received { position: 0, item: Ok(event) });
                }
            }
            line = self.wire.read(), if reads => {
                let line = line?;
                self.hear(&text(&line)).await?;
                if ends.events.is_closed() {
                    self.waiting.clear();
                }
                ends.state.inside.store(self.channel.inside(), Ordering::Release);
            }
            order = ends.orders.recv(), if self.voice.is_free() => self.obey(order).await?,
            () = sleep_until(speaks_at.unwrap_or(wakes_at)), if speaks_at.is_some() => {
                let now = Instant::now();
                if self.voice.needs_turn() && !ends.state.may_speak() {
                    self.voice.stop(ANOTHER);
                } else if let Some(lines) = self.voice.next(now) {
                    ends.state.bucket.lock().take(now);
                    self.wire.write(&lines).await?;
                }
            }
            () = sleep_until(wakes_at), if reads => self.wake(Instant::now()).await?,
            // The bot takes no event, perhaps because it waits for an answer that is not read: that wait ends in time.
            () = sleep_until(wakes_at) => {
                if self.voice.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
                    self.voice.lose("the server's answer is not read in time: the bot is busy");
                }
            }
        }
        Ok(())
    }

    async fn obey(&mut self, order: Option<Order>) -> Result<(), Ended> {
        match order {
            Some(Order::Say(said)) if self.channel.inside() => {
                self.voice.take(said, self.name, &self.channel.prefix(), Instant::now());
                Ok(())
            }
            Some(Order::Say(said)) => {
                said.refuse(Unsent::transient(NOT_INSIDE));
                Ok(())
            }
            order => {
                self.leave().await;
                if let Some(Order::Leave(left)) = order {
                    let _ = left.send(());
                }
                Err(Ended::Left)
            }
        }
    }

    /// Says goodbye, and waits a moment for the server to close the connection: then it has taken everything.
    async fn leave(&mut self) {
        if self.wire.write(&["QUIT :bye".to_owned()]).await.is_ok() {
            let until = Instant::now() + Duration::from_secs(2);
            while let Ok(Ok(_)) = timeout_at(until, self.wire.read()).await {}
        }
    }

    /// When something is due.
    fn next_deadline(&self) -> Instant {
        let regain = (!self.channel.is_me(self.wanted)).then_some(self.regains_at);
        let count = self.channel.has_news().then_some(self.counts_at);
        let others = [
            self.joins_at,
            self.joined_by,
            regain,
            count,
            self.channel.next_release(),
            self.voice.deadline(),
        ];
        others.into_iter().flatten().fold(self.alive.next(), Instant::min)
    }

    /// Does what is due.
    async fn wake(&mut self, now: Instant) -> Result<(), Ended> {
        if self.alive.asks(now)? {
            self.wire.write(&["PING :alive".to_owned()]).await?;
        }
        if self.voice.deadline().is_some_and(|deadline| deadline <= now) {
            return Err(Ended::Lost("the server does not confirm what is said".to_owned()));
        }
        if self.joined_by.is_some_and(|until| until <= now) {
            return Err(Ended::Lost(format!("the server does not answer to JOIN {}", self.name)));
        }
        if self.joins_at.is_some_and(|at| at <= now) {
            (self.joins_at, self.joined_by) = (None, Some(now + REGISTERS));
            let key = self.key.as_ref().map(|key| format!(" {key}")).unwrap_or_default();
            self.wire.write(&[format!("JOIN {}{key}", self.name)]).await?;
        }
        if self.regains_at <= now {
            self.regain(now).await?;
        }
        if self.counts_at <= now && self.channel.has_news() {
            self.counts_at = now + COUNTS;
            self.waiting.extend(self.channel.count());
        }
        self.waiting.extend(self.channel.release_due(now));
        Ok(())
    }

    /// Asks for the name that we want, if another one has it: our own ghost perhaps, which has gone now.
    async fn regain(&mut self, now: Instant) -> Result<(), Ended> {
        self.regains_at = now + REGAIN;
        if self.channel.is_me(self.wanted) {
            return Ok(());
        }
        self.wire.write(&[format!("NICK {}", self.wanted)]).await
    }

    async fn hear(&mut self, line: &str) -> Result<(), Ended> {
        let now = Instant::now();
        self.alive.heard(now);
        let Some(message) = Message::parse(line) else { return Ok(()) };
        let was_inside = self.channel.inside();
        let is_ours = self.channel.is_here(message.param(0)) && self.channel.is_me(message.nick());
        if was_inside && message.command == "JOIN" && is_ours {
            // A bouncer has lost its own connection meanwhile.
            return Err(Ended::Lost("the server says again that we have joined".to_owned()));
        }
        self.voice.hear(&message, self.server.folding);
        match message.command {
            "PING" => self.wire.write(&[format!("PONG :{}", message.last())]).await?,
            "ERROR" => self.refusal = Some(message.last().to_owned()),
            "PRIVMSG" => self.answer(&message, now).await?,
            number if self.joined_by.is_some() && is_refusal(number) => self.not_joined(&message, now)?,
            _ => {}
        }
        let freed = matches!(message.command, "QUIT" | "NICK")
            && self.server.folding.same(message.nick(), self.wanted);
        self.waiting.extend(self.channel.hear(&message, now));
        if let Some(question) = self.channel.question() {
            self.wire.write(&[question]).await?;
        }
        match (was_inside, self.channel.inside()) {
            (false, true) => {
                // Some servers and bouncers put us there unasked, and answer no JOIN then.
                (self.joins_at, self.joined_by) = (None, None);
                self.memory.entered = Some(now);
                info!("in {} as {}, on {}", self.name, self.channel.me(), self.server.network);
            }
            (true, false) => self.thrown_out(&message, now)?,
            _ => {}
        }
        if freed { self.regain(now).await } else { Ok(()) }
    }

    /// The server does not let us into the channel.
    fn not_joined(&mut self, message: &Message<'_>, now: Instant) -> Result<(), Ended> {
        if !self.channel.is_here(message.param(1)) {
            return Ok(());
        }
        let reason = message.last().escape_debug();
        // It is full, forwarded, throttled or not to be had for now: that passes.
        let is_final = matches!(message.command, "403" | "405" | "473" | "474" | "475" | "476" | "477");
        if !is_final {
            warn!("not in {}: {reason}; trying again in {FULL:?}", self.name);
            (self.joins_at, self.joined_by) = (Some(now + FULL), None);
            return Ok(());
        }
        Err(Ended::Refused(format!("the server does not let us into {}: {reason}", self.name)))
    }

    /// We are out of the channel: comes back once, and stays away if that was not wanted.
    fn thrown_out(&mut self, message: &Message<'_>, now: Instant) -> Result<(), Ended> {
        self.voice.lose("the bot is not in the channel any more");
        let (who, reason) = (message.nick().escape_debug(), message.last().escape_debug());
        if self.memory.kicked.replace(now).is_some_and(|last| now < last + FORGIVEN) {
            return Err(Ended::Refused(format!(
                "thrown out of {} twice, at last by {who}: {reason}",
                self.name
            )));
        }
        warn!("thrown out of {} by {who}: {reason}; coming back once, in {AFTER_KICK:?}", self.name);
        self.joins_at = Some(now + AFTER_KICK);
        Ok(())
    }

    /// Clients may ask what program this is, once a minute: else the bot is an amplifier. A notice is never answered.
    async fn answer(&mut self, message: &Message<'_>, now: Instant) -> Result<(), Ended> {
        let asks =
            message.param(1).strip_prefix("\x01VERSION").is_some_and(|rest| matches!(rest, "" | "\x01"));
        let is_due = self.memory.curious.is_none_or(|last| last + CURIOUS <= now);
        if !(asks && is_due && self.channel.is_me(message.param(0))) {
            return Ok(());
        }
        self.memory.curious = Some(now);
        debug!("{} asks for the version", message.nick().escape_debug());
        let version = env!("CARGO_PKG_VERSION");
        self.wire.write(&[format!("NOTICE {} :\x01VERSION rosey {version}\x01", message.nick())]).await
    }
}

/// Whether a command is the number of a refusal: 4xx, 5xx, and of some servers 9xx.
fn is_refusal(command: &str) -> bool {
    command.len() == 3 && command.starts_with(['4', '5', '9'])
}
