//! Which stream a service starts over, and with which settings.

use super::*;

#[tokio::test]
async fn a_service_without_the_right_to_jetstream_serves_without_a_stream() {
    let config = r#"
        jetstream { store_dir: "STORE" }
        authorization { users = [{ user: bot, password: bot, permissions: { publish: { deny: "$JS.>" } } }] }"#;
    let store = tempfile::tempdir().unwrap();
    let config = config.replace("STORE", &store.path().display().to_string());
    let (server, file) = (NatsServer::with_config(&config).await, DbFile::new());
    let url = server.url().replace("nats://", "nats://bot:bot@");
    let service = DbService::try_start_at(&url, &file, ServiceOptions::default()).await.unwrap();
    let nats =
        eitherway::nats::NatsService::<Op>::connect(eitherway::nats::NatsOptions::new(url)).await.unwrap();
    tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
    let reply = nats_only(&nats).call(joined("alice")).await.unwrap();
    assert_eq!((reply.via, reply.ack), (Via::NATS, Ack::Committed));
    service.stop().await;
}

#[tokio::test]
async fn a_service_refuses_to_start_over_a_foreign_stream_in_every_mode_and_names_it() {
    let w = Durable::new().await;
    declare(&w.context().await, "FOREIGN", "rosey.db.user.>").await;
    for jetstream in [JetStream::Auto, JetStream::On, JetStream::Off] {
        let options = ServiceOptions::default().jetstream(jetstream);
        let refused = w.try_serve(options).await.map(drop).unwrap_err();
        assert!(
            matches!(&refused, ServeError::ForeignStream { stream, subject }
                if stream == "FOREIGN" && subject.starts_with("rosey.db.user.")),
            "{jetstream:?}: {refused}"
        );
    }
    assert_eq!(w.stored().await, None);
}

#[tokio::test]
async fn without_jetstream_auto_goes_without_and_on_says_what_is_missing() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let refused = DbService::try_start(&server, &file, on()).await.map(drop).unwrap_err();
    assert!(
        matches!(&refused, ServeError::NoJetStream { .. }) && refused.to_string().contains("-js"),
        "{refused}"
    );
    let _service = DbService::start(&server, &file).await;
    let nats = recognised(&server).await;
    assert!(format!("{:?}", nats.status().borrow().service).contains(&format!("{:?}", Mode::Core)));
    let reply = nats_only(&nats).call(joined("alice")).await.unwrap();
    assert_eq!((reply.via, reply.ack), (Via::NATS, Ack::Committed));
    nats.applied(LIMIT).await.unwrap();
}

#[tokio::test]
async fn instances_take_events_in_one_way() {
    let w = Durable::new().await;
    let with = w.serve().await;
    let refused = w.try_serve(off()).await.map(drop).unwrap_err();
    assert!(matches!(&refused, ServeError::OtherMode { mode: Mode::JetStream }), "{refused}");
    with.stop().await;
    let without = w.try_serve(off()).await.unwrap();
    wait_until("the stream is deleted", || async { w.stored().await.is_none() }).await;
    let refused = w.try_serve(on()).await.map(drop).unwrap_err();
    assert!(matches!(&refused, ServeError::OtherMode { mode: Mode::Core }), "{refused}");
    // Who has no opinion does what the others do.
    w.try_serve(ServiceOptions::default()).await.unwrap().stop().await;
    assert_eq!(w.stored().await, None);
    without.stop().await;
}
