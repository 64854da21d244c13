//! A service that stops, and a stream that is turned off.

use super::*;

#[tokio::test]
async fn a_service_that_stops_under_load_leaves_the_rest_to_the_next_one_at_once() {
    let w = Durable::new().await;
    // A message that waits for the stream's patience waits for half an hour.
    let options = || on().ack_wait(Duration::from_secs(1800));
    let service = w.try_serve(options()).await.unwrap();
    let nats = w.client().await;
    let db = nats_only(&nats);
    let calls = join_all((0..3000).map(|n| {
        let (db, name) = (db.clone(), format!("user{n}"));
        tokio::spawn(async move { db.call(joined(&name)).await.is_ok_and(|reply| reply.ack == Ack::Stored) })
    }));
    let stop = async {
        wait_until("some are applied", || async { w.file.applied().await >= 300 }).await;
        service.stop().await
    };
    let (calls, served) = tokio::join!(calls, stop);
    let stored = u64::try_from(calls.into_iter().filter(|call| *call.as_ref().unwrap()).count()).unwrap();
    assert_eq!((served.failed, served.lost, served.refused), (0, 0, 0), "{served:?}");
    assert_eq!(served.taken, served.done + served.returned, "{served:?}");
    let second = w.try_serve(options()).await.unwrap();
    w.emptied().await;
    assert!(w.file.applied().await >= stored);
    assert_exactly_once(&w.file, w.file.applied().await).await;
    second.stop().await;
}

#[tokio::test]
async fn turning_the_stream_off_applies_what_it_holds_and_deletes_it() {
    let w = Durable::new().await;
    w.serve().await.stop().await;
    let nats = nats(&w.server).await;
    tokio::time::timeout(LIMIT, nats.takes(Kind::Event)).await.unwrap();
    let db = stack(&nats, &w.file).await;
    for n in 0..500 {
        assert_eq!(db.call(joined(&format!("user{n}"))).await.unwrap().ack, Ack::Stored);
    }
    let mut load = Load::start(&db, 8);
    let service = w.try_serve(off()).await.unwrap();
    wait_until("the stream is deleted", || async { w.stored().await.is_none() }).await;
    load.served_by_nats(200).await;
    let sent = load.all_served().await;
    assert_exactly_once(&w.file, sent + 500).await;
    let reply = db.call(UserLeft { username: "user1".into() }).await.unwrap();
    assert_eq!((reply.via, reply.ack), (Via::NATS, Ack::Committed));
    let served = service.stop().await;
    assert_eq!((served.refused, served.lost), (0, 0), "{served:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_publishes_while_the_stream_is_turned_off_are_neither_lost_nor_doubled() {
    let w = Durable::new().await;
    for round in 0..5 {
        w.serve().await.stop().await;
        let peer = Peer::connect(&w.server).await;
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = std::sync::Arc::clone(&stop);
        let publishing = tokio::spawn(async move {
            let mut published = 0;
            while !stopped.load(std::sync::atomic::Ordering::Acquire) {
                let line = format!(r#"{{"username":"python{round}","message":"line {published}"}}"#);
                peer.publish("rosey.db.message.log", line).await;
                published += 1;
                if published % 4 == 0 {
                    peer.flush().await;
                    // No faster than a service takes them: what is too much for it is lost without a stream, always.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            peer.flush().await;
            published
        });
        let service = w.try_serve(off()).await.unwrap();
        wait_until("the stream is deleted", || async { w.stored().await.is_none() }).await;
        stop.store(true, std::sync::atomic::Ordering::Release);
        let published: i64 = publishing.await.unwrap();
        let served = service.stop().await;
        assert_eq!((served.refused, served.lost), (0, 0), "{served:?}");
        let count = format!("SELECT count(*) FROM recent_chat WHERE username = 'python{round}'");
        assert_eq!(w.file.number(count.leak()).await, published, "round {round}");
    }
}
