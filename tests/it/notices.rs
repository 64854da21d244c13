//! What the service tells of itself and of what comes in its way: a stream over its subjects, JetStream where there was
//! none, the last failure of an operation.

use crate::support::*;
use async_nats::jetstream;
use async_nats::jetstream::stream::RetentionPolicy::{Limits, WorkQueue};
use eitherway::__private::stored;
use eitherway::service::{JetStream, ServiceOptions};
use eitherway::{Ack, Via};
use rosey::op::{OutboundEnqueue, UserJoined};

/// What the service says is in the way, and how much there has been so far.
async fn notices(peer: &Peer) -> (Vec<String>, u64) {
    let said = peer.request("rosey.db.ping", "").await.json();
    let now = said["notices"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned());
    (now.collect(), said["noticed"].as_u64().unwrap())
}

async fn noticed(peer: &Peer, word: &str) -> Vec<String> {
    wait_until(word, || async { notices(peer).await.0.iter().any(|notice| notice.contains(word)) }).await;
    notices(peer).await.0
}

async fn declare(context: &jetstream::Context, name: &str, subject: &str, description: Option<String>) {
    let config = jetstream::stream::Config {
        name: name.to_owned(),
        subjects: vec![subject.to_owned()],
        // One that is marked as ours is as ours is.
        retention: if description.is_some() { WorkQueue } else { Limits },
        description,
        ..Default::default()
    };
    context.create_stream(config).await.unwrap();
    let config =
        jetstream::consumer::pull::Config { durable_name: Some("writer".into()), ..Default::default() };
    context.create_consumer_on_stream(config, name).await.unwrap();
}

/// Whatever else answers, an event is settled by the service alone, after its commit.
async fn committed(db: &Over, file: &DbFile, name: &str) {
    for n in 0..20 {
        let reply = db.call(UserJoined { username: format!("{name}{n}") }).await.unwrap();
        assert_eq!((reply.via, reply.ack), (Via::NATS, Ack::Committed), "{name}{n}");
    }
    let presence = file.texts("SELECT username FROM presence").await;
    assert_eq!(presence.iter().filter(|user| user.starts_with(name)).count(), 20);
}

#[tokio::test]
async fn a_server_that_offers_jetstream_later_is_noticed_and_changes_nothing_until_the_service_is_restarted()
{
    let (mut server, file, store) = (NatsServer::start().await, DbFile::new(), tempfile::tempdir().unwrap());
    let service = DbService::start(&server, &file).await;
    let nats = nats(&server).await;
    server.will_offer_jetstream(store.path());
    for _ in 0..3 {
        server.restart().await;
        let peer = Peer::connect(&server).await;
        wait_until("the service is back", || async { notices_or_nothing(&peer).await }).await;
        let now = noticed(&peer, "offers JetStream").await;
        assert!(now.len() == 1 && now[0].contains("Restart it"), "{now:?}");
        assert_eq!(notices(&peer).await.1, 1, "named once");
    }
    nats.takes(eitherway::operation::Kind::Event).await;
    committed(&nats_only(&nats), &file, "user").await;
    service.stop().await;
    let service = DbService::start(&server, &file).await;
    let peer = Peer::connect(&server).await;
    let word = peer.request("rosey.db.ping", "").await.json();
    assert_eq!((word["mode"].as_str(), word["noticed"].as_u64()), (Some("jetstream"), Some(0)), "{word}");
    service.stop().await;
}

/// Whether a service answers at all.
async fn notices_or_nothing(peer: &Peer) -> bool {
    let answer = peer.client.request("rosey.db.ping", "".into()).await;
    answer.is_ok_and(|answer| !answer.payload.is_empty())
}

#[tokio::test]
async fn a_foreign_stream_that_comes_later_is_named_once_and_settles_nothing_until_it_is_gone() {
    for jetstream in [JetStream::Off, JetStream::On] {
        let w = Durable::new().await;
        let options = ServiceOptions::default().jetstream(jetstream);
        let service = w.try_serve(options).await.unwrap();
        let (nats, peer, context) = (w.client().await, Peer::connect(&w.server).await, w.context().await);
        assert_eq!(notices(&peer).await, (vec![], 0));
        // Of events where it can: a second stream over what the first one stores, no server declares.
        let subject = if jetstream == JetStream::On { "rosey.db.query.>" } else { "rosey.db.user.>" };
        declare(&context, "FOREIGN", subject, None).await;
        let now = noticed(&peer, "\"FOREIGN\"").await;
        assert!(now.len() == 1 && now[0].contains("nats stream rm FOREIGN"), "{now:?}");
        let db = nats_only(&nats);
        let mut joined = 0;
        if jetstream == JetStream::Off {
            committed(&db, &w.file, "user").await;
            joined = 20;
        }
        assert_eq!(db.open_sessions().await.unwrap().len(), joined, "a question is answered by the service");
        let answer = peer.request("$SRV.PING", "").await.json();
        assert!(answer["metadata"]["notices"].as_str().unwrap().contains("FOREIGN"), "{answer}");
        context.delete_stream("FOREIGN").await.unwrap();
        wait_until("it is gone", || async { notices(&peer).await == (vec![], 1) }).await;
        service.stop().await;
    }
}

#[tokio::test]
async fn a_stream_of_ours_beside_a_service_without_one_is_named_and_settles_nothing() {
    let w = Durable::new().await;
    let service = w.try_serve(off()).await.unwrap();
    let (nats, peer, context) = (w.client().await, Peer::connect(&w.server).await, w.context().await);
    // As it looks when it is restored from a backup: name, mark, consumer.
    let stream_tag = stored::stream_tag("rosey.db", service.sqlx.database());
    declare(&context, "ROSEY", "rosey.db.user.>", Some(stream_tag)).await;
    let now = noticed(&peer, "\"ROSEY\"").await;
    assert!(now.len() == 1 && now[0].contains("the option `jetstream off`"), "{now:?}");
    committed(&nats_only(&nats), &w.file, "user").await;
    service.stop().await;
    // And the advice is right.
    let service = w.try_serve(off()).await.unwrap();
    wait_until("the stream is deleted", || async { w.stored().await.is_none() }).await;
    service.stop().await;
    assert_exactly_once(&w.file, 20).await;
}

#[tokio::test]
async fn the_last_failure_of_each_operation_is_in_the_statistics() {
    for options in [on(), off()] {
        let w = Durable::new().await;
        let service = w.try_serve(options).await.unwrap();
        let (nats, peer) = (w.client().await, Peer::connect(&w.server).await);
        let last = async |name: &str| {
            let said = peer.request("$SRV.STATS", "").await.json();
            let endpoint = said["endpoints"].as_array().unwrap().iter().find(|one| one["name"] == name);
            endpoint.unwrap()["last_error"].as_str().unwrap().to_owned()
        };
        assert_eq!(last("user_joined").await, "");
        peer.request("rosey.db.user.joined", "garbage").await;
        peer.request("rosey.db.query.user_stats", "[]").await;
        wait_until("it is refused", || async { last("user_joined").await.starts_with("400:") }).await;
        assert!(last("user_stats").await.starts_with("400:"));
        let held = w.file.hold().await;
        let call = OutboundEnqueue { username: None, content: "x".into() };
        nats_only(&nats).call(call).await.unwrap_err();
        wait_until("the database is said to be locked", || async {
            last("outbound_enqueue").await.starts_with("520:")
        })
        .await;
        held.release().await;
        assert_eq!(last("channel_stats").await, "");
        service.stop().await;
    }
}
