//! Bytes that no server sends, from a seed: nothing panics, and memory stays bounded.

use tokio::io::BufReader;
use tokio::time::Instant;

use super::super::lines::{Lines, Next};
use super::channel::Channel;
use super::history::History;
use super::message::{LONGEST_LINE, Message, text};
use super::registration::Registration;
use super::server::Server;
use super::speech;

const ROUNDS: usize = 30_000;

/// What lines are made of, so that many of them mean something.
const PIECES: [&[u8]; 52] = [
    b":",
    b" ",
    b"@",
    b";",
    b"=",
    b"\\",
    b"!",
    b"\x01",
    b"\x03",
    b"\x04",
    b"\r",
    b"\0",
    b",",
    b"\\s",
    b"\xff",
    b"\xc3\xa9",
    b"\xf0\x9f\xa6\x80",
    b"time=2026-11-27T12:34:56.789Z",
    b"time=",
    b"msgid=",
    b"#c",
    b"#C",
    b"me",
    b"ann",
    b"ANN",
    b"~&@+",
    b"JOIN",
    b"PART",
    b"QUIT",
    b"NICK",
    b"KICK",
    b"PRIVMSG",
    b"353",
    b"366",
    b"396",
    b"CHGHOST",
    b"CAP",
    b"LS",
    b"ACK",
    b"AUTHENTICATE",
    b"+",
    b"001",
    b"005",
    b"433",
    b"PREFIX=(",
    b"ACTION ",
    b"batch=",
    b"BATCH",
    b"chathistory",
    b"sts=port=",
    b"one.test two.test",
    b"ann!a@h",
];

fn line(dice: &mut fastrand::Rng) -> Vec<u8> {
    let mut line = Vec::new();
    for _ in 0..dice.usize(0..20) {
        match dice.usize(0..10) {
            0 => line.push(dice.u8(..)),
            1..5 => line.extend_from_slice(b" "),
            _ => line.extend_from_slice(dice.choice(PIECES).expect("pieces")),
        }
    }
    if dice.usize(0..200) == 0 {
        line = line.repeat(dice.usize(1..200));
    }
    line.retain(|byte| *byte != b'\n');
    line
}

#[test]
fn no_line_panics_and_no_text_is_said_that_is_a_command() {
    for seed in 1..=4 {
        let mut dice = fastrand::Rng::with_seed(seed);
        let mut channel = Channel::new("#c", "me", Server::new("irc.test"), History::default());
        let mut registration = Registration::new("irc.test", "me", None, false);
        for round in 0..ROUNDS / 4 {
            let bytes = line(&mut dice);
            let read = text(&bytes);
            let said = speech::lines(&read, dice.usize(1..64));
            assert!(
                said.iter().all(|line| !line.contains(['\r', '\n', '\0', '\x01'])),
                "{seed}/{round}: {said:?}"
            );
            let _ = (speech::plain(&read), speech::is_nick(&read));
            let Some(message) = Message::parse(&read) else { continue };
            let (now, _) = (Instant::now(), registration.hear(&message));
            for event in channel.hear(&message, now) {
                assert!(event.occurred_at() > 0, "{seed}/{round}: {read:?}");
            }
            if round % 1000 == 0 {
                let _ = (channel.count(), channel.lose("the line is cut"));
            }
        }
    }
}

#[tokio::test]
async fn a_stream_of_bytes_is_lines_of_bounded_length() {
    let mut dice = fastrand::Rng::with_seed(7);
    let mut stream = Vec::new();
    while stream.len() < 4 * 1024 * 1024 {
        let mut line = line(&mut dice);
        if dice.usize(0..50) == 0 {
            line.resize(dice.usize(0..200_000), b'x');
        }
        stream.extend(line);
        stream.extend(if dice.bool() { &b"\r\n"[..] } else { b"\n" });
    }
    let mut lines = Lines::new(BufReader::with_capacity(64, &stream[..]), LONGEST_LINE);
    let (mut read, mut skipped) = (0, 0);
    loop {
        match lines.next().await.expect("a slice") {
            Next::Line(line) => {
                read += 1;
                assert!(line.len() <= LONGEST_LINE);
            }
            Next::TooLong => skipped += 1,
            Next::End => break,
        }
        assert!(lines.capacity() <= 2 * LONGEST_LINE);
    }
    assert!(read > 1_000 && skipped > 10, "{read} {skipped}");
}
