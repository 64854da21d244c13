//! Floods that no subject of ours takes: headers by the thousand in one message, and messages to the service's own inboxes.

use std::collections::BTreeSet;

use async_nats::Subscriber;

use crate::support::*;

const SUBJECT: &str = "rosey.db.user.joined";
const MIB: usize = 1 << 20;
const MOST_MEMORY: u64 = 150 << 20;

fn joined(name: &str) -> Vec<u8> {
    format!(r#"{{"username":"{name}"}}"#).into_bytes()
}

/// A header block of that many lines, each with a name of its own.
fn headers(lines: usize) -> Vec<u8> {
    let lines: String = (0..lines).map(|n| format!("{n:x}:1\r\n")).collect();
    format!("NATS/1.0\r\n{lines}\r\n").into_bytes()
}

fn assert_bounded(service: &ServeProcess) {
    assert_below(MOST_MEMORY, service);
}

fn assert_below(most: u64, service: &ServeProcess) {
    let peak = proc::rss_peak(service.id());
    assert!(peak < most, "{} MiB at most", peak >> 20);
}

async fn good(file: &DbFile) -> u64 {
    let sql = "SELECT count(*) FROM user_stats_now WHERE username LIKE 'good%'";
    u64::try_from(file.number(sql).await).unwrap()
}

#[tokio::test]
async fn headers_by_the_thousand_make_no_difference_to_a_good_event_and_are_kept_with_a_bad_one() {
    const EACH: u64 = 40;
    let large = headers(5_000);
    for mode in ["off", "on"] {
        let w = Durable::new().await;
        let service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", mode]).await;
        let (mut stranger, peer) = (BytesPeer::connect(&w.server), Peer::connect(&w.server).await);
        for n in 0..EACH {
            stranger.publish(SUBJECT, &large, &joined(&format!("good{n}")));
            stranger.publish(SUBJECT, &large, b"garbage");
            stranger.flush();
            // A stream drops what comes faster than its disk takes it; without one, what is faster than the writer.
            let seen = || async { good(&w.file).await > n && w.file.dead_letters().await > n };
            wait_until("both are taken", seen).await;
        }
        assert_eq!((good(&w.file).await, w.file.dead_letters().await), (EACH, EACH), "{mode}");
        let kept = "SELECT count(*) FROM dead_letters, json_each(headers) WHERE dead_letters.id = 1";
        assert!(w.file.number(kept).await >= 5_000, "all of them: no message of that size is cut");
        assert_eq!(peer.request("rosey.db.query.channel_stats", "{}").await.refusal(), None);
        assert_bounded(&service);
        assert_eq!(service.terminate().await, Some(0));
    }
}

#[tokio::test]
async fn of_headers_by_the_ten_thousand_a_summary_is_kept_and_memory_is_bounded() {
    // More than an operation may have, in lines of a few bytes.
    let large = headers(80_000);
    assert!(large.len() > 512 << 10 && large.len() < MIB - 64, "{}", large.len());
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start(&server, &file).await;
    let (mut stranger, peer) = (BytesPeer::connect(&server), Peer::connect(&server).await);
    const EACH: u64 = 4;
    for round in 0..10 {
        for _ in 0..EACH {
            stranger.publish(SUBJECT, &large, &joined("never"));
        }
        stranger.flush();
        let said = peer.request(SUBJECT, joined(&format!("good{round}"))).await;
        assert_eq!(said.refusal(), None, "{said:?}");
    }
    assert_eq!(good(&file).await, 10);
    wait_until("each is kept", || async { file.dead_letters().await == 10 * EACH }).await;
    let kept = "SELECT coalesce(max(n), 0) FROM
        (SELECT count(*) AS n FROM dead_letters, json_each(headers) GROUP BY dead_letters.id)";
    assert!(file.number(kept).await <= 32, "a few of them tell what it was");
    let reasons = file.texts("SELECT DISTINCT reason FROM dead_letters").await;
    assert!(reasons.iter().all(|reason| reason.contains("bytes")), "{reasons:?}");
    assert_eq!(file.number("SELECT count(*) FROM user_stats_now WHERE username = 'never'").await, 0);
    assert_bounded(&service);
    assert_eq!(service.terminate().await, Some(0));
}

#[tokio::test]
async fn small_events_that_wait_keep_nothing_of_what_came_beside_them_in_memory() {
    const EACH: u64 = 400;
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = ServeProcess::start(&server, &file).await;
    let (mut stranger, peer) = (BytesPeer::connect(&server), Peer::connect(&server).await);
    let held = file.hold().await;
    for n in 0..EACH {
        stranger.publish(SUBJECT, b"", &vec![b'x'; MIB - 1024]);
        stranger.publish(SUBJECT, b"", &joined(&format!("good{n}")));
        if n % 20 == 19 {
            stranger.flush();
            // It has taken what came before, and cannot write any of it.
            peer.request("rosey.db.ping", "").await;
        }
    }
    assert_bounded(&service);
    held.release().await;
    let done = || async { (good(&file).await, file.dead_letters().await) == (EACH, EACH) };
    wait_until("all are applied, and the others kept", done).await;
    assert_bounded(&service);
    assert_eq!(service.terminate().await, Some(0));
}

/// The subjects on which a service waits for answers, as a stranger sees them who hears what it asks.
async fn inboxes(questions: &mut [Subscriber]) -> Vec<String> {
    let mut inboxes = BTreeSet::new();
    for questions in questions {
        for _ in 0..3 {
            inboxes.extend(next(questions).await.reply.map(|reply| reply.to_string()));
        }
    }
    assert!(!inboxes.is_empty());
    // What is answered next, too: the last token is a number or a word.
    let parents: Vec<_> = inboxes.iter().filter_map(|inbox| Some(inbox.rsplit_once('.')?.0)).collect();
    let others = parents.iter().flat_map(|parent| (0..20).map(move |n| format!("{parent}.{n}")));
    others
        .chain(
            ["who", "info", "time"]
                .iter()
                .flat_map(|word| parents.iter().map(move |p| format!("{p}.{word}"))),
        )
        .collect()
}

#[tokio::test]
async fn a_flood_into_the_services_own_inboxes_is_bounded_and_the_service_goes_on() {
    for mode in ["off", "on"] {
        let w = Durable::new().await;
        let service = ServeProcess::start_with(&w.server, &w.file, &["--jetstream", mode]).await;
        let (mut stranger, peer) = (BytesPeer::connect(&w.server), Peer::connect(&w.server).await);
        let mut questions = vec![peer.listen("rosey.db.who").await, peer.listen("$SRV.INFO").await];
        if mode == "on" {
            questions.push(peer.listen("$JS.API.STREAM.INFO.ROSEY").await);
            questions.push(peer.listen("$JS.API.CONSUMER.INFO.ROSEY.writer").await);
            // It asks for more as soon as it has taken something.
            questions.push(peer.listen("$JS.API.CONSUMER.MSG.NEXT.ROSEY.writer").await);
            for n in 0..3 {
                for event in 0..600 {
                    peer.publish(SUBJECT, joined(&format!("early{n}-{event}"))).await;
                }
                w.emptied().await;
            }
        }
        let inboxes = inboxes(&mut questions).await;
        drop(questions);
        let (garbage, small) = (vec![b'x'; MIB], headers(50));
        for round in 0..20 {
            for n in 0..40 {
                let inbox = &inboxes[(round * 40 + n) % inboxes.len()];
                stranger.publish(inbox, b"", &garbage);
                stranger.publish(inbox, &small, b"{}");
                stranger.publish(inbox, b"NATS/1.0 100 Idle Heartbeat\r\n\r\n", b"");
                stranger.publish(inbox, b"NATS/1.0 409 Exceeded MaxRequestBatch of 1\r\n\r\n", b"");
                stranger.publish(
                    inbox,
                    b"NATS/1.0\r\nEitherway-Reply: 1\r\n\r\n",
                    br#"{"id":"x","database":"y"}"#,
                );
            }
            stranger.flush();
            let said = peer.request(SUBJECT, joined(&format!("good{round}"))).await;
            assert_eq!(said.refusal(), None, "{said:?}");
            let said = peer.request("rosey.db.query.channel_stats", "{}").await;
            assert_eq!(said.refusal(), None, "{said:?}");
        }
        wait_until("all are applied", || async { good(&w.file).await == 20 }).await;
        let early = w.file.number("SELECT count(*) FROM user_stats_now WHERE username LIKE 'early%'").await;
        assert_eq!(early, if mode == "on" { 1_800 } else { 0 });
        assert_eq!(w.file.dead_letters().await, 0, "{mode}: what comes to an inbox is no event");
        // Of the 800 MiB that came, the client library holds what its reader had no processor for; it counts messages only.
        assert_below(2 * MOST_MEMORY, &service);
        let log = service.terminate_and_log().await;
        assert!(log.contains(" 0 lost") && log.lines().count() < 100, "{mode}: {log}");
    }
}
