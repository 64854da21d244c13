//! Frames that no server sends, from a seed: nothing panics, and memory stays bounded.

use tokio::time::Instant;

use super::channel::Channel;
use super::frames::Frame;
use super::told::{Options, Told, read};
use super::{html, login, speech, voice};

const ROUNDS: usize = 30_000;

/// What frames are made of, so that many of them mean something.
const PIECES: [&str; 64] = [
    "0",
    "1",
    "2",
    "3",
    "4",
    "40",
    "41",
    "42",
    "43",
    "44",
    "42",
    "42",
    "17",
    "/",
    "/,",
    "/admin,",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "\"",
    "\\",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "1e999",
    "-1",
    "1700000000123",
    "99999999999999999999",
    "[[[[[[[[",
    "\"chatMsg\"",
    "\"pm\"",
    "\"userlist\"",
    "\"addUser\"",
    "\"userLeave\"",
    "\"usercount\"",
    "\"username\":",
    "\"name\":",
    "\"msg\":",
    "\"time\":",
    "\"meta\":",
    "\"to\":",
    "\"rank\":",
    "\"me\"",
    "\"ann\"",
    "\"[server]\"",
    "\"<b>\"",
    "<",
    ">",
    "&",
    ";",
    "&amp;",
    "&#x1F980;",
    "&#0;",
    "<a href=",
    "<img title='",
    "</",
    "🦀",
    "é",
    "\u{202e}",
    " ",
];

fn pieces(dice: &mut fastrand::Rng) -> String {
    let mut text: String = (0..dice.usize(0..24)).map(|_| PIECES[dice.usize(0..PIECES.len())]).collect();
    if dice.usize(0..200) == 0 {
        text = text.repeat(dice.usize(1..400));
    }
    text
}

/// An event whose data has the right form more often than not.
fn event(dice: &mut fastrand::Rng) -> (&'static str, String) {
    const NAMES: [&str; 7] = ["chatMsg", "pm", "userlist", "addUser", "userLeave", "usercount", "other"];
    let name = NAMES[dice.usize(0..NAMES.len())];
    let mut quoted = || serde_json::Value::String(pieces(dice)).to_string();
    let (who, text) = (quoted(), quoted());
    let who = if dice.bool() { format!("\"user{}\"", dice.u32(..)) } else { who };
    let time = ["0", "-1", "1e300", "1700000000123", "null", "\"1\""][dice.usize(0..6)];
    let data = match dice.usize(0..5) {
        0 => pieces(dice),
        1 => format!("[{{\"name\":{who},\"rank\":{time}}},{{\"name\":{text}}}]"),
        2 => format!("{{\"name\":{who},\"meta\":{{\"afk\":true}}}}"),
        _ => format!("{{\"username\":{who},\"msg\":{text},\"time\":{time},\"to\":\"me\",\"meta\":{{}}}}"),
    };
    (name, data)
}

#[test]
fn no_frame_panics_and_no_text_grows_or_is_said_that_is_a_command() {
    for seed in 1..=4 {
        let mut dice = fastrand::Rng::with_seed(seed);
        for round in 0..ROUNDS / 4 {
            let text = pieces(&mut dice);
            let _ = Frame::parse(&text);
            let plain = html::text(&text);
            assert!(plain.len() <= text.len(), "{seed}/{round}: {text:?}");
            assert!(!plain.contains(char::is_control), "{seed}/{round}: {plain:?}");
            let said = speech::lines(&text);
            assert!(said.iter().all(|line| !line.starts_with('/')), "{seed}/{round}: {said:?}");
            assert!(said.iter().all(|line| line.encode_utf16().count() <= 240), "{seed}/{round}: {said:?}");
            let (burst, every) = read::<Options>(&text).pace();
            assert!(burst >= 1 && !every.is_zero(), "{seed}/{round}: {text:?}");
            let _ = (
                login::Outcome::from(read::<login::Answer>(&text)),
                read::<Told>(&text),
                login::is_final(&text),
            );
        }
    }
}

#[test]
fn no_event_panics_and_what_is_kept_of_a_channel_is_bounded() {
    for seed in 1..=4 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (mut channel, mut voice) = (Channel::new("cytu.be", "c", "me"), voice::Voice::default());
        let mut understood = 0;
        for round in 0..ROUNDS / 4 {
            let (name, data) = event(&mut dice);
            let heard = channel.hear(name, &data);
            understood += heard.events.len();
            for event in heard.events {
                assert!(event.occurred_at() > 0, "{seed}/{round}: {data}");
            }
            if let Some(echo) = heard.echo {
                voice.hear(&echo, Instant::now());
            }
            if round % 1000 == 0 {
                let _ = channel.lose("the line is cut");
            }
        }
        assert!(understood > 500, "{seed}: only {understood} events mean something");
        assert!(channel.kept() <= 65_536 + 256, "{seed}");
    }
}
