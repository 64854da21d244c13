//! Fifty people in a channel over two linked servers, two bots, and everything that goes wrong there: the database says what an
//! observer in the channel has written down, person by person, line by line. `ROSEY_SEED=7` plays that seed again.

use std::time::Duration;

use futures_util::future::join_all;

use super::*;
use crate::support::{Dice, knob};

const PEOPLE: u64 = 50;
/// Those on the server that is killed: every other one.
const FAR: usize = 2;
/// What happens between two faults.
const STEPS: u64 = 40;
/// A pace that servers take without holding anybody back.
const PACE: Duration = Duration::from_millis(60);

struct Crowd {
    world: World,
    twin: Bot,
    leaf: IrcServer,
    observer: Person,
    people: Vec<Person>,
    dice: Dice,
    said: u64,
}

impl Crowd {
    async fn gathered(seed: u64) -> Self {
        let (hub, leaf) = IrcServer::linked().await;
        let (world, observer) = World::shared_with_observer(hub).await;
        let twin = Bot::sharing(&world.irc.chat("twin"), &world.nats.url(), &world.file);
        twin.running.says("rosey leads in irc:#lounge: this bot watches").await;
        let ports = [world.irc.port(), leaf.port()];
        let come =
            (0..PEOPLE).map(|n| async move { Person::join(ports[n as usize % FAR], &format!("p{n}")).await });
        let people = join_all(come).await;
        Self { world, twin, leaf, observer, people, dice: Dice::new(seed), said: 0 }
    }

    /// One of those who are in the channel by the server that is not killed.
    fn one(&mut self) -> usize {
        let n = self.dice.one_of(0..=PEOPLE - 1);
        usize::try_from(n).unwrap()
    }

    async fn says(&mut self, n: usize) {
        self.said += 1;
        // Some say what they have said before.
        let text = if self.dice.in_a_hundred(20) { "hi".to_owned() } else { format!("line {}", self.said) };
        self.people[n].tell(&text).await;
    }

    async fn happens(&mut self) {
        let n = self.one();
        match self.dice.one_of(0..=99) {
            0..=59 => self.says(n).await,
            60..=69 => {
                let to = format!("{}{}", self.people[n].nick.trim_end_matches(['a', 'b']), ["a", "b"][n % 2]);
                self.people[n].rename(&to).await;
            }
            70..=79 => {
                self.people[n].say("PART #lounge :away").await;
                self.people[n].say("JOIN #lounge").await;
            }
            80..=87 => {
                let nick = self.people[n].nick.clone();
                self.people[n].settle().await;
                self.observer.say(&format!("KICK #lounge {nick} :out")).await;
                self.observer.hears(&format!("KICK #lounge {nick} :out")).await;
                self.people[n].hears(&format!("KICK #lounge {nick} :out")).await;
                self.people[n].say("JOIN #lounge").await;
            }
            88..=93 => {
                for _ in 0..5 {
                    self.says(n).await;
                }
            }
            _ => {
                self.said += 1;
                let (port, nick) = (self.port_of(n), self.people[n].nick.clone());
                let new = Person::connect(port, &format!("n{}", self.said)).await;
                std::mem::replace(&mut self.people[n], new).quit().await;
                self.observer.hears(&format!(":{nick}!")).await;
                self.people[n].say("JOIN #lounge").await;
            }
        }
        tokio::time::sleep(PACE).await;
    }

    fn port_of(&self, n: usize) -> u16 {
        if n.is_multiple_of(FAR) { self.world.irc.port() } else { self.leaf.port() }
    }

    async fn steps(&mut self) {
        for _ in 0..STEPS {
            self.happens().await;
        }
    }

    /// The other server dies, and those who were there come back with the names that they had.
    async fn splits(&mut self) {
        self.all_heard().await;
        self.leaf.kill();
        self.observer.hears("QUIT :hub.irc.test leaf.irc.test").await;
        self.says(0).await;
        self.leaf.restart().await;
        let port = self.leaf.port();
        let back = (0..self.people.len()).filter(|n| !n.is_multiple_of(FAR));
        let back = back.map(|n| (n, self.people[n].nick.clone()));
        let back = join_all(back.map(|(n, nick)| async move { (n, Person::join(port, &nick).await) })).await;
        for (n, person) in back {
            self.people[n] = person;
        }
    }

    /// Returns when the observer has heard everything that anybody was told to do.
    async fn all_heard(&mut self) {
        self.said += 1;
        let mark = format!("mark {}", self.said);
        for person in &mut self.people {
            person.tell(&mark).await;
        }
        self.observer.hears_times(&mark, self.people.len()).await;
    }

    async fn agrees(&mut self) {
        self.all_heard().await;
        self.observer.settle().await;
        let seen = Record::of(&self.observer);
        let is_bot = |name: &str| matches!(name, "rosey" | "rosey_" | "twin");
        let lines: Vec<String> =
            seen.lines.iter().filter(|line| !is_bot(line.split(": ").next().unwrap())).cloned().collect();
        let (lines, world) = (sorted(&lines), &self.world);
        if !holds_within(crate::support::LIMIT, || async { world.sorted_lines().await == lines }).await {
            let (missing, more) = differences(&lines, &world.sorted_lines().await);
            panic!("missing {missing:?}, too many {more:?}\n{}", self.logs());
        }
        let here = |moves: BTreeMap<String, String>| -> BTreeMap<String, bool> {
            let of_people = moves.into_iter().filter(|(name, _)| !is_bot(name) && name != "observer");
            of_people.map(|(name, moves)| (name, moves.ends_with('+'))).collect()
        };
        let expected = here(seen.moves);
        let agree = || async { here(world.moves().await) == expected };
        if !holds_within(crate::support::LIMIT, agree).await {
            let found = here(world.moves().await);
            let wrong: Vec<_> = expected.iter().filter(|(name, is)| found.get(*name) != Some(is)).collect();
            panic!("who is here? {wrong:?}\n{:#?}\n{}", world.moves().await, self.logs());
        }
    }

    fn logs(&self) -> String {
        format!("rosey:\n{}\ntwin:\n{}", self.world.bot.running.log(), self.twin.running.log())
    }
}

/// What only one of two sorted lists has.
fn differences(expected: &[String], found: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut missing, mut more) = (expected.to_vec(), found.to_vec());
    missing.retain(|line| match more.iter().position(|other| other == line) {
        Some(place) => {
            more.remove(place);
            false
        }
        None => true,
    });
    (missing, more)
}

#[tokio::test]
async fn fifty_people_two_bots_and_every_fault_are_written_as_an_observer_has_seen_them() {
    let seed: u64 = knob("ROSEY_SEED", eitherway::clock::now().unsigned_abs() % 1_000_000);
    eprintln!("ROSEY_SEED={seed}");
    let mut crowd = Crowd::gathered(seed).await;
    crowd.steps().await;
    crowd.world.nats.kill();
    crowd.steps().await;
    crowd.world.nats.restart().await;
    crowd.world.bot.running.kill();
    crowd.steps().await;
    crowd.splits().await;
    crowd.steps().await;
    crowd.twin.running.says("leads in irc:#lounge from now on").await;
    crowd.agrees().await;
    let Crowd { world, twin, .. } = crowd;
    two_bots::ended(world, twin).await;
}
