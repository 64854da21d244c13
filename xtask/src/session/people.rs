//! The cast: names, habits, and who comes when.

use std::collections::BTreeSet;

use super::rng::Rng;
use super::words::Lists;

/// The length of the recording, in seconds.
pub(super) const LENGTH: u64 = 10_800;

/// The number of people in total.
const CAST: usize = 486;

/// The number of people present when the recording begins.
pub(super) const FIRST: usize = 41;

/// A person's typing style.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Style {
    pub(super) lower: bool,
    pub(super) bare: bool,
    pub(super) full_stops: bool,
    pub(super) loud: bool,
    pub(super) emoji: Option<&'static str>,
    pub(super) typos: bool,
}

/// One person.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) rank: u64,
    /// How much this person talks, relative to the others; 0 for lurkers.
    pub(super) talk: u64,
    pub(super) style: Style,
    /// The list of lines in another language.
    pub(super) tongue: Option<&'static str>,
    /// Whether the person comes and goes all the time.
    pub(super) flaky: bool,
    /// Planned stays: from and until, in milliseconds. The first may begin before the recording.
    pub(super) stays: Vec<(u64, u64)>,
}

/// All people. The first [`FIRST`] are present from the beginning.
pub(super) fn cast(names: &Lists, slots: &Lists, rng: &mut Rng) -> Vec<Person> {
    all_names(names, rng)
        .into_iter()
        .enumerate()
        .map(|(number, name)| person(number, name, names, slots, rng))
        .collect()
}

fn person(number: usize, name: String, names: &Lists, slots: &Lists, rng: &mut Rng) -> Person {
    let regular = names.get("regulars").contains(&name.as_str());
    let flaky = number % 19 == 7;
    let talk = match (regular, rng.below(10)) {
        (true, 0..4) => 14,
        (true, _) => 8,
        (false, 0..3) => 0,
        (false, 3..7) => 1,
        (false, 7..9) => 3,
        (false, _) => 6,
    };
    let rank = match number {
        0 => 4,
        1..4 => 2,
        _ if regular => 1,
        _ => u64::from(rng.percent(35)),
    };
    let lower = rng.percent(48);
    let style = Style {
        lower,
        bare: rng.percent(25),
        full_stops: !lower && rng.percent(30),
        loud: rng.percent(12),
        emoji: rng.percent(22).then(|| rng.pick(slots.get("emoji"))),
        typos: rng.percent(30),
    };
    let stays = if flaky { broken_stays(rng) } else { stays(number < FIRST, regular, rng) };
    Person { tongue: tongue(&name), name, rank, talk, style, flaky, stays }
}

/// One long stay that the network cuts into many.
fn broken_stays(rng: &mut Rng) -> Vec<(u64, u64)> {
    let mut stays = Vec::new();
    let mut from = rng.within(30, 2_400) * 1000;
    let end = rng.within(5_000, LENGTH) * 1000;
    while from < end {
        let until = from + rng.within(40, 620) * 1000 + rng.below(1000);
        stays.push((from, until));
        from = until + rng.within(5, 75) * 1000 + rng.below(1000);
    }
    stays
}

/// Planned stays of a person with a good connection.
fn stays(first: bool, regular: bool, rng: &mut Rng) -> Vec<(u64, u64)> {
    let visits = match (regular, rng.below(10)) {
        (true, 0..6) => 2,
        (true, _) => 3,
        (false, 0..5) => 1,
        (false, 5..9) => 2,
        (false, _) => 3,
    };
    let mut stays = Vec::new();
    // Most arrive for the beginning of one of the two films.
    let mut from = match rng.below(10) {
        _ if first => 0,
        0..4 => rng.within(10, 1_500),
        4..6 => rng.within(5_000, 6_600),
        _ => rng.within(60, 10_300),
    };
    for _ in 0..visits {
        let short = if regular { 15 } else { 45 };
        let length = if rng.percent(short) { rng.within(8, 240) } else { rng.within(300, 4_800) };
        let until = from + length;
        stays.push((from * 1000 + rng.below(1000), until * 1000 + rng.below(1000)));
        from = until + rng.within(20, 2_400);
    }
    stays.retain(|(from, _)| *from < (LENGTH - 60) * 1000);
    stays
}

/// The language that a person sometimes uses, derived from the name.
fn tongue(name: &str) -> Option<&'static str> {
    let by_letter = |c: char| match c {
        'а'..='я' | 'А'..='Я' | 'ё' => Some("Russian"),
        'ぁ'..='ヿ' | '小' | '夜' => Some("Japanese"),
        '가'..='힣' => Some("Korean"),
        'ا'..='ي' => Some("Arabic"),
        'א'..='ת' => Some("Hebrew"),
        'Έ'..='ώ' if c != 'λ' => Some("Greek"),
        'ü' | 'ß' => Some("German"),
        'é' if name.starts_with("José") => Some("Spanish"),
        'ñ' => Some("Spanish"),
        'ç' | 'é' | 'û' => Some("French"),
        'ã' => Some("Portuguese"),
        'Ł' | 'ż' => Some("Polish"),
        'Ž' => Some("Czech"),
        'ğ' | 'Ç' => Some("Turkish"),
        _ => None,
    };
    let plain = match name {
        "Lupe" | "Rafa" | "carlos" | "ximena✨" => Some("Spanish"),
        "steffi" | "Tobias" | "jonas" => Some("German"),
        "bartek" | "Wiktor" => Some("Polish"),
        "Pascal" => Some("French"),
        "yuki" | "Keiko" => Some("Japanese"),
        "ivan_the_ok" | "dmitri" => Some("Russian"),
        _ => None,
    };
    plain.or_else(|| name.chars().find_map(by_letter))
}

/// Handwritten names first, then generated ones, without duplicates.
fn all_names(names: &Lists, rng: &mut Rng) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut all: Vec<String> = Vec::new();
    let (regulars, unicode, plain) = (names.get("regulars"), names.get("unicode"), names.get("plain"));
    let longest = regulars.len().max(unicode.len()).max(plain.len());
    for number in 0..longest {
        for list in [regulars, unicode, plain] {
            if let Some(name) = list.get(number).filter(|name| taken.insert(name.to_lowercase())) {
                all.push((*name).to_owned());
            }
        }
    }
    for _ in 0..CAST * 20 {
        let name = made_name(names, rng);
        if all.len() < CAST && taken.insert(name.to_lowercase()) {
            all.push(name);
        }
    }
    all
}

fn made_name(names: &Lists, rng: &mut Rng) -> String {
    let (first, second) = (rng.pick(names.get("first")), rng.pick(names.get("second")));
    let plain = rng.pick(names.get("plain"));
    let year = rng.within(70, 99);
    match rng.below(13) {
        0 => format!("{first}_{second}"),
        1 => format!("{}{}", capital(first), capital(second)),
        2 => format!("{first}{second}{}", rng.within(2, 99)),
        3 => format!("{}_{}", capital(first), capital(second)),
        4 => format!("{second}{year}"),
        5 => format!("{plain}{}", rng.within(2, 2_005)),
        6 => format!("the_{second}"),
        7 => format!("xX_{first}_{second}_Xx"),
        8 => format!("{first}-{second}"),
        9 => format!("{second}_{second}"),
        10 => format!("{plain}_the_{second}"),
        11 if second.starts_with(['a', 'o', 'u']) => format!("not_an_{second}"),
        11 => format!("not_a_{second}"),
        _ => format!("{}{}", capital(second), rng.within(100, 999)),
    }
}

/// The word with a capital first letter.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
