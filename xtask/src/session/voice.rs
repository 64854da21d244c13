//! What people say, and how they type it.

use super::people::{Person, Style, capital};
use super::rng::{Deck, Rng};
use super::words::{Lists, Talk, talks};

/// Marks the start and the end of a name.
const MARK: &str = "\u{1}";

/// All the word lists, and what has been drawn from them.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) slots: Lists,
    banter: Lists,
    riffs: Lists,
    reactions: Lists,
    tongues: Lists,
    any: Deck<&'static str>,
    greetings: Deck<&'static str>,
    does: Deck<&'static str>,
    talks: Vec<Talk>,
    next_talk: Deck<usize>,
    long: Vec<&'static str>,
}

impl Voice {
    /// Reads the word lists.
    pub(super) fn new() -> Self {
        let banter = Lists::parse(include_str!("../../words/banter.txt"));
        let riffs = Lists::parse(include_str!("../../words/riffs.txt"));
        let talks = talks(include_str!("../../words/talks.txt"));
        Self {
            slots: Lists::parse(include_str!("../../words/slots.txt")),
            any: Deck::new(banter.get("any").to_vec()),
            greetings: Deck::new(banter.get("greet").to_vec()),
            does: Deck::new(riffs.get("does").to_vec()),
            next_talk: Deck::new((0..talks.len()).collect()),
            long: include_str!("../../words/long.txt").lines().collect(),
            reactions: Lists::parse(include_str!("../../words/reactions.txt")),
            tongues: Lists::parse(include_str!("../../words/tongues.txt")),
            banter,
            riffs,
            talks,
        }
    }

    /// A line of small talk.
    pub(super) fn small_talk(&mut self, rng: &mut Rng) -> &'static str {
        self.any.draw(rng)
    }

    /// The greeting of a person who comes in.
    pub(super) fn greeting(&mut self, rng: &mut Rng) -> &'static str {
        self.greetings.draw(rng)
    }

    /// A line from a named list of the banter: `welcome`, `reply`, `goodbye`, …
    pub(super) fn from(&self, list: &str, rng: &mut Rng) -> &'static str {
        rng.pick(self.banter.get(list))
    }

    /// A reaction in a mood; a longer key press expresses a stronger reaction.
    pub(super) fn reaction(&self, mood: &str, rng: &mut Rng) -> String {
        let word = rng.pick(self.reactions.get(mood));
        let held = usize::try_from(rng.below(7)).unwrap_or(0);
        let last = word.chars().next_back().filter(|last| word.len() > 2 && last.is_alphabetic());
        match last {
            _ if word.starts_with('/') || word.contains(' ') => word.to_owned(),
            _ if word.ends_with("haha") => format!("{word}{}", "ha".repeat(held)),
            Some(last) if word.ends_with(&format!("{last}{last}")) => {
                format!("{word}{}", last.to_string().repeat(held))
            }
            _ => word.to_owned(),
        }
    }

    /// A line in another language.
    pub(super) fn foreign(&self, tongue: &str, rng: &mut Rng) -> &'static str {
        rng.pick(self.tongues.get(tongue))
    }

    /// A remark about a person or thing on the screen.
    pub(super) fn riff(&mut self, part: &str, rng: &mut Rng) -> String {
        let who = rng.pick(self.riffs.get(&format!("{part} who")));
        let does = self.does.draw(rng);
        let open = if rng.percent(38) { rng.pick(self.riffs.get("open")) } else { "" };
        let close = if rng.percent(24) { rng.pick(self.riffs.get("close")) } else { "" };
        let mut text = String::from(open);
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(who);
        text.push(' ');
        text.push_str(does);
        // Question marks and the like follow the word without a blank.
        if close.starts_with(|c: char| c.is_alphanumeric() || c == '/' || c == ':' || !c.is_ascii()) {
            text.push(' ');
        }
        text + close
    }

    /// The next dialogue.
    pub(super) fn talk(&mut self, rng: &mut Rng) -> Talk {
        let number = self.next_talk.draw(rng);
        self.talks.get(number).cloned().unwrap_or_default()
    }

    /// The long lines of the evening.
    pub(super) fn long_lines(&self, quotes: &str) -> Vec<String> {
        let mut lines: Vec<String> = self.long.iter().map(|line| (*line).to_owned()).collect();
        let evening = format!("quotes of the evening so far, please keep them coming: {quotes}");
        lines.push(evening.chars().take(2000).collect());
        lines.push("🦞".repeat(180));
        lines.push("/corn ".repeat(333).trim_end().to_owned());
        lines.push(format!("B{}TTER", "U".repeat(700)));
        lines.push("ha".repeat(450));
        lines
    }

    /// Fills the slots of a line: words from the lists, and names of people in the room. The names are
    /// marked, so that they are never mistyped; [`typed`] removes the marks.
    pub(super) fn fill(&self, line: &str, names: [&str; 2], rng: &mut Rng) -> String {
        let mut text = String::new();
        let mut rest = line;
        while let Some((before, (slot, after))) =
            rest.split_once('{').and_then(|(before, tail)| Some((before, tail.split_once('}')?)))
        {
            text.push_str(before);
            let name = match slot {
                "user" => Some(names[0]),
                "user2" => Some(names[1]),
                _ => None,
            };
            if let Some(name) = name {
                text.extend([MARK, name, MARK]);
            } else {
                let word = rng.pick(self.slots.get(slot));
                let article = text == "a " || text.ends_with(" a ");
                if article && word.starts_with(['a', 'e', 'i', 'o', 'u']) {
                    text.truncate(text.len() - 1);
                    text.push_str("n ");
                }
                text.push_str(word);
            }
            rest = after;
        }
        text + rest
    }
}

/// Types a line the way a person does. A mistyped word is returned as the second value.
pub(super) fn typed(line: &str, person: &Person, rng: &mut Rng) -> (String, Option<String>) {
    let fixed = line.starts_with(['!', '/', ':']) || line.contains("://") || line.chars().count() > 240;
    if fixed || person.talk == 0 {
        return (line.replace(MARK, ""), None);
    }
    let (mut text, mut correction) = (dressed(line, &person.style, rng), None);
    if person.style.typos
        && rng.percent(7)
        && let Some((wrong, word)) = mistyped(&text, rng)
    {
        text = wrong;
        correction = rng.percent(60).then(|| format!("*{word}"));
    }
    (text.replace(MARK, ""), correction)
}

/// Changes a line, but not the names in it.
fn around_names(line: &str, change: impl Fn(&str) -> String) -> String {
    let parts = line.split(MARK).enumerate();
    parts.map(|(number, part)| if number % 2 == 0 { change(part) } else { part.to_owned() }).collect()
}

/// Letter case, punctuation, decoration.
fn dressed(line: &str, style: &Style, rng: &mut Rng) -> String {
    let mut text = if style.lower {
        around_names(line, str::to_lowercase)
    } else if style.loud && line.len() < 40 && rng.percent(25) {
        around_names(line, str::to_uppercase)
    } else if style.full_stops && line.len() > 24 {
        let stop = if line.ends_with(|c: char| c.is_alphanumeric()) { "." } else { "" };
        format!("{}{stop}", capital(line))
    } else {
        line.to_owned()
    };
    if style.bare {
        text.retain(|c| c != '\'');
    }
    if let Some(emoji) = style.emoji.filter(|_| line.len() > 12 && rng.percent(12)) {
        text.push(' ');
        text.push_str(emoji);
    }
    text
}

/// Swaps two letters of a longer word; returns the line and the intended word.
fn mistyped(text: &str, rng: &mut Rng) -> Option<(String, String)> {
    let words: Vec<&str> = text.split(' ').collect();
    let long = |word: &&str| word.len() > 4 && word.bytes().all(|b| b.is_ascii_lowercase());
    let candidates: Vec<usize> =
        words.iter().enumerate().filter(|(_, word)| long(word)).map(|(at, _)| at).collect();
    let at = *candidates.get(rng.index(candidates.len()))?;
    let mut letters: Vec<char> = words[at].chars().collect();
    let swap = 1 + rng.index(letters.len() - 2);
    letters.swap(swap, swap + 1);
    let wrong: String = letters.into_iter().collect();
    if wrong == words[at] {
        return None;
    }
    let mut typed = words.clone();
    typed[at] = &wrong;
    Some((typed.join(" "), words[at].to_owned()))
}
