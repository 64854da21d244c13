use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::*;
use crate::bot::event::{Body, Kind};
use crate::bot::testing::{MockStack, RecordingSender};
use crate::bot::{Bot, Intervals};
use eitherway::{Db, clock};

fn play(text: impl Into<Vec<u8>>) -> Jsonl<BufReader<std::io::Cursor<Vec<u8>>>> {
    Jsonl::new(
        BufReader::with_capacity(64, std::io::Cursor::new(text.into())),
        Arc::new(RecordingSender::default()),
    )
}

async fn all(chat: Jsonl<impl AsyncBufRead + Send + Unpin + 'static>) -> Vec<Result<Event, Unreadable>> {
    Box::new(chat).listen().map(|received| received.item).collect().await
}

fn times(events: &[Result<Event, Unreadable>]) -> Vec<i64> {
    events.iter().map(|event| event.as_ref().expect("event").occurred_at()).collect()
}

#[tokio::test]
async fn bad_lines_are_reported_with_their_numbers_and_the_rest_is_read() {
    let mut text = b"\xef\xbb\xbf{\"event\":\"connect\"}\r\n\n  \n{broken\n".to_vec();
    text.extend_from_slice(&[b'x'; 2 * LONGEST_LINE]);
    text.extend_from_slice(
        b"\n{\"event\":\"message\",\"user\":\"a\",\"content\":\"\xff\"}\n{\"event\":\"kicked\"}",
    );
    let size = text.len() as u64;
    let received: Vec<Received> = Box::new(play(text)).listen().collect().await;
    let read: Vec<_> = received.iter().map(|received| received.item.as_ref().map(Event::kind)).collect();
    let line = |place: usize| match &read[place] {
        Err(Unreadable::Line { line, reason }) => (*line, reason.as_str()),
        other => panic!("{other:?}"),
    };
    assert_eq!((&read[0], &read[4], read.len()), (&Ok(Kind::Connect), &Ok(Kind::Kicked), 5));
    assert_eq!((line(1).0, line(2).0, line(3).0), (4, 5, 6));
    assert!(line(2).1.contains("longer than"), "{}", line(2).1);
    assert_eq!(received.last().expect("last").position, size);
}

#[tokio::test]
async fn a_line_without_end_is_not_kept_in_memory() {
    let input = tokio::io::BufReader::new(tokio::io::repeat(b'x').take(64 * LONGEST_LINE as u64));
    let mut lines = Lines::new(input, LONGEST_LINE);
    assert_eq!(lines.next().await.expect("read"), Next::TooLong);
    assert!(lines.capacity() <= 2 * LONGEST_LINE);
    assert_eq!(lines.next().await.expect("read"), Next::End);
}

#[tokio::test]
async fn a_line_of_the_longest_length_is_read() {
    let mut text = br#"{"event":"message","user":"a","content":""#.to_vec();
    text.resize(LONGEST_LINE - 2, b'x');
    text.extend_from_slice(b"\"}");
    assert_eq!(text.len(), LONGEST_LINE);
    text.push(b'\n');
    assert!(all(play(text)).await[0].is_ok());
}

#[tokio::test]
async fn an_event_has_its_recorded_time_or_that_of_reading_and_its_own_identity() {
    let before = clock::issue();
    let text = r#"{"event":"connect","timestamp":1700000000.25,"id":"c1"}
                  {"event":"connect"}
                  {"event":"connect","timestamp":0}"#;
    let (first, again) = (all(play(text)).await, all(play(text)).await);
    let times = times(&first);
    assert_eq!(times[0], 1_700_000_000_250);
    assert!(times[1] >= before && times[2] >= times[1]);
    let id = |events: &[Result<Event, Unreadable>], place: usize| {
        events[place].as_ref().expect("event").head("status_update").id
    };
    assert_eq!(id(&first, 0), id(&again, 0), "the same event has the same id whenever it is read");
    assert_ne!(id(&first, 1), id(&again, 1));
}

#[tokio::test]
async fn shifted_to_now_the_latest_event_of_a_file_happens_at_opening_and_the_rest_before() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("old?.jsonl");
    let text = r#"{"event":"connect","timestamp":1700000000}
                  {"event":"user_leave","user":"a","timestamp":1700000100}
                  {"event":"explode","timestamp":1800000000}
                  {"event":"user_leave","user":"b","timestamp":1700000099.5}
                  {"event":"kicked"}"#;
    tokio::fs::write(&path, text).await.expect("file");
    let before = clock::issue();
    let chat = crate::bot::chat::open(&format!("jsonl:{}?shift=now", path.display())).await.expect("opens");
    let after = clock::issue();
    assert_eq!(chat.size(), Some(text.len() as u64));
    let events: Vec<_> =
        chat.listen().map(|received| received.item).filter(|i| std::future::ready(i.is_ok())).collect().await;
    let times = times(&events);
    assert!((before..=after).contains(&times[1]), "{times:?}");
    assert_eq!((times[1] - times[0], times[1] - times[2]), (100_000, 500));
    assert!(times[3] >= times[1], "without a recorded time: the time of reading");
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_played_at_the_asked_pace_and_a_long_pause_or_a_step_back_is_not_waited_for() {
    let text = r#"{"event":"connect","timestamp":1700000000}
                  {"event":"kicked","timestamp":1700000010}
                  {"event":"kicked"}
                  {"event":"kicked","timestamp":1700000004}
                  {"event":"kicked","timestamp":1700000005}
                  {"event":"kicked","timestamp":4102444800}"#;
    for (speed, pace) in [(Some(1.0), 1000), (Some(10.0), 100), (Some(0.5), 2000), (None, 0)] {
        let begun = Instant::now();
        let mut stream = Box::new(Jsonl { pace: speed.map(Pace::new), ..play(text) }).listen();
        let mut moments = Vec::new();
        while let Some(received) = stream.next().await {
            received.item.expect("event");
            moments.push((begun.elapsed() + Duration::from_micros(500)).as_millis() as u64 / 10 * 10);
        }
        assert_eq!(moments, [0, 10 * pace, 10 * pace, 10 * pace, 11 * pace, 11 * pace], "{speed:?}");
    }
}

#[tokio::test]
async fn what_the_bot_says_is_one_json_object_a_line() {
    let (writer, mut reader) = tokio::io::duplex(4096);
    let sender = JsonlSender::new(writer);
    sender.say("hello \"all\"\nof you").await.expect("said");
    sender.pm("alice", "ψ").await.expect("said");
    sender.flush().await.expect("flushed");
    drop(sender);
    let mut text = String::new();
    reader.read_to_string(&mut text).await.expect("text");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!(
        lines,
        [json!({"say": "hello \"all\"\nof you"}), json!({"pm": {"user": "alice", "content": "ψ"}})]
    );
}

#[tokio::test]
async fn a_line_torn_by_a_dropped_future_does_not_spoil_the_next_one() {
    let (writer, mut reader) = tokio::io::duplex(16);
    let sender = Arc::new(JsonlSender::new(writer));
    assert!(tokio_test::task::spawn(sender.say("much longer than the pipe is")).poll().is_pending());
    let next = Arc::clone(&sender);
    let said = tokio::spawn(async move { next.say("whole").await });
    let mut text = Vec::new();
    while !text.ends_with(b"{\"say\":\"whole\"}\n") {
        assert_ne!(reader.read_buf(&mut text).await.expect("read"), 0);
    }
    said.await.expect("task").expect("said");
    assert_eq!(
        text.split(|byte| *byte == b'\n')
            .filter(|line| serde_json::from_slice::<Value>(line).is_ok())
            .count(),
        1
    );
}

#[tokio::test(start_paused = true)]
async fn a_closed_output_leaves_the_message_to_be_tried_again_and_the_bot_goes_on() {
    let (writer, reader) = tokio::io::duplex(64);
    drop(reader);
    let stack = MockStack::default();
    let waiting = crate::bot::testing::waiting(3, Some("alice"), "hi");
    stack.answer("outbound_get", json!([waiting]));
    let text = r#"{"event":"user_join","user":"alice"}
                  {"event":"message","user":"alice","content":"x"}"#;
    let chat = Jsonl::new(std::io::Cursor::new(text.as_bytes()), Arc::new(JsonlSender::new(writer)));
    let off = Intervals { messages: Duration::ZERO, user_counts: Duration::ZERO, status: Duration::ZERO };
    let bot = Bot::new(Db::new(stack.clone()), Box::new(chat)).intervals(off);
    let summary = bot.run(std::future::pending()).await;
    let failed = stack.of("outbound_mark_failed");
    assert_eq!(failed[0].payload["permanent"], json!(false));
    assert!(failed[0].payload["error"].as_str().expect("text").contains("cannot be written"));
    assert_eq!((summary.messages_delivered, summary.messages_undelivered), (0, 1));
    assert_eq!(stack.of("message_log").len(), 1);
}

#[tokio::test]
async fn a_read_error_ends_the_input_and_is_told() {
    let input = tokio_test::io::Builder::new()
        .read(b"{\"event\":\"connect\"}\n")
        .read_error(std::io::Error::other("the disk is gone"))
        .build();
    let read = all(Jsonl::new(BufReader::new(input), Arc::new(RecordingSender::default()))).await;
    assert_eq!(read[0].as_ref().map(|event| &event.body), Ok(&Body::Connect));
    assert_eq!(read[1].as_ref().err(), Some(&Unreadable::Lost("the disk is gone".into())));
    assert_eq!(read.len(), 2);
}

#[tokio::test]
async fn the_input_can_arrive_in_pieces() {
    let (mut writer, reader) = tokio::io::duplex(8);
    let sender = tokio::spawn(async move {
        writer.write_all(b"{\"event\":\"connect\"}\n{\"event\":").await.expect("written");
        tokio::task::yield_now().await;
        writer.write_all(b"\"kicked\"}\n").await.expect("written");
    });
    let events = all(Jsonl::new(BufReader::new(reader), Arc::new(RecordingSender::default()))).await;
    assert_eq!(
        events.iter().map(|event| event.as_ref().expect("event").kind()).collect::<Vec<_>>(),
        [Kind::Connect, Kind::Kicked]
    );
    sender.await.expect("sender");
}
