//! The service on a stream: what is acknowledged when it is stored, who may acknowledge at all, and what becomes of
//! what is stored.

use std::time::Duration;

use crate::support::*;
use async_nats::jetstream;
use eitherway::nats::Mode;
use eitherway::operation::Kind;
use eitherway::service::{JetStream, ServeError, ServiceOptions};
use eitherway::stack::{NO_PATH, StackBuilder, boxed};
use eitherway::{Ack, Code, Db, Head, Request, Via};
use eitherway_layers::{Class, Classify};
use futures_util::future::join_all;
use rosey::op::{GetChannelStats, MessageLog, Op, UserJoined, UserLeft};

fn joined(username: &str) -> UserJoined {
    UserJoined { username: username.to_owned() }
}

// What is acknowledged, and by whom.

#[tokio::test]
async fn an_event_is_acknowledged_when_it_is_stored_and_the_rest_when_it_is_committed() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    let db = nats_only(&nats);
    let stored = db.call(joined("alice")).await.unwrap();
    assert_eq!((stored.via, stored.ack), (Via::NATS, Ack::Stored));
    let enqueued =
        db.call(rosey::op::OutboundEnqueue { username: None, content: "hi".into() }).await.unwrap();
    assert_eq!((enqueued.via, enqueued.ack), (Via::NATS, Ack::Committed));
    let read = db.call(GetChannelStats {}).await.unwrap();
    assert_eq!((read.via, read.ack), (Via::NATS, Ack::Committed));
    nats.applied(LIMIT).await.unwrap();
    assert_eq!(w.file.number("SELECT count(*) FROM presence WHERE username = 'alice'").await, 1);
    w.emptied().await;
    let served = service.stop().await;
    assert_eq!((served.refused, served.failed, served.returned, served.lost), (0, 0, 0, 0), "{served:?}");
}

/// Holds the database up until the service has been asked twice whether all is applied: once it has had to say no.
async fn held_up(w: &Durable) -> impl Future<Output = ()> + use<> {
    let mut asked = Peer::connect(&w.server).await.listen("rosey.db.applied").await;
    let held = w.file.hold().await;
    async move {
        for _ in 0..2 {
            next(&mut asked).await;
        }
        held.release().await;
    }
}

#[tokio::test]
async fn after_the_barrier_everybody_reads_what_was_written() {
    let w = Durable::new().await;
    let _service = w.serve().await;
    let nats = w.client().await;
    let db = nats_only(&nats);
    for round in 1..=3 {
        let release = tokio::spawn(held_up(&w).await);
        let lines = (0..50).map(|n| db.message_log("alice", format!("line {round} {n}")));
        join_all(lines).await.into_iter().for_each(|sent| sent.unwrap());
        nats.applied(LIMIT).await.unwrap();
        assert_eq!(w.file.number("SELECT count(*) FROM recent_chat").await, round * 50);
        release.await.unwrap();
    }
    // A client that has written nothing itself.
    let peer = Peer::connect(&w.server).await;
    let release = tokio::spawn(held_up(&w).await);
    for n in 0..50 {
        peer.publish("rosey.db.user.joined", format!(r#"{{"username":"user{n}"}}"#)).await;
    }
    peer.settle().await;
    w.client().await.all_applied(LIMIT).await.unwrap();
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, 50);
    release.await.unwrap();
}

#[tokio::test]
async fn the_barrier_says_so_when_what_is_stored_is_not_applied() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    service.stop().await;
    nats_only(&nats).call(joined("alice")).await.unwrap();
    let error = nats.applied(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.code(), Code::UNANSWERED);
    let _service = w.serve().await;
    nats.applied(LIMIT).await.unwrap();
    assert_eq!(w.file.applied().await, 1);
}

#[tokio::test]
async fn behind_a_living_stream_the_service_may_be_gone_and_events_are_kept_until_it_returns() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    let db = stack(&nats, &w.file).await;
    service.stop().await;
    for n in 0..100 {
        let reply = db.call(joined(&format!("user{n}"))).await.unwrap();
        assert_eq!((reply.via, reply.ack), (Via::NATS, Ack::Stored));
    }
    // Calls and queries have no service, and fall back.
    assert_eq!(db.call(GetChannelStats {}).await.unwrap().via, Via::DB);
    assert_eq!(w.file.applied().await, 0);
    assert_eq!(w.stored().await, Some(100));
    let _service = w.serve().await;
    w.emptied().await;
    assert_exactly_once(&w.file, 100).await;
}

#[tokio::test]
async fn a_client_that_starts_while_only_the_stream_is_there_recognises_it() {
    let w = Durable::new().await;
    w.serve().await.stop().await;
    let nats = nats(&w.server).await;
    tokio::time::timeout(LIMIT, nats.takes(Kind::Event)).await.expect("the stream is recognised");
    let db = stack(&nats, &w.file).await;
    let reply = db.call(joined("alice")).await.unwrap();
    assert_eq!((reply.via, reply.ack), (Via::NATS, Ack::Stored));
    assert_eq!(db.call(GetChannelStats {}).await.unwrap().via, Via::DB);
}

#[tokio::test]
async fn a_stream_that_is_not_ours_is_never_taken_for_ours() {
    let w = Durable::new().await;
    let context = w.context().await;
    // Under our name and over our subjects, with a consumer; only the mark is missing.
    declare(&context, "ROSEY", "rosey.db.user.>").await;
    let config =
        jetstream::consumer::pull::Config { durable_name: Some("writer".into()), ..Default::default() };
    context.create_consumer_on_stream(config, "ROSEY").await.unwrap();
    let nats = nats(&w.server).await;
    let db = stack(&nats, &w.file).await;
    wait_until("connected", || async { nats.status().borrow().connected }).await;
    for n in 0..30 {
        let reply = db.call(joined(&format!("user{n}"))).await.unwrap();
        assert_eq!((reply.via, reply.ack), (Via::DB, Ack::Committed));
        tokio::time::sleep(Duration::from_millis(10)).await; // the health looks meanwhile
    }
    assert_eq!(nats.status().borrow().stream, None);
    assert_eq!(w.stored().await, Some(0));
}

#[tokio::test]
async fn the_stream_of_another_database_takes_nothing_of_ours() {
    let w = Durable::new().await;
    w.serve().await.stop().await;
    let other = DbFile::new();
    let nats = nats(&w.server).await;
    let direct = direct(&other, &nats).await;
    tokio::time::timeout(LIMIT, nats.takes(Kind::Event)).await.expect("the stream is recognised");
    wait_until("the other database is noticed", || async {
        let db = Db::new(boxed(StackBuilder::new().over(NO_PATH, direct.clone(), NO_PATH).stack));
        db.call(GetChannelStats {}).await.is_err()
    })
    .await;
    let refused =
        DbService::try_start(&w.server, &other, ServiceOptions::default()).await.map(drop).unwrap_err();
    assert!(matches!(&refused, ServeError::NotOurStream { stream, .. } if stream == "ROSEY"), "{refused}");
}

#[tokio::test]
async fn an_orphan_that_answers_for_a_deleted_stream_of_ours_acknowledges_nothing() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    let stack = StackBuilder::new().nats_timeout(Duration::from_millis(500));
    let db = Db::new(boxed(stack.over(Some(nats.clone()), direct(&w.file, &nats).await, NO_PATH).stack));
    service.stop().await;
    let context = w.context().await;
    context.delete_stream("ROSEY").await.unwrap();
    declare(&context, "ORPHAN", "rosey.db.>").await;
    for n in 0..20 {
        let reply = db.call(joined(&format!("user{n}"))).await.unwrap();
        assert_eq!((reply.via, reply.ack), (Via::DB, Ack::Committed), "{n}");
    }
    let orphan = context.get_stream("ORPHAN").await.unwrap();
    // What asks who is there may lie in it; an event of ours may not.
    let subjects = orphan.info_with_subjects("rosey.db.user.*").await.unwrap();
    assert_eq!(
        futures_util::StreamExt::count(subjects).await,
        0,
        "it has refused what expects another stream"
    );
}

#[tokio::test]
async fn an_id_that_is_sent_twice_is_stored_and_applied_once() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    let (over_nats, over_db) = (nats_only(&nats), db_only(&w.file).await);
    let request = Request::<Op>::new(joined("alice"));
    for _ in 0..3 {
        assert_eq!(over_nats.send(request.clone()).await.unwrap().ack, Ack::Stored);
        assert_eq!(over_db.send(request.clone()).await.unwrap().ack, Ack::Committed);
    }
    nats.applied(LIMIT).await.unwrap();
    assert_eq!((w.file.applied().await, w.file.number("SELECT count(*) FROM presence").await), (1, 1));
    assert_eq!(service.stop().await.taken, 1, "the stream knows an id for two minutes");
}

#[tokio::test]
async fn an_id_that_comes_with_something_else_is_refused_and_kept_for_a_person() {
    let w = Durable::new().await;
    let _service = w.serve().await;
    let nats = w.client().await;
    let head = Head::now();
    db_only(&w.file).await.with(head.clone()).user_joined("alice").await.unwrap();
    nats_only(&nats).with(head).user_joined("mallory").await.unwrap();
    nats.applied(LIMIT).await.unwrap();
    assert_eq!(w.file.texts("SELECT code FROM dead_letters").await, ["id_reused"]);
    assert_eq!(w.file.texts("SELECT username FROM presence").await, ["alice"]);
}

// What the stream refuses.

#[tokio::test]
async fn what_a_full_stream_refuses_goes_to_the_database() {
    let w = Durable::new().await;
    let options = on().stream_max_bytes(Some(4096));
    w.try_serve(options).await.unwrap().stop().await;
    let nats = nats(&w.server).await;
    tokio::time::timeout(LIMIT, nats.takes(Kind::Event)).await.expect("the stream is recognised");
    let db = stack(&nats, &w.file).await;
    let mut by = [0_u64; 2];
    for n in 0..100 {
        let reply = db.call(joined(&format!("user{n}"))).await.unwrap();
        by[usize::from(reply.via == Via::DB)] += 1;
    }
    assert!(by[0] > 0 && by[1] > 0, "{by:?}");
    let refused = nats_only(&nats).call(joined("zoe")).await.unwrap_err();
    assert_eq!((refused.class(), refused.cause().code()), (Class::NotSent, Code::UNAVAILABLE), "{refused}");
    let service = w.try_serve(on().stream_max_bytes(Some(4096))).await.unwrap();
    w.emptied().await;
    assert_exactly_once(&w.file, 100).await;
    service.stop().await;
}

#[tokio::test]
async fn what_is_larger_than_the_stream_takes_goes_to_the_database() {
    let w = Durable::new().await;
    let service = w.serve().await;
    let nats = w.client().await;
    // A service that runs puts the size right.
    service.stop().await;
    let context = w.context().await;
    let mut config = context.get_stream("ROSEY").await.unwrap().cached_info().config.clone();
    config.max_message_size = 1024;
    context.update_stream(config).await.unwrap();
    let line = || MessageLog { username: "alice".into(), message: "x".repeat(4000) };
    let error = nats_only(&nats).call(line()).await.unwrap_err();
    assert_eq!((error.class(), error.cause().code()), (Class::TooLarge, Code::TOO_LARGE), "{error}");
    let db = stack(&nats, &w.file).await;
    assert_eq!(db.call(line()).await.unwrap().via, Via::DB);
    assert_eq!(db.call(joined("alice")).await.unwrap().ack, Ack::Stored);
}

#[tokio::test]
async fn a_stream_that_is_deleted_is_declared_again_and_meanwhile_the_database_serves() {
    let w = Durable::new().await;
    let _service = w.serve().await;
    let nats = w.client().await;
    let db = stack(&nats, &w.file).await;
    for n in 0..50 {
        assert_eq!(db.call(joined(&format!("before{n}"))).await.unwrap().ack, Ack::Stored);
    }
    nats.applied(LIMIT).await.unwrap();
    w.context().await.delete_stream("ROSEY").await.unwrap();
    let mut sent = 50;
    let mut by_database = 0;
    wait_until("stored again", || {
        sent += 1;
        let (db, name) = (db.clone(), format!("after{sent}"));
        let call = async move { db.call(joined(&name)).await.unwrap().ack };
        async move { call.await == Ack::Stored }
    })
    .await;
    nats.applied(LIMIT).await.unwrap();
    by_database += w.file.applied().await;
    assert_eq!(by_database, sent, "the new stream counts from 1, and nobody waits for an old number");
    assert_exactly_once(&w.file, sent).await;
}

// What is in the stream.

#[tokio::test]
async fn plain_publishes_are_kept_and_timed_by_the_moment_they_were_stored() {
    let w = Durable::new().await;
    w.serve().await.stop().await;
    let peer = Peer::connect(&w.server).await;
    let before = eitherway::clock::now();
    for n in 0..20 {
        peer.publish("rosey.db.message.log", format!(r#"{{"username":"python","message":"{n}"}}"#)).await;
    }
    peer.settle().await;
    let after = eitherway::clock::now();
    let _service = w.serve().await;
    w.emptied().await;
    let at = |f| format!("SELECT {f}(at) FROM recent_chat").leak() as &'static str;
    let (first, last) = (w.file.number(at("min")).await, w.file.number(at("max")).await);
    assert!(before <= first && last <= after, "{before} {first} {last} {after}");
    let lines = w.file.texts("SELECT message FROM recent_chat ORDER BY at, op_id").await;
    assert_eq!(lines.len(), 20);
}

#[tokio::test]
async fn a_peer_that_asks_for_an_answer_to_an_event_gets_the_streams_and_one_effect() {
    let w = Durable::new().await;
    let _service = w.serve().await;
    let peer = Peer::connect(&w.server).await;
    let answer = peer.request("rosey.db.user.joined", r#"{"username":"python"}"#).await;
    assert_eq!((answer.json()["stream"].as_str(), answer.json()["seq"].as_u64()), (Some("ROSEY"), Some(1)));
    let chat = peer.request("rosey.db.stats.recent_chat.get", "{}").await;
    assert_eq!((chat.header("Eitherway-Reply"), chat.body.as_str()), (Some("1"), "[]"));
    w.emptied().await;
    assert_eq!(w.file.number("SELECT count(*) FROM presence").await, 1);
}

/// What the Python bot sends, as its specification has it and as it really does.
const PYTHON: [(&str, &str); 13] = [
    ("user.joined", r#"{"username": "alice", "timestamp": 1700000000}"#),
    ("user.joined", r#"{"username": "bob"}"#),
    ("user.left", r#"{"username": "alice", "timestamp": 1700000060}"#),
    ("user.left", r#"{"username": "nobody"}"#),
    ("message.log", r#"{"username": "alice", "message": "gr\u00fc\u00df dich", "timestamp": 1700000030}"#),
    ("message.log", r#"{"username": "bob", "message": "hi"}"#),
    ("stats.user_count", r#"{"chat_count": 5, "connected_count": 7, "timestamp": 1700000000}"#),
    ("stats.user_count", r#"{"chat_count": 6, "connected_count": 6}"#),
    ("stats.high_water", r#"{"chat_count": 9, "connected_count": 12, "timestamp": 1700000000}"#),
    ("stats.high_water", r#"{"chat_count": 4, "connected_count": 0}"#),
    ("status.update", r#"{"status": "online", "details": "connected", "timestamp": 1700000000}"#),
    (
        "status.update",
        r#"{"status_data": {"bot_name": "Rosey", "bot_rank": 2.5, "bot_afk": 0, "channel_name": "room",
            "current_chat_users": 3, "current_connected_users": 4, "bot_start_time": 1700000000, "bot_connected": 1,
            "playlist_items": 12, "current_media_title": "a film", "current_media_duration": 5400}}"#,
    ),
    (
        "action.pm_command",
        r#"{"timestamp": 1700000000.5, "username": "alice", "command": "say", "args": "x", "result": "pending", "error": null}"#,
    ),
];

/// The Python bot beside ours, on one service.
async fn serves_the_python_bot(options: ServiceOptions) {
    let w = Durable::new().await;
    let service = w.try_serve(options).await.unwrap();
    let nats = w.client().await;
    let ours = nats_only(&nats);
    let peer = Peer::connect(&w.server).await;
    let id = ours.outbound_enqueue(None, "to the channel").await.unwrap();
    for (subject, payload) in PYTHON {
        peer.publish(&format!("rosey.db.{subject}"), payload).await;
        ours.message_log("rust", format!("beside {payload}")).await.unwrap();
    }
    let polled =
        peer.request("rosey.db.messages.outbound.get", r#"{"limit": 20, "max_retries": 3}"#).await.json();
    assert_eq!((&polled[0]["id"], &polled[0]["message"]), (&id.into(), &"to the channel".into()));
    for payload in
        [format!(r#"{{"message_id": {id}}}"#), format!(r#"{{"message_id": {id}, "timestamp": 1700000000}}"#)]
    {
        peer.publish("rosey.db.messages.outbound.mark_sent", payload).await;
    }
    peer.settle().await;
    wait_until("all of it is applied", || async {
        w.file.applied().await >= u64::try_from(2 * PYTHON.len() + 4).unwrap()
    })
    .await;
    let recent = peer.request("rosey.db.stats.recent_chat.get", r#"{"limit": 50}"#).await.json();
    let said = |name: &str| recent.as_array().unwrap().iter().filter(|line| line["username"] == name).count();
    assert_eq!((said("alice"), said("bob"), said("rust")), (1, 1, PYTHON.len()));
    let stats = peer.request("rosey.db.query.user_stats", r#"{"username": "alice"}"#).await.json();
    assert_eq!((&stats["total_time_connected"], &stats["total_chat_lines"]), (&60.into(), &1.into()));
    let channel = peer.request("rosey.db.query.channel_stats", "").await.json();
    assert_eq!((&channel["high_water_mark"]["users"], &channel["success"]), (&9.into(), &true.into()));
    assert_eq!(
        w.file
            .texts("SELECT status || ' ' || bot_name || ' ' || current_media_title FROM current_status")
            .await,
        ["online Rosey a film"]
    );
    assert_eq!(w.file.number("SELECT count(*) FROM user_count_history").await, 2);
    assert_eq!(w.file.number("SELECT count(*) FROM user_actions").await, 1);
    assert_eq!(w.file.number("SELECT sent FROM outbound_messages").await, 1);
    assert_eq!(w.file.buried().await, 0);
    let served = service.stop().await;
    assert_eq!((served.refused, served.lost, served.failed), (0, 0, 0), "{served:?}");
}

#[tokio::test]
async fn the_python_bot_is_served_beside_ours_from_a_stream() {
    serves_the_python_bot(on()).await;
}

#[tokio::test]
async fn the_python_bot_is_served_beside_ours_without_a_stream() {
    serves_the_python_bot(off()).await;
}

// Who may serve.

#[tokio::test]
async fn settings_by_which_a_stream_would_throw_away_what_it_acknowledged_are_put_right() {
    let w = Durable::new().await;
    w.serve().await.stop().await;
    let context = w.context().await;
    let config = || async { context.get_stream("ROSEY").await.unwrap().cached_info().config.clone() };
    let ours = config().await;
    let wrong = jetstream::stream::Config {
        discard: jetstream::stream::DiscardPolicy::Old,
        max_messages: 3,
        max_message_size: 1000,
        duplicate_window: Duration::from_secs(1),
        max_age: Duration::from_secs(1),
        ..ours.clone()
    };
    context.update_stream(wrong).await.unwrap();
    let service = w.serve().await;
    let now = config().await;
    let told = |c: &jetstream::stream::Config| {
        (c.discard, c.max_messages, c.max_message_size, c.duplicate_window, c.max_age)
    };
    assert_eq!(told(&now), told(&ours));
    service.stop().await;
}

#[tokio::test]
async fn whoever_may_not_use_jetstream_is_served_without() {
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

// The end.

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

// Without a stream again.

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
                    peer.settle().await;
                    // No faster than a service takes them: what is too much for it is lost without a stream, always.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            peer.settle().await;
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
