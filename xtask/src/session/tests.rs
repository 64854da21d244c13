use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::Value;

use super::{SEED, room};

fn recording() -> &'static str {
    static RECORDING: OnceLock<String> = OnceLock::new();
    RECORDING.get_or_init(|| room::recording(SEED).expect("the script can be read"))
}

fn events() -> Vec<Value> {
    recording().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_else(|| panic!("no {field} in {event}"))
}

fn count(events: &[Value], names: &[&str]) -> usize {
    events.iter().filter(|event| names.contains(&text(event, "event"))).count()
}

#[test]
fn the_shipped_file_is_what_the_generator_writes() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/data/session.jsonl");
    let shipped = std::fs::read_to_string(file).expect("the file is there");
    let made = recording();
    assert!(shipped == made, "run `cargo xtask session`");
    assert!(made.len() < 2_500_000, "{} bytes", made.len());
}

#[test]
fn the_mixture_is_that_of_a_busy_evening() {
    let events = events();
    let all = events.len();
    assert!((11_000..13_500).contains(&all), "{all} events");
    let share = |names: &[&str]| count(&events, names) * 100 / all;
    let (messages, moves, counts) =
        (share(&["message"]), share(&["user_join", "user_leave"]), share(&["user_count"]));
    assert!((66..=74).contains(&messages), "{messages} % messages");
    assert!((17..=23).contains(&moves), "{moves} % joins and leaves");
    assert!((7..=11).contains(&counts), "{counts} % counts");
    assert_eq!(text(&events[0], "event"), "connect");
    assert_eq!(text(&events[1], "event"), "user_list");
    assert_eq!(text(&events[all - 1], "event"), "disconnect");
}

#[test]
fn times_are_sorted_and_mostly_whole() {
    let events = events();
    let times: Vec<f64> = events.iter().map(|e| e["timestamp"].as_f64().expect("a number")).collect();
    assert!(times.is_sorted());
    assert!((times[0] - 1_700_000_000.0).abs() < f64::EPSILON);
    let whole = events.iter().filter(|event| event["timestamp"].is_u64()).count();
    assert!(whole < events.len() && whole * 10 > events.len() * 6, "{whole} of {}", events.len());
}

#[test]
fn who_is_counted_speaks_and_leaves_is_there() {
    let mut since: BTreeMap<String, f64> = BTreeMap::new();
    let mut gone: BTreeMap<String, f64> = BTreeMap::new();
    for event in events() {
        let time = event["timestamp"].as_f64().expect("a number");
        match text(&event, "event") {
            "user_list" => {
                for user in event["users"].as_array().expect("a list") {
                    since.insert(text(user, "username").to_owned(), time);
                }
                assert!((35..=45).contains(&since.len()), "{} at first", since.len());
            }
            "user_join" => {
                let user = text(&event, "user").to_owned();
                assert_eq!(text(&event["user_data"], "username"), user);
                assert!(event["user_data"]["rank"].is_u64());
                assert!(gone.remove(&user).is_none_or(|left| time - left > 1.0), "{event}");
                assert!(since.insert(user, time).is_none(), "{event}");
            }
            "user_leave" => {
                let user = text(&event, "user").to_owned();
                let joined = since.remove(&user).unwrap_or_else(|| panic!("not there: {event}"));
                assert!(time - joined > 1.0, "{event}");
                gone.insert(user, time);
            }
            "message" => {
                let user = text(&event, "user");
                assert!(user == "server" || since.contains_key(user), "{event}");
            }
            "user_count" => {
                assert_eq!(event["usercount"].as_u64(), Some(since.len() as u64), "{event}");
                assert!(event["connected"].as_u64() >= event["usercount"].as_u64());
            }
            _ => {}
        }
    }
}

#[test]
fn names_and_lines_have_sensible_lengths() {
    let events = events();
    let users: BTreeSet<&str> = events.iter().filter_map(|event| event["user"].as_str()).collect();
    assert!(users.len() > 350, "{} users", users.len());
    assert!(users.iter().all(|user| (1..=40).contains(&user.len())));
    assert!(users.iter().filter(|user| !user.is_ascii()).count() > 20);
    let lines: Vec<&str> = events.iter().filter_map(|event| event["content"].as_str()).collect();
    assert!(lines.iter().all(|line| !line.is_empty() && line.chars().count() <= 2000));
    assert!(lines.iter().filter(|line| line.chars().count() > 700).count() >= 8);
    assert!(lines.iter().all(|line| !line.contains(['{', '}'])), "a slot was not filled");
    let different: BTreeSet<&&str> = lines.iter().collect();
    assert!(different.len() * 100 > lines.len() * 55, "{} of {}", different.len(), lines.len());
}
