//! A session of three hours in a channel, made up the same way each time: people come and go, and talk.

use fastrand::Rng;
use serde_json::{Value, json};

/// When it begins, in unix seconds, and how long it is, in milliseconds.
const BEGINS: u64 = 1_700_000_000;
const LASTS: u64 = 3 * 3_600_000;
/// From one event to the next, in milliseconds.
const PACE: std::ops::Range<u64> = 0..2_150;
/// How many are there, more or less.
const USUAL: usize = 60;

/// Those who are there at the beginning; the first ones moderate.
const PRESENT: &str = "alice Žofie carlos søren_k mothwing Captain_Biscuit Ирина77 DialUpDana müllerin kettle \
                       José_el_zorro otterpop 小林 Nurse_Ratchetstrap λambda Priya nils🦉 François кот_учёный \
                       Łukasz ñandú omar_k grumpy_gus Ağaç";
/// The two parts of the names of those who come later.
const FIRST: &str = "Salty Quiet Green Neon Sleepy Brave Dusty Lucky Modest Purple Rusty Silver Tiny Velvet Wild Odd \
                     Gentle Hasty Icy Jolly Late Misty Noble Polite";
const LAST: &str = "Comet Otter Teapot Falcon Lantern Walrus Pickle Badger Cactus Dynamo Ferret Goblin Hammer Igloo \
                    Jukebox Kettle Magpie Noodle Orchid Parrot Quokka Rocket Sparrow Turnip";
const WORDS: &str = "the a this that film song video next who put it on again lol wait what no yes maybe good old new long \
                     short why is was not so really love hate this part here comes ahh brb back hello bye 🍿 😂 ¿qué? \
                     naja genau о да はい ok skip please volume quiet loud and then the end";

/// The events, as a recording has them, one after the other.
pub(super) fn events() -> Vec<Value> {
    Session::new().play()
}

struct Session {
    dice: Rng,
    now: u64,
    here: Vec<String>,
    gone: Vec<String>,
    events: Vec<Value>,
}

impl Session {
    fn new() -> Self {
        let here: Vec<String> = PRESENT.split_whitespace().map(str::to_owned).collect();
        let mut new: Vec<String> = Vec::new();
        for last in LAST.split_whitespace() {
            new.extend(FIRST.split_whitespace().map(|first| format!("{first}_{last}")));
        }
        let mut dice = Rng::with_seed(7);
        dice.shuffle(&mut new);
        Self { dice, now: 0, here, gone: new, events: Vec::new() }
    }

    fn play(mut self) -> Vec<Value> {
        let users = self.here.iter().enumerate();
        let users: Vec<Value> =
            users.map(|(n, name)| json!({"username": name, "rank": 4_usize.saturating_sub(n)})).collect();
        self.tell(json!({"event": "connect"}));
        self.tell(json!({"event": "user_list", "users": users}));
        self.count();
        while self.now < LASTS {
            self.now += self.dice.u64(PACE);
            self.happens();
        }
        self.tell(json!({"event": "disconnect"}));
        self.events
    }

    fn happens(&mut self) {
        let comes = if self.here.len() < USUAL { 16 } else { 11 };
        match self.dice.u32(0..100) {
            n if n < comes => {
                // Mostly somebody new.
                let among = if self.dice.bool() { 500 } else { 20 };
                let place = self.dice.usize(0..self.gone.len().min(among));
                let user = self.gone.remove(place);
                self.tell(
                    json!({"event": "user_join", "user": user, "user_data": {"username": user, "rank": 0}}),
                );
                self.here.push(user);
                self.perhaps_count();
            }
            n if n < comes + 11 && self.here.len() > 10 => {
                let place = self.dice.usize(0..self.here.len());
                let user = self.here.swap_remove(place);
                self.tell(json!({"event": "user_leave", "user": user}));
                self.gone.push(user);
                self.perhaps_count();
            }
            _ => {
                let user = match self.dice.u32(0..150) {
                    0 => "server".to_owned(),
                    _ => self.here[self.dice.usize(0..self.here.len())].clone(),
                };
                let content = self.text();
                self.tell(json!({"event": "message", "user": user, "content": content}));
            }
        }
    }

    fn text(&mut self) -> String {
        let words: Vec<&str> = WORDS.split_whitespace().collect();
        // Now and then one is as long as networks allow.
        let most = if self.dice.u32(0..2000) == 0 { 300 } else { self.dice.usize(1..10) };
        let said: Vec<&str> = (0..most).map(|_| words[self.dice.usize(0..words.len())]).collect();
        said.join(" ")
    }

    fn perhaps_count(&mut self) {
        if self.dice.u32(0..100) < 42 {
            self.count();
        }
    }

    fn count(&mut self) {
        let (users, watching) = (self.here.len(), self.here.len() + self.dice.usize(10..30));
        self.tell(json!({"event": "user_count", "usercount": users, "connected": watching}));
    }

    #[allow(clippy::cast_precision_loss)] // exact for some thousand years
    fn tell(&mut self, mut event: Value) {
        event["timestamp"] = (BEGINS as f64 + self.now as f64 / 1000.0).into();
        self.events.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_the_same_each_time_and_has_a_little_of_everything() {
        let events = events();
        assert_eq!(events, super::events());
        let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
        let kinds =
            ["message", "user_join", "user_leave", "user_count", "user_list", "connect", "disconnect"];
        let counts = kinds.map(of);
        assert_eq!(counts.iter().sum::<usize>(), events.len());
        assert!(counts[0] > 7000 && counts[1..4].iter().all(|count| *count > 900), "{counts:?}");
        assert!(events.iter().any(|event| event["user"] == "server"), "the channel itself speaks");
        let mut here: std::collections::BTreeSet<&str> = PRESENT.split_whitespace().collect();
        for event in &events {
            let user = event["user"].as_str().unwrap_or_default();
            match event["event"].as_str() {
                Some("user_join") => assert!(here.insert(user), "{event}"),
                Some("user_leave") => assert!(here.remove(user), "{event}"),
                Some("message") => assert!(user == "server" || here.contains(user), "{event}"),
                _ => {}
            }
        }
    }
}
