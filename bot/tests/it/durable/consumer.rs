//! A consumer that delivers nothing any more, or again and again.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_acknowledged_is_delivered_again_and_has_no_second_effect() {
    let store = tempfile::tempdir().unwrap();
    let config = format!(
        r#"jetstream {{ store_dir: {:?} }}
        authorization {{ users: [
            {{ user: service, password: x, permissions: {{ publish: {{ deny: "$JS.ACK.>" }} }} }}
            {{ user: peer, password: x }}
        ] }}
        no_auth_user: peer"#,
        store.path().display()
    );
    let (server, file) = (NatsServer::with_config(&config).await, DbFile::new());
    let service = eitherway::nats::NatsOptions::new(server.url().replace("//", "//service:x@"));
    let (ready, is_ready) = tokio::sync::oneshot::channel();
    let options = on().ack_wait(Duration::from_millis(200));
    tokio::spawn(eitherway::service::serve(
        service,
        file.open().await,
        options,
        || ready.send(()).unwrap(),
        std::future::pending(),
    ));
    tokio::time::timeout(LIMIT, is_ready).await.expect("the service starts").unwrap();
    let peer = Peer::connect(&server).await;
    for n in 0..50 {
        // One in two brings no id.
        let line = format!(r#"{{"username":"python","message":"{n}"}}"#);
        if n % 2 == 0 {
            peer.request("rosey.db.message.log", line).await;
        } else {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", format!("id-{n}"));
            peer.request_with("rosey.db.message.log", headers, line).await;
        }
    }
    peer.request("rosey.db.message.log", "garbage").await;
    let consumer = || async {
        let context = async_nats::jetstream::new(peer.client.clone());
        let consumer: async_nats::jetstream::consumer::PullConsumer =
            context.get_consumer_from_stream("writer", "ROSEY").await.unwrap();
        consumer.cached_info().clone()
    };
    // Six times each, and so alone in the end.
    wait_until("everything was delivered again and again", || async {
        consumer().await.delivered.consumer_sequence >= 6 * 51
    })
    .await;
    assert_eq!(file.number("SELECT count(*) FROM recent_chat").await, 50);
    assert_eq!((file.applied().await, file.dead_letters().await), (50, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_delivered_for_the_fifth_time_is_tried_with_nothing_beside_it() {
    let w = Durable::new().await;
    // Only a word brings it back, never the stream's patience.
    let options = || on().ack_wait(Duration::from_secs(1800));
    w.try_serve(options()).await.unwrap().stop().await;
    let peer = Peer::connect(&w.server).await;
    let line = async |id: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", id);
        let payload = format!(r#"{{"username":"alice","message":"{id}"}}"#);
        peer.request_with("rosey.db.message.log", headers, payload).await;
    };
    line("suspect").await;
    let consumer = w.consumer().await;
    let fetch = async || {
        let mut fetched = consumer.fetch().max_messages(1).expires(LIMIT).messages().await.unwrap();
        futures_util::StreamExt::next(&mut fetched).await.expect("it comes again").unwrap()
    };
    let mut suspect = fetch().await;
    for _ in 0..3 {
        give_back(suspect).await;
        suspect = fetch().await;
    }
    let service = w.try_serve(options()).await.unwrap();
    let taken =
        || async { peer.request("$SRV.STATS", "").await.json()["endpoints"][2]["num_requests"].clone() };
    let delivered = || async { w.consumer().await.cached_info().delivered.consumer_sequence };
    // While no process can write, three hundred are begun, the suspect comes, and then the rest.
    let held = w.file.hold().await;
    for n in 0..300 {
        line(&format!("before {n}")).await;
    }
    wait_until("three hundred are begun", || async { taken().await == 300 }).await;
    let before = delivered().await;
    give_back(suspect).await;
    wait_until("the suspect is delivered", || async { delivered().await > before }).await;
    for n in 0..700 {
        line(&format!("after {n}")).await;
    }
    assert_eq!(taken().await, 300, "nothing else is begun while it waits for its turn");
    held.release().await;
    w.emptied().await;
    let row = "SELECT count(*) FROM ledger WHERE batch";
    let of =
        |what: &str| format!("{row} {what} (SELECT batch FROM ledger WHERE id = 'suspect')").leak() as &str;
    let order = (w.file.number(of("<")).await, w.file.number(of("=")).await, w.file.number(of(">")).await);
    assert_eq!(order, (300, 1, 700), "before, beside and after it");
    service.stop().await;
    assert_exactly_once(&w.file, 1001).await;
}

async fn give_back(message: async_nats::jetstream::Message) {
    message.ack_with(async_nats::jetstream::AckKind::Nak(None)).await.unwrap();
}
