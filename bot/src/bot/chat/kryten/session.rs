//! One connection to the bus, from its first event to its last.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::super::cytube::channel::Channel;
use super::super::cytube::told::{self, Told, printable, read};
use super::super::cytube::voice::Voice;
use super::super::link::sender::{NOT_INSIDE, Order};
use super::super::link::{Ended, Ends};
use super::super::{ANOTHER, Received, Unsent};
use super::Address;
use super::bus::{Bus, News};
use crate::bot::event::Event;

/// How often the robot is asked who is there, until it says so.
const ASKS: Duration = Duration::from_secs(5);
/// Events that wait to be handled. With that many, no more are read.
const WAITING: usize = 256;

/// A site without its port and brackets, as a bot without a robot names it: the ids are the same.
fn site(domain: &str) -> &str {
    let is_port = |(host, port): &(&str, &str)| {
        port.bytes().all(|b| b.is_ascii_digit()) && (!host.contains(':') || host.ends_with(']'))
    };
    domain.rsplit_once(':').filter(is_port).map_or(domain, |(host, _)| host).trim_matches(['[', ']'])
}

/// Listens and speaks until the connection ends.
pub(super) async fn run(
    bus: Bus,
    address: &Address,
    robot: &str,
    ends: &mut Ends,
    entered: &mut Option<Instant>,
) -> Ended {
    let mut session = Session {
        channel: Channel::new(site(&address.domain), &address.channel, robot).relayed(),
        bus,
        address,
        robot,
        voice: Voice::default(),
        waiting: VecDeque::new(),
        asks_at: Instant::now(),
        asked: 0,
        entered,
    };
    let ended = loop {
        if let Err(ended) = session.step(ends).await {
            break ended;
        }
    };
    ends.state.inside.store(false, Ordering::Release);
    session.voice.lose("the connection was lost before the channel had shown it");
    if let Ended::Lost(reason) = &ended {
        session.waiting.extend(session.channel.lose(reason));
        for event in session.waiting {
            // A bot that reads no more needs none of them.
            let _ = ends.events.send(Received { position: 0, item: Ok(event) }).await;
        }
    }
    ended
}

struct Session<'a> {
    bus: Bus,
    address: &'a Address,
    robot: &'a str,
    channel: Channel,
    voice: Voice,
    /// Events that the bot has not taken.
    waiting: VecDeque<Event>,
    /// When the robot is asked who is there, and how often it was.
    asks_at: Instant,
    asked: u32,
    entered: &'a mut Option<Instant>,
}

impl Session<'_> {
    async fn step(&mut self, ends: &mut Ends) -> Result<(), Ended> {
        let due = self.voice.due().map(|due| due.max(ends.state.bucket.lock().next(Instant::now())));
        let waits = !self.waiting.is_empty() && !ends.events.is_closed();
        let reads = self.waiting.len() < WAITING || !waits;
        let asks = (!self.channel.listed()).then_some(self.asks_at);
        let wakes_at = asks.into_iter().chain(self.voice.deadline()).min();
        let far = Instant::now() + ASKS;
        tokio::select! {
            biased;
            permit = ends.events.reserve(), if waits => {
                if let (Ok(permit), Some(event)) = (permit, self.waiting.pop_front()) {
                    permit.send(Received { position: 0, item: Ok(event) });
                }
            }
            news = self.bus.next(), if reads => {
                self.hear(news?, ends);
                if ends.events.is_closed() {
                    self.waiting.clear();
                }
                ends.state.inside.store(self.channel.listed(), Ordering::Release);
            }
            order = ends.orders.recv(), if self.voice.is_free() => self.obey(order)?,
            () = sleep_until(due.unwrap_or(far)), if due.is_some() => self.speak(ends).await?,
            () = sleep_until(wakes_at.unwrap_or(far)) => self.wake(Instant::now()).await?,
        }
        Ok(())
    }

    fn obey(&mut self, order: Option<Order>) -> Result<(), Ended> {
        match order {
            Some(Order::Say(said)) if !self.channel.listed() => said.refuse(Unsent::transient(NOT_INSIDE)),
            Some(Order::Say(said)) => match said.to.clone().filter(|user| !self.channel.has(user)) {
                Some(user) => said.refuse(Unsent::transient(format!("{user} is not in the channel"))),
                None => self.voice.take(said, Instant::now()),
            },
            order => {
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
        match line.to {
            Some(to) => self.bus.command("pm", &json!({"username": to, "message": line.text})).await,
            None => self.bus.command("say", &json!({"message": line.text})).await,
        }
    }

    /// Does what is due.
    async fn wake(&mut self, now: Instant) -> Result<(), Ended> {
        self.voice.expire(now);
        if self.channel.listed() || now < self.asks_at {
            return Ok(());
        }
        self.asks_at = now + ASKS;
        self.asked += 1;
        if self.asked == 2 {
            let Address { domain, channel, .. } = self.address;
            warn!("no Kryten robot answers for {channel} on {domain}; asking for one every {ASKS:?}");
        }
        self.bus.command("state.userlist", &json!({})).await
    }

    fn hear(&mut self, news: News, ends: &Ends) {
        let now = Instant::now();
        match news {
            News::Event(name, data) => self.event(&name, &data, ends, now),
            News::Life { lost: true } => self.lost("the robot has lost the channel"),
            News::Life { lost: false } => self.asks_at = now,
            News::Answer(answer) => match (answer.users(), answer.failure()) {
                (Some(users), _) if !self.channel.listed() => self.event("userlist", &users, ends, now),
                (None, Some(reason)) => {
                    self.voice.refuse(Unsent::transient(format!("the robot: {}", printable(&reason))));
                }
                _ => {}
            },
        }
    }

    fn event(&mut self, name: &str, data: &str, ends: &Ends, now: Instant) {
        if told::of_voice(name, data, &mut self.voice, &ends.state.bucket, now) {
            return;
        }
        if name == "kick" {
            let reason = read::<Told>(data).reason;
            self.waiting.extend(self.channel.kicked(&reason));
            self.voice.lose("the robot was thrown out of the channel");
            return;
        }
        let was_listed = self.channel.listed();
        let heard = self.channel.hear(name, data);
        self.waiting.extend(heard.events);
        if let Some(echo) = heard.echo {
            self.voice.hear(&echo, now);
        }
        if self.channel.listed() && !was_listed {
            *self.entered = Some(now);
            self.asked = 0;
            info!("in {} as {}, by Kryten", self.address.channel, self.robot);
        }
    }

    fn lost(&mut self, reason: &str) {
        self.waiting.extend(self.channel.lose(reason));
        self.voice.lose(reason);
        // It brings the list itself when it is back; it is asked in case that it does not.
        self.asks_at = Instant::now() + ASKS;
    }
}

#[cfg(test)]
mod tests {
    use super::site;

    #[test]
    fn a_site_is_called_as_by_a_bot_without_a_robot() {
        let sites = ["cytu.be", "cytu.be:8443", "[::1]:8080", "::1"].map(site);
        assert_eq!(sites, ["cytu.be", "cytu.be", "::1", "::1"]);
    }
}
