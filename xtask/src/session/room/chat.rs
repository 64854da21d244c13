//! Who says what.

use super::{Next, Room};
use crate::session::record::json;
use crate::session::voice::typed;

impl Room {
    /// Picks a talkative person in the room, other than the given ones.
    fn speaker(&mut self, not: &[usize]) -> Option<usize> {
        let weight = |who: &usize| {
            let talk = self.people[*who].talk;
            if self.presence[*who].here && !not.contains(who) { talk } else { 0 }
        };
        let all: Vec<(usize, u64)> = (0..self.people.len()).map(|who| (who, weight(&who))).collect();
        let mut drawn = self.rng.below(all.iter().map(|(_, weight)| weight).sum());
        for (who, weight) in all {
            match drawn.checked_sub(weight) {
                Some(left) => drawn = left,
                None => return Some(who),
            }
        }
        None
    }

    pub(super) fn say_later(&mut self, now: u64, from: u64, to: u64, who: usize, text: &str) {
        let at = now + self.rng.within(from, to);
        self.schedule(at, Next::Say(who, text.to_owned()));
    }

    /// Other people say something to one person.
    pub(super) fn others_say(&mut self, now: u64, how_many: u64, list: &str, to: usize) {
        for _ in 0..how_many {
            let Some(who) = self.speaker(&[to]) else { return };
            let line = self.voice.from(list, &mut self.rng);
            let name = self.people[to].name.clone();
            let text = self.voice.fill(line, [&name, &name], &mut self.rng);
            self.say_later(now, 500, 9_000, who, &text);
        }
    }

    /// The part of the film on the screen.
    fn part(&self, now: u64) -> &'static str {
        let shown = self.beats.iter().rev().find(|beat| beat.at * 1000 <= now);
        shown.map_or("show", |beat| beat.part)
    }

    /// A person says something, about the moment on the screen or about anything.
    pub(super) fn chatter(&mut self, now: u64, hot: bool) {
        let Some(who) = self.speaker(&[]) else { return };
        let tongue = self.people[who].tongue.filter(|_| self.rng.percent(45));
        let beat = self.beats.iter().rposition(|beat| hot && beat.heat(now / 1000) > 0);
        let kind = self.rng.below(100);
        let text = match (tongue, beat, kind) {
            (Some(tongue), ..) => self.voice.foreign(tongue, &mut self.rng).to_owned(),
            (None, Some(beat), 0..34) if !self.beats[beat].lines.is_spent() || kind < 6 => {
                let line = self.beats[beat].lines.draw(&mut self.rng);
                self.quotes.push(line.to_owned());
                line.to_owned()
            }
            (None, Some(beat), 0..84) => self.voice.reaction(self.beats[beat].mood, &mut self.rng),
            (None, None, 0..5) => return self.command(now, who),
            (None, None, 5..11) => return self.talk(now, who),
            (None, None, 11..24) => self.reply(now, who),
            (None, None, 24..31) => self.voice.reaction("laugh", &mut self.rng),
            (None, None, 31..66) => self.voice.small_talk(&mut self.rng).to_owned(),
            _ => {
                let part = self.part(now);
                self.voice.riff(part, &mut self.rng)
            }
        };
        self.say(now, who, &text);
    }

    /// An answer to the last speaker.
    fn reply(&mut self, now: u64, who: usize) -> String {
        let last = self.last_speaker.filter(|last| *last != who && self.presence[*last].here);
        match last {
            Some(last) => {
                let line = self.voice.from("reply", &mut self.rng);
                let names = [self.people[last].name.clone(), self.name_of_another(&[who, last])];
                self.voice.fill(line, [&names[0], &names[1]], &mut self.rng)
            }
            None => {
                let part = self.part(now);
                self.voice.riff(part, &mut self.rng)
            }
        }
    }

    fn name_of_another(&mut self, not: &[usize]) -> String {
        let other = self.speaker(not);
        other.map_or_else(|| "everybody".to_owned(), |other| self.people[other].name.clone())
    }

    /// A person sends a command to the room, and it may answer.
    fn command(&mut self, now: u64, who: usize) {
        let line = self.voice.from("command", &mut self.rng);
        let name = self.name_of_another(&[who]);
        let text = self.voice.fill(line, [&name, &name], &mut self.rng);
        let me = &self.people[who].name;
        let answer = match text.as_str() {
            "!roll 20" => format!("{me} rolled {}", self.rng.within(1, 20)),
            "!roll 6" => format!("{me} rolled {}", self.rng.within(1, 6)),
            "!time" => {
                let minutes = now / 60_000;
                format!("{} h {:02} min into the evening", minutes / 60, minutes % 60)
            }
            "!title" if self.part(now) == "lake" => "The Lobster Men of Lake Desolation (1957)".to_owned(),
            "!title" if self.part(now) == "castle" => "Robot Bride of Castle Kraven (1961)".to_owned(),
            "!title" => "Shorts and snacks".to_owned(),
            "!uptime" => "12 days without a lobster".to_owned(),
            _ => String::new(),
        };
        self.say(now, who, &text);
        if !answer.is_empty() {
            self.schedule(now + 900, Next::Announce(answer));
        }
    }

    /// Two or three people talk to each other.
    fn talk(&mut self, now: u64, first: usize) {
        let Some(second) = self.speaker(&[first]) else { return };
        let Some(third) = self.speaker(&[first, second]) else { return };
        let cast = [first, second, third];
        let mut at = now;
        for (speaker, line) in self.voice.talk(&mut self.rng).0 {
            let to = if speaker == 0 { second } else { first };
            let names = [self.people[to].name.clone(), self.people[third].name.clone()];
            let text = self.voice.fill(line, [&names[0], &names[1]], &mut self.rng);
            self.schedule(at, Next::Say(cast[speaker], text));
            at += self.rng.within(1_800, 6_500) + 45 * line.len() as u64;
        }
    }

    /// One of the long lines of the evening.
    pub(super) fn long_line(&mut self, now: u64) {
        let from = self.quotes.len().saturating_sub(60);
        let quotes = self.quotes[from..].join(" / ");
        let lines = self.voice.long_lines(&quotes);
        // The stories come first and last, the noise between them.
        let order = [0, 7, 1, 10, 2, 8, 3, 6, 9, 4, 5, 6];
        let number = usize::try_from((now / 1000).saturating_sub(900) / 780).unwrap_or(0);
        let line = order.get(number).and_then(|index| lines.get(*index));
        if let (Some(line), Some(who)) = (line, self.speaker(&[])) {
            self.say(now, who, line);
        }
    }

    /// A person types a line.
    pub(super) fn say(&mut self, now: u64, who: usize, line: &str) {
        let name = self.name_of_another(&[who]);
        let filled = self.voice.fill(line, [&name, &name], &mut self.rng);
        let (text, correction) = typed(&filled, &self.people[who], &mut self.rng);
        let name = self.people[who].name.clone();
        self.message(now, &name, &text);
        self.last_speaker = Some(who);
        if let Some(correction) = correction {
            self.say_later(now, 1_500, 4_500, who, &correction);
        }
    }

    pub(super) fn message(&mut self, now: u64, name: &str, text: &str) {
        let fine = self.fine();
        let fields = format!(r#""user":{},"content":{}"#, json(name), json(text));
        self.record.event(now, fine, "message", &fields);
    }
}
