//! Another program that pulls from our consumer: what it acknowledges is named, what it holds is taken back.

use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt;

use super::world::{JOINED, World, now};
use crate::support::*;

pub(crate) const NAMED: &str = "another program pulls from the consumer";
/// Within which it is named, and some time for a machine with much to do.
const SOON: Duration = Duration::from_secs(10);
/// After so long it would have been named: instances settle for three seconds before they are compared.
pub(crate) const QUIET: Duration = Duration::from_secs(7);

async fn consumer(w: &World) -> PullConsumer {
    consumer_of(&w.peer).await
}

async fn consumer_of(peer: &Peer) -> PullConsumer {
    let js = async_nats::jetstream::new(peer.client.clone());
    js.get_consumer_from_stream("writer", "ROSEY").await.unwrap()
}

/// Sends events until the other program gets one, and settles that as it likes. Returns how many were sent.
async fn takes_one(w: &World, name: &str, how: AckKind) -> u32 {
    takes_one_by(&w.peer, name, how).await
}

/// The same, over this connection.
pub(crate) async fn takes_one_by(peer: &Peer, name: &str, how: AckKind) -> u32 {
    let consumer = consumer_of(peer).await;
    let mut messages = consumer.batch().max_messages(1).expires(LIMIT).messages().await.unwrap();
    peer.flush().await;
    let mut sent = 0;
    loop {
        let body = format!(r#"{{"username":"{name}-{sent}"}}"#);
        peer.request(JOINED, body).await;
        sent += 1;
        let taken = tokio::time::timeout(Duration::from_millis(300), messages.next()).await;
        if let Ok(Some(message)) = taken {
            message.unwrap().ack_with(how).await.unwrap();
            peer.flush().await;
            return sent;
        }
    }
}

/// How many events were taken, as the service says now.
async fn named(peer: &Peer) -> Option<u64> {
    let notice = now(peer).await.into_iter().find(|notice| notice.contains(NAMED))?;
    let words: Vec<_> = notice.split_whitespace().collect();
    let place = words.iter().position(|word| word.starts_with("event")).unwrap();
    words[place - 1].parse().ok()
}

async fn is_named(peer: &Peer, count: u64) -> bool {
    holds_within(SOON, || async { named(peer).await == Some(count) }).await
}

/// Takes one after the other until that is named: what is taken before the instances know each other is not.
async fn takes_until_named(w: &World) -> u32 {
    takes_until_named_by(&w.peer, || w.service.log()).await
}

/// The same, over this connection. `log`: what is shown if it is not.
pub(crate) async fn takes_until_named_by(peer: &Peer, log: impl Fn() -> String) -> u32 {
    for round in 0..5 {
        let sent = takes_one_by(peer, &format!("first{round}"), AckKind::Ack).await;
        if is_named(peer, 1).await {
            return sent;
        }
    }
    panic!("not named: {}", log());
}

#[tokio::test]
async fn events_that_another_program_acknowledges_are_named_with_their_number_and_place() {
    for how in [AckKind::Ack, AckKind::Term] {
        let w = World::new().await;
        takes_until_named(&w).await;
        let last = w.stream().await["state"]["last_seq"].as_u64().unwrap();
        wait_until("it is not shown any more", || async { named(&w.peer).await.is_none() }).await;
        takes_one(&w, "second", how).await;
        assert!(is_named(&w.peer, 2).await, "{}", w.service.log());
        let log = w.service.log();
        let line = log.lines().rfind(|line| line.contains(NAMED)).unwrap();
        assert!(line.contains("not applied") && line.contains("End that program"), "{line}");
        assert!(line.contains("sequence"), "{line}; the last one before was {last}");
    }
}

#[tokio::test]
async fn events_that_another_program_acknowledges_are_named_while_others_keep_coming() {
    let w = World::new().await;
    takes_until_named(&w).await;
    wait_until("it is not shown any more", || async { named(&w.peer).await.is_none() }).await;
    let coming = async {
        for user in 0.. {
            w.joined(user..user + 1).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let taken = async {
        takes_one(&w, "second", AckKind::Ack).await;
        assert!(is_named(&w.peer, 2).await, "{}", w.service.log());
    };
    tokio::select! {
        () = coming => unreachable!("events keep coming"),
        () = taken => {}
    }
}

#[tokio::test]
async fn what_the_only_instance_took_before_it_was_killed_did_not_go_elsewhere() {
    let mut w = World::new().await;
    // One event is neither applied nor a dead letter: the consumer's floor stays before all that is acknowledged behind it.
    let first = "INSERT INTO dead_letters (at, code, reason, subject, headers, payload) VALUES (1, '', '', '', '{}', '')";
    w.file.execute(first).await;
    w.file.execute("CREATE UNIQUE INDEX held ON dead_letters ((at IS NULL))").await;
    w.peer.request(JOINED, "garbage").await;
    w.joined(0..50).await;
    let left = || async { w.stream().await["state"]["messages"].as_u64() };
    wait_until("all others are acknowledged", || async { left().await == Some(1) }).await;
    w.service.kill();
    w.service.begin_again();
    w.service.serves().await;
    let is_named = || async { named(&w.peer).await.is_some() };
    assert!(!holds_within(QUIET, is_named).await, "while it hangs: {}", w.service.log());
    w.file.execute("DROP INDEX held").await;
    wait_until("it is a dead letter", || async { w.file.dead_letters().await == 2 }).await;
    assert!(!holds_within(QUIET, is_named).await, "when it does not: {}", w.service.log());
    assert!(!w.service.log().contains(NAMED), "{}", w.service.log());
    assert_eq!(w.users().await, 50);
}

#[tokio::test]
async fn what_one_of_two_instances_takes_is_not_named_and_what_another_program_takes_is() {
    let w = World::new().await;
    let mut second = ServeProcess::start_with(&w.server, &w.file, &["--stream-ack-wait-ms", "3000"]).await;
    takes_until_named(&w).await;
    wait_until("the other one says so as well", || async { second.log().contains(NAMED) }).await;
    // Each of them answers pings, and shows it for a time of its own.
    let over = |log: String| log.contains(&format!("resolved: {NAMED}"));
    wait_until("it is not shown any more", || async { over(w.service.log()) && over(second.log()) }).await;
    let before = [w.service.log().matches(NAMED).count(), second.log().matches(NAMED).count()];
    let is_named = || async { named(&w.peer).await.is_some() };
    // Each of them takes some of these.
    w.joined(500..900).await;
    assert!(!holds_within(QUIET, is_named).await, "{}\n{}", w.service.log(), second.log());
    let mut sent = w.users().await as u32;
    for _ in 0..3 {
        w.joined(1000 * sent..1000 * sent + 200).await;
        second.kill();
        w.joined(1000 * sent + 200..1000 * sent + 300).await;
        second.begin_again();
        w.joined(1000 * sent + 300..1000 * sent + 400).await;
        second.serves().await;
        sent += 1;
    }
    assert!(!holds_within(QUIET, is_named).await, "{}\n{}", w.service.log(), second.log());
    let now = [w.service.log().matches(NAMED).count(), second.log().matches(NAMED).count()];
    assert_eq!(now, [before[0], 0], "{}\n{}", w.service.log(), second.log());
}

#[tokio::test]
async fn what_another_program_puts_off_for_an_hour_is_taken_back_and_applied() {
    let w = World::new().await;
    let hour = AckKind::Nak(Some(Duration::from_secs(3600)));
    let sent = takes_one(&w, "user", hour).await;
    w.noticed(&["1 event ", "acknowledged and not applied", "the consumer is replaced"]).await;
    w.has_applied(i64::from(sent)).await;
    w.noticed(&["handed out to another instance or program", "is replaced"]).await;
    w.joined(0..20).await;
    w.has_applied(i64::from(sent) + 20).await;
    assert_eq!(w.file.applied().await, u64::from(sent) + 20);
}

#[tokio::test]
async fn what_another_program_takes_and_forgets_is_applied_after_the_wait() {
    let w = World::new().await;
    takes_until_named(&w).await;
    wait_until("it is not shown any more", || async { named(&w.peer).await.is_none() }).await;
    let before = w.users().await;
    let mut messages = consumer(&w).await.batch().max_messages(1).expires(LIMIT).messages().await.unwrap();
    w.peer.flush().await;
    let mut sent = 0;
    loop {
        w.joined(sent..sent + 1).await;
        sent += 1;
        if tokio::time::timeout(Duration::from_millis(300), messages.next()).await.is_ok() {
            break;
        }
    }
    w.has_applied(before + i64::from(sent)).await;
    let again = holds_within(QUIET, || async { named(&w.peer).await.is_some() }).await;
    assert!(!again, "what came back did not go elsewhere: {}", w.service.log());
}
