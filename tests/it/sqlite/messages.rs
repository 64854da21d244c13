//! Messages that wait to be delivered: claims, leases, reports.

use super::*;

#[tokio::test]
async fn a_claim_is_for_one_poller_and_the_same_request_gets_the_same_rows() {
    let f = Fixture::new().await;
    for n in 0..3 {
        f.db.at(1000 + n).outbound_enqueue(Some("alice"), format!("m{n}")).await.unwrap();
    }
    f.db.outbound_enqueue(None, "to all").await.unwrap();
    let head = Head::now();
    let first = f.db.with(head.clone()).outbound_messages("alice", 2).await.unwrap();
    assert_eq!(first.iter().map(|m| m.content.as_str()).collect::<Vec<_>>(), ["m0", "m1"]);
    assert_eq!(f.db.with(head).outbound_messages("alice", 2).await.unwrap(), first);
    let (one, two) = (f.db.clone(), f.db.clone());
    let (one, two) = tokio::join!(one.outbound_messages("alice", 5), two.outbound_messages("alice", 5));
    assert_eq!(one.unwrap().len() + two.unwrap().len(), 1, "the third, once");
    assert_eq!(f.db.outbound_channel_messages(5).await.unwrap().len(), 1);
    assert_eq!(f.db.outbound_messages("bob", 5).await.unwrap(), []);
    assert_eq!(f.number("SELECT count(*) FROM ledger WHERE operation = 'outbound_get'").await, 3);
}

#[tokio::test]
async fn a_message_that_failed_waits_before_it_is_handed_out_again() {
    let f = Fixture::new().await;
    let id = f.db.outbound_enqueue(None, "hi").await.unwrap();
    assert_eq!(f.db.outbound_channel_messages(5).await.unwrap().len(), 1);
    f.db.outbound_mark_failed(id, "network", false).await.unwrap();
    assert_eq!(f.db.outbound_channel_messages(5).await.unwrap(), [], "two minutes have not passed");
    // an attempt long ago does not stand in the way
    let other = f.db.at(1000).outbound_enqueue(None, "old").await.unwrap();
    f.db.at(2000).outbound_mark_failed(other, "network", false).await.unwrap();
    let again = f.db.outbound_channel_messages(5).await.unwrap();
    assert_eq!(again.len(), 1);
    assert_eq!((again[0].retry_count, again[0].error_message.as_deref()), (1, Some("network")));
}

#[tokio::test]
async fn a_claim_that_comes_late_is_refused_and_hands_out_nothing() {
    let f = Fixture::new().await;
    f.db.outbound_enqueue(Some("alice"), "hi").await.unwrap();
    let ghost = f.db.at(eitherway::clock::now() - 60_000);
    let refused = ghost.outbound_messages("alice", 5).await.unwrap_err();
    assert_eq!(refused.cause().code(), Code::CLOCK);
    assert_eq!(f.db.outbound_messages("alice", 5).await.unwrap().len(), 1);
}

#[tokio::test]
async fn no_more_is_handed_out_than_an_answer_can_carry_and_the_rest_the_next_time() {
    let f = Fixture::new().await;
    for _ in 0..10 {
        f.db.outbound_enqueue(Some("alice"), "\u{1}".repeat(20_000)).await.unwrap();
    }
    let mut handed = Vec::new();
    loop {
        let some = f.db.outbound_messages("alice", 50).await.unwrap();
        if some.is_empty() {
            break;
        }
        assert!(serde_json::to_vec(&some).unwrap().len() < 1_000_000);
        handed.extend(some.iter().map(|message| message.id));
    }
    assert_eq!(handed.len(), 10);
    assert!(handed.is_sorted());
}

#[tokio::test]
async fn a_failure_told_by_a_slow_clock_counts_once() {
    let f = Fixture::new().await;
    let id = f.db.outbound_enqueue(Some("alice"), "hi").await.unwrap();
    let slow = || f.db.at(eitherway::clock::now() - 5_000);
    assert_eq!(slow().outbound_messages("alice", 5).await.unwrap().len(), 1);
    slow().outbound_mark_failed(id, "no such user", false).await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM outbound_messages WHERE lease_id IS NOT NULL")
        .fetch_one(f.service.readers().unwrap())
        .await
        .unwrap();
    assert_eq!(left, 0, "the report ended the lease");
}
