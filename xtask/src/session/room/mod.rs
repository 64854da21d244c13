//! The simulated evening: when people come and go, and when the chat is lively.

mod chat;

use std::collections::BTreeMap;

use super::film::{Beat, announcements, script};
use super::people::{FIRST, LENGTH, Person, cast};
use super::record::{Record, json, user};
use super::rng::Rng;
use super::voice::Voice;
use super::words::Lists;
use crate::failure::Failure;

/// The shortest time in milliseconds between a leave and the next join of one person, and vice versa.
const GAP: u64 = 3_000;

/// Seconds at which the network drops a part of the room.
const SPLITS: [u64; 4] = [1_840, 3_890, 6_710, 9_020];

/// A planned event.
#[derive(Clone, Debug)]
enum Next {
    /// A planned arrival.
    Join(usize),
    /// A planned departure.
    Leave(usize),
    /// A connection lost by a network split.
    Drop(usize),
    /// The return after a network split.
    Return(usize),
    /// A line, said only if the person is still present.
    Say(usize, String),
    /// A line of the room itself.
    Announce(String),
    /// A network split.
    Split,
}

/// The state of one person.
#[derive(Clone, Copy, Debug, Default)]
struct Presence {
    here: bool,
    /// Whether the person intends to be present, regardless of the network.
    wants: bool,
    since: u64,
}

/// The room, and all planned events.
struct Room {
    rng: Rng,
    voice: Voice,
    people: Vec<Person>,
    presence: Vec<Presence>,
    beats: Vec<Beat>,
    plan: BTreeMap<(u64, u64), Next>,
    planned: u64,
    record: Record,
    last_speaker: Option<usize>,
    lurkers: u64,
    counted: (u64, usize),
    quotes: Vec<String>,
}

/// The whole recording as JSON lines.
pub(super) fn recording(seed: u64) -> Result<String, Failure> {
    let mut rng = Rng::new(seed);
    let voice = Voice::new();
    let names = Lists::parse(include_str!("../../../words/names.txt"));
    let people = cast(&names, &voice.slots, &mut rng);
    let mut room = Room {
        presence: vec![Presence::default(); people.len()],
        beats: script(include_str!("../../../words/film.txt"))?,
        plan: BTreeMap::new(),
        planned: 0,
        record: Record::default(),
        last_speaker: None,
        lurkers: 16,
        counted: (0, 0),
        quotes: Vec::new(),
        rng,
        voice,
        people,
    };
    room.open(announcements(include_str!("../../../words/announcements.txt"))?);
    room.play();
    Ok(room.record.into_text())
}

impl Room {
    /// Connects, lists the people present, and plans everything that does not depend on later chance.
    fn open(&mut self, announcements: Vec<(u64, &str)>) {
        self.record.event(0, false, "connect", "");
        let mut listed = Vec::new();
        for number in 0..self.people.len() {
            let person = &self.people[number];
            let first = number < FIRST && !person.flaky;
            if first {
                self.presence[number] = Presence { here: true, wants: true, since: 0 };
                listed.push(user(&person.name, person.rank));
            }
            for (index, (from, until)) in person.stays.clone().into_iter().enumerate() {
                if !(first && index == 0) {
                    self.schedule(from, Next::Join(number));
                }
                self.schedule(until, Next::Leave(number));
            }
        }
        self.record.event(0, false, "user_list", &format!(r#""users":[{}]"#, listed.join(",")));
        self.count(1_000);
        for second in SPLITS {
            self.schedule(second * 1000, Next::Split);
        }
        for (second, text) in announcements {
            self.schedule(second * 1000 + 4_000, Next::Announce(text.to_owned()));
        }
    }

    /// Simulates the evening in steps of an eighth of a second.
    fn play(&mut self) {
        let mut mood = 400;
        let mut long_at = 900;
        for now in (1_000..LENGTH * 1000).step_by(125) {
            let second = now / 1000;
            while let Some(entry) = self.plan.first_entry().filter(|entry| entry.key().0 <= now) {
                let next = entry.remove();
                self.happen(now, next);
            }
            if now % 40_000 == 0 {
                // Every forty seconds the room becomes livelier or quieter.
                mood = match self.rng.below(8) {
                    0 => self.rng.within(0, 40),
                    1..4 => self.rng.within(100, 330),
                    _ => self.rng.within(280, 720),
                };
            }
            let heat: u64 = self.beats.iter().map(|beat| beat.heat(second)).sum();
            // From messages per thousand seconds to a chance in a million per eighth of a second.
            if self.rng.per_million((heat + mood) * 125) {
                let hot = self.rng.below(heat + mood) < heat;
                self.chatter(now, hot);
            }
            if now == long_at * 1000 {
                long_at += 780;
                self.long_line(now);
            }
            let (when, last) = self.counted;
            if now >= when + 30_000 || now >= when + 8_000 && self.here() != last {
                self.count(now);
            }
        }
        self.record.event(LENGTH * 1000, false, "disconnect", "");
    }

    fn schedule(&mut self, at: u64, next: Next) {
        self.planned += 1;
        self.plan.insert((at, self.planned), next);
    }

    fn here(&self) -> usize {
        self.presence.iter().filter(|presence| presence.here).count()
    }

    /// Whether this line gets a time with decimals.
    fn fine(&mut self) -> bool {
        self.rng.percent(5)
    }

    fn count(&mut self, now: u64) {
        let here = self.here();
        self.lurkers = (self.lurkers + self.rng.below(5)).saturating_sub(2).clamp(9, 48);
        let connected = here + usize::try_from(self.lurkers).unwrap_or(0);
        let fine = self.fine();
        let fields = format!(r#""usercount":{here},"connected":{connected}"#);
        self.record.event(now, fine, "user_count", &fields);
        self.counted = (now, here);
    }

    fn happen(&mut self, now: u64, next: Next) {
        match next {
            Next::Join(who) => {
                self.presence[who].wants = true;
                self.enter(now, who, Next::Join(who));
            }
            Next::Leave(who) => {
                if self.exit(now, who, Next::Leave(who)) {
                    self.presence[who].wants = false;
                }
            }
            Next::Drop(who) => {
                if self.exit(now, who, Next::Drop(who)) {
                    let away = self.rng.within(4_000, 55_000);
                    self.schedule(now + away, Next::Return(who));
                }
            }
            Next::Return(who) => {
                if self.presence[who].wants {
                    self.enter(now, who, Next::Return(who));
                }
            }
            Next::Say(who, text) => {
                if self.presence[who].here {
                    self.say(now, who, &text);
                }
            }
            Next::Announce(text) => self.message(now, "server", &text),
            Next::Split => {
                for who in 0..self.people.len() {
                    if self.presence[who].here && self.rng.percent(34) {
                        let after = self.rng.below(2_600);
                        self.schedule(now + after, Next::Drop(who));
                    }
                }
            }
        }
    }

    /// A person comes in, or a little later if they have only just left.
    fn enter(&mut self, now: u64, who: usize, again: Next) {
        let presence = self.presence[who];
        if presence.here {
            return;
        }
        if now < presence.since + GAP && presence.since > 0 {
            return self.schedule(presence.since + GAP, again);
        }
        self.presence[who] = Presence { here: true, wants: true, since: now };
        let (name, rank) = (&self.people[who].name, self.people[who].rank);
        let fields = format!(r#""user":{},"user_data":{}"#, json(name), user(name, rank));
        let fine = self.fine();
        self.record.event(now, fine, "user_join", &fields);

        let person = &self.people[who];
        let polite = if person.flaky { 3 } else { 22 * person.talk.min(3) };
        if matches!(again, Next::Return(_)) {
            if self.rng.percent(9 * self.people[who].talk.min(3)) {
                let text = self.voice.from("back", &mut self.rng);
                self.say_later(now, 2_000, 12_000, who, text);
            }
        } else if self.rng.percent(polite) {
            let text = if self.people[who].flaky && self.rng.percent(70) {
                self.voice.from("back", &mut self.rng)
            } else {
                self.voice.greeting(&mut self.rng)
            };
            self.say_later(now, 2_500, 14_000, who, text);
            let friends = self.rng.below(4);
            self.others_say(now + 12_000, friends, "welcome", who);
        }
    }

    /// A person leaves, with or without a goodbye; returns `false` if they were away or must wait a little.
    fn exit(&mut self, now: u64, who: usize, again: Next) -> bool {
        let presence = self.presence[who];
        if !presence.here {
            return matches!(again, Next::Leave(_));
        }
        if now < presence.since + GAP {
            self.schedule(presence.since + GAP, again);
            return false;
        }
        let person = &self.people[who];
        let planned = matches!(again, Next::Leave(_)) && !person.flaky;
        if planned && now > presence.since + 300_000 && self.rng.percent(18 * person.talk.min(3)) {
            let text = self.voice.from("goodbye", &mut self.rng);
            self.say(now, who, text);
            let friends = self.rng.below(4);
            self.others_say(now + 1_500, friends, "farewell", who);
            // The leave follows a moment after the last line.
            self.presence[who].wants = false;
            self.schedule(now + GAP, Next::Drop(who));
            return true;
        }
        self.presence[who].here = false;
        self.presence[who].since = now;
        let fine = self.fine();
        let fields = format!(r#""user":{}"#, json(&self.people[who].name));
        self.record.event(now, fine, "user_leave", &fields);
        true
    }
}
