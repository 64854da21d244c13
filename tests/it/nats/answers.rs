//! What counts as an answer.

use super::*;

#[tokio::test]
async fn an_answer_of_another_program_never_settles_a_call() {
    let server = NatsServer::start().await;
    let (file, peer, nats) = (DbFile::new(), Peer::connect(&server).await, nats(&server).await);
    let direct = file.open().await;
    let _ping = peer.pretend::<Op>(direct.database()).await;
    tokio::time::timeout(LIMIT, nats.recognised()).await.expect("recognised");
    let _event = peer.answer("rosey.db.user.joined", HeaderMap::new(), "{}").await;
    let _query = peer.answer("rosey.db.stats.recent_chat.get", HeaderMap::new(), "[]").await;
    let stack = StackBuilder::new()
        .nats_timeout(Duration::from_millis(400))
        .over(Some(nats.clone()), direct, NO_PATH)
        .stack;
    let db = Db::new(boxed(stack));
    assert_eq!(db.call(joined("alice")).await.unwrap().via, Via::DB);
    assert_eq!(db.call(RecentChat { limit: 5 }).await.unwrap().via, Via::DB);
    assert_eq!(nats.inbox().foreign, 2);
    assert_eq!(file.number("SELECT count(*) FROM presence").await, 1);
}

#[tokio::test]
async fn beside_an_answer_of_another_program_our_services_answer_is_the_one_that_counts() {
    let w = World::new().await;
    let peer = Peer::connect(&w.server).await;
    let _foreign = peer.answer("rosey.db.stats.recent_chat.get", HeaderMap::new(), r#"[{"wrong":1}]"#).await;
    let db = nats_only(&w.nats);
    db.message_log("alice", "hi").await.unwrap();
    for _ in 0..20 {
        assert_eq!(db.recent_chat(5).await.unwrap()[0].message, "hi");
    }
    wait_until("the foreign answers are counted", || async {
        let seen = w.nats.inbox();
        seen.foreign + seen.late >= 20
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_another_program_over_our_subjects_acknowledges_nothing_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let w = World::without_stream(NatsServer::with_jetstream(dir.path()).await).await;
    let peer = Peer::connect(&w.server).await;
    declare(&jetstream::new(peer.client.clone()), "FOREIGN", "rosey.>").await;
    let db = nats_only(&w.nats);
    for n in 0..20 {
        let reply = db.call(joined(&format!("user{n}"))).await.unwrap();
        assert_eq!((reply.via, reply.ack), (Via::NATS, Ack::Committed));
        assert_eq!(db.open_sessions().await.unwrap().len(), n + 1, "a query is not answered by the stream");
    }
    assert_eq!(w.file.applied().await, 20);
    let seen = w.nats.inbox();
    assert!(seen.foreign + seen.late >= 20, "the stream did answer: {seen:?}");
}
