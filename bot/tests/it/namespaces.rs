//! Namespaces: several bots, each with a service and a file of its own, in one account of one server.

pub(crate) mod crowd;
mod files;
mod folder;
mod idle;

use self::crowd::patient_client;
use crate::support::program::{dir_of, rosey as program, write};
use crate::support::*;
use async_nats::HeaderMap;
use eitherway::nats::{NatsOptions, NatsService, Recognition};
use eitherway::outbox::{OutboxError, OutboxOptions, OutboxService};
use eitherway::runtime::{BuildError, Runtime};
use eitherway::service::{ServeError, ServiceOptions};
use eitherway::{Class, Classify, Namespace, Via};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use rosey::op::{GetChannelStats, Op, UserJoined};

/// None, one, and one of two words. The first is the last word of none of the others, and no name covers another.
const NAMESPACES: [&str; 3] = ["", "lounge", "irc.den"];

fn namespace(name: &str) -> Namespace {
    if name.is_empty() { Namespace::none() } else { name.parse().unwrap() }
}

/// A client in a namespace.
async fn client(server: &NatsServer, name: &str) -> NatsService<Op> {
    NatsService::connect(NatsOptions::new(server.url()).namespace(namespace(name))).await.unwrap()
}

fn inside(name: &str, subject: &str) -> String {
    namespace(name).subject(subject)
}

/// What the service of a namespace says is in the way, now and so far.
async fn notices(peer: &Peer, name: &str) -> String {
    let said = peer.request(&inside(name, "rosey.db.ping"), "").await.json();
    format!("{} {}", said["notices"], said["noticed"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_of_a_namespace_send_lands_in_its_file_and_nowhere_else() {
    let declared = ["IRC--DEN_ROSEY", "LOUNGE_ROSEY", "ROSEY"];
    for (options, expected) in [(off(), &[][..]), (on(), &declared)] {
        let w = Durable::new().await;
        let peer = Peer::connect(&w.server).await;
        // Of each service: the questions to the others of its kind.
        let mut looks = Vec::new();
        let mut rooms = Vec::new();
        for (name, user) in NAMESPACES.into_iter().zip(["none", "lounge", "den"]) {
            looks.push(peer.listen(&inside(name, "rosey.db.who")).await);
            let file = DbFile::new();
            let options = options.clone().namespace(namespace(name));
            let service = DbService::try_start(&w.server, &file, options).await.unwrap();
            let nats = patient_client(&w.server, name).await;
            tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
            let load = Load::named(user, &nats_within(&nats, LIMIT), 8);
            rooms.push((name, user, file, service, nats, load));
        }
        for (name, look) in NAMESPACES.iter().zip(&mut looks) {
            // Every second one goes with questions on all subjects of queries, and to `$SRV`.
            for _ in 0..6 {
                next(look).await;
            }
            assert_eq!(notices(&peer, name).await, "[] 0", "{name:?} sees no neighbour");
        }
        for (name, user, file, service, nats, mut load) in rooms {
            load.served_by_nats(50).await;
            let sent = load.all_served().await;
            nats.all_applied(LIMIT).await.unwrap();
            assert_exactly_once(&file, sent).await;
            let users =
                file.texts("SELECT username FROM presence UNION SELECT username FROM recent_chat").await;
            assert!(users.iter().all(|u| u.starts_with(&format!("{user}-"))), "{name:?}: {users:?}");
            assert_eq!(nats.inbox().foreign, 0, "{name:?} is answered by its own");
            service.stop().await;
        }
        let context = w.context().await;
        let mut streams: Vec<String> = context.stream_names().try_collect().await.unwrap();
        streams.sort();
        assert_eq!(streams, expected);
    }
}

#[tokio::test]
async fn a_client_uses_no_service_of_another_namespace() {
    let server = NatsServer::start().await;
    let (plain, lounge) = (DbFile::new(), DbFile::new());
    let services = [("", &plain), ("lounge", &lounge)];
    let mut running = Vec::new();
    for (name, file) in services {
        let options = ServiceOptions::default().namespace(namespace(name));
        running.push(DbService::try_start(&server, file, options).await.unwrap());
    }
    let (file, url) = (DbFile::new(), server.url());
    let options = NatsOptions::new(url).namespace(namespace("den"));
    let runtime = Runtime::<Op>::builder().nats(options).store(file.options()).build().await.unwrap();
    let nats = runtime.nats().unwrap().clone();
    let mut status = nats.status();
    let absent = status.wait_for(|status| status.service == Recognition::Absent);
    drop(tokio::time::timeout(LIMIT, absent).await.expect("no responder, at once").unwrap());
    let refused = nats_only(&nats).call(GetChannelStats {}).await.unwrap_err();
    assert_eq!(refused.class(), Class::NotSent, "{refused}");
    // Its own store is not taken for a wrong one because others serve other databases.
    let db = runtime.client();
    for n in 0..20 {
        let reply = db.call(UserJoined { username: format!("user{n}") }).await.unwrap();
        assert_eq!(reply.via, Via::DB);
    }
    let den = ServiceOptions::default().namespace(namespace("den"));
    let service = DbService::try_start(&server, &file, den).await.unwrap();
    wait_until("its own service serves", || async {
        db.call(GetChannelStats {}).await.is_ok_and(|reply| reply.via == Via::NATS)
    })
    .await;
    assert_eq!(file.applied().await, 20);
    for (other, service) in [&plain, &lounge].into_iter().zip(running) {
        assert_eq!(other.applied().await, 0);
        service.stop().await;
    }
    service.stop().await;
    let _ = runtime.shutdown(LIMIT).await;
}

#[tokio::test]
async fn in_a_namespace_no_subject_is_used_that_lies_outside() {
    for options in [off(), on()] {
        let w = Durable::new().await;
        let peer = Peer::connect(&w.server).await;
        let mut all = peer.listen(">").await;
        let service = w.try_serve(options.namespace(namespace("lounge"))).await.unwrap();
        let nats = client(&w.server, "lounge").await;
        tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
        let mut load = Load::mixed(&nats_only(&nats), 4);
        load.served_by_nats(40).await;
        let sent = load.all_served().await;
        nats.all_applied(LIMIT).await.unwrap();
        // Refused: kept as a dead letter, and announced.
        let mut announced = peer.listen("lounge.rosey.dlq.user_joined").await;
        peer.publish("lounge.rosey.db.user.joined", r#"{"username":""}"#).await;
        let notice = String::from_utf8(next(&mut announced).await.payload.to_vec()).unwrap();
        assert!(notice.contains("\"lounge.rosey.db.user.joined\""), "{notice}");
        let card = peer.request("$SRV.INFO.lounge-rosey-db", "").await.json();
        let subjects = card["endpoints"].as_array().unwrap().iter().map(|e| e["subject"].as_str().unwrap());
        assert!(subjects.clone().count() > 9 && subjects.clone().all(|s| s.starts_with("lounge.rosey.db.")));
        let said = peer.request("lounge.rosey.db.ping", "").await.json();
        assert_eq!(said["service"], "lounge.rosey.db");
        let mut seen = 0;
        while let Some(Some(message)) = all.next().now_or_never() {
            let subject = message.subject.as_str();
            assert!(
                ["lounge.rosey.", "_INBOX.", "$"].iter().any(|own| subject.starts_with(own)),
                "{subject}"
            );
            assert!(!subject.contains("ROSEY") || subject.contains("LOUNGE_ROSEY"), "{subject}");
            seen += 1;
        }
        assert!(seen > sent, "the tap heard everything");
        service.stop().await;
    }
}

#[tokio::test]
async fn a_namespace_that_is_none_is_refused_with_a_sentence() {
    // Each would be heard by a service without a namespace, or by one of another.
    for covered in ["rosey.db", "a.rosey.db", "rosey.dlq.x"] {
        let options = NatsOptions::new("nats://127.0.0.1:1").namespace(namespace(covered));
        let refused = NatsService::<Op>::connect(options).await.unwrap_err().to_string();
        assert!(refused.contains("of another namespace"), "{refused}");
        let options = ServiceOptions::default().namespace(namespace(covered));
        let refused =
            DbService::try_start_at("nats://127.0.0.1:1", &DbFile::new(), options).await.err().unwrap();
        assert!(matches!(refused, ServeError::Namespace(_)), "{refused}");
    }
    let nats = NatsOptions::new("nats://127.0.0.1:1").namespace(namespace("lounge"));
    let refused =
        Runtime::<Op>::builder().nats(nats).namespace(namespace("den")).build().await.err().unwrap();
    assert!(matches!(refused, BuildError::Namespace(_)), "{refused}");
    assert!(refused.to_string().contains("\"den\" and \"lounge\""), "{refused}");
    for name in ["Lounge", "a b", "a.", "*", "rosey.db"] {
        let ran = run(&["send", "user_joined", r#"{"username":"ann"}"#, "--namespace", name]).await;
        assert_eq!(ran.code, Some(2), "{name}: {}", ran.all());
        assert!(ran.err.contains("namespace") && ran.err.contains(name), "{name}: {}", ran.err);
    }
}

#[tokio::test]
async fn the_command_line_names_a_namespace_by_option_variable_and_file() {
    let w = Durable::new().await;
    let url = w.server.url();
    let plain = DbFile::new();
    let _plain = ServeProcess::start_with(&w.server, &plain, &["--jetstream", "off"]).await;
    let options = ["--namespace", "lounge", "--jetstream", "off"];
    let _lounge = ServeProcess::start_with(&w.server, &w.file, &options).await;
    let dir = dir_of(&w.file);
    let config = dir.join("rosey.toml");
    write(&config, "namespace = \"lounge\"\n");
    let line = r#"{"username":"ann","message":"hi"}"#;
    let command = || {
        let mut command = program(&dir);
        command.args(["send", "message_log", line, "--nats-url", &url]);
        command
    };
    for (said, mut command) in [("option", command()), ("variable", command()), ("file", command())] {
        match said {
            "option" => command.args(["--namespace", "lounge"]),
            "variable" => command.env("ROSEY_NAMESPACE", "lounge"),
            _ => command.arg("--config").arg(&config),
        };
        let sent = Ran::of(&mut command);
        assert!(sent.out.contains("via=nats"), "{said}: {}", sent.all());
    }
    assert_eq!((w.file.applied().await, plain.applied().await), (3, 0));
    // Its dead letters can be offered again, and are known by their operation.
    let peer = Peer::connect(&w.server).await;
    peer.publish("lounge.rosey.db.user.joined", r#"{"username":""}"#).await;
    wait_until("it is buried", || async { w.file.dead_letters().await == 1 }).await;
    let list = Ran::of(program(&dir).args(["dead", "list", "--database-url", &w.file.url()]));
    assert!(list.out.contains("user_joined") && !list.out.contains("unknown"), "{}", list.all());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_serves_several_namespaces_and_a_broken_one_disturbs_no_other() {
    let (server, files) = (NatsServer::start().await, [DbFile::new(), DbFile::new(), DbFile::new()]);
    let names = ["lounge", "den", "broken"];
    write(&files[2].path(), "This is no database, although it stands where one is to be.");
    let (url, rooms) = (server.url(), names.iter().zip(&files));
    let rooms: Vec<_> = rooms.map(|(name, file)| format!("--namespace={name}={}", file.url())).collect();
    let mut arguments = vec!["serve", "--nats-url", &url];
    arguments.extend(rooms.iter().map(String::as_str));
    let process = ServeProcess::begin(&arguments);
    let mut loads = Vec::new();
    let mut clients = Vec::new();
    for name in names {
        let nats = client(&server, name).await;
        if name != "broken" {
            tokio::time::timeout(LIMIT, nats.recognised()).await.expect(name);
            loads.push(Load::named(name, &nats_only(&nats), 4));
        }
        clients.push(nats);
    }
    process.says_times("not served, retrying in", 2).await;
    assert!(process.log().contains("broken"), "{}", process.log());
    for load in &loads {
        load.served_by_nats(50).await;
    }
    // A database that another program has locked: the other one serves all the same.
    let held = files[1].hold().await;
    loads[0].served_by_nats(200).await;
    held.release().await;
    // What was in the way is gone: served without a restart.
    std::fs::remove_file(files[2].path()).unwrap();
    tokio::time::timeout(LIMIT, clients[2].recognised()).await.expect("tried again");
    loads[1].served_by_nats(1).await;
    let mut total = 0;
    for (n, mut load) in loads.into_iter().enumerate() {
        let sent = load.finish().await;
        total += files[n].applied().await;
        let of_others = files[n].texts("SELECT username FROM presence").await;
        assert!(of_others.iter().all(|user| user.starts_with(names[n])), "{}", names[n]);
        if n == 0 {
            load.assert_all_served(sent);
            assert_exactly_once(&files[n], sent).await;
        }
    }
    assert_eq!(files[2].applied().await, 0);
    let log = process.terminate_and_log().await;
    assert!(log.contains("stopped: ") && log.contains("0 lost"), "{total} applied: {log}");
    for file in &files {
        file.assert_clean().await;
    }
}

#[tokio::test]
async fn several_namespaces_have_each_a_name_and_a_database_of_their_own() {
    for (arguments, says) in [
        (&["--namespace", "a", "--namespace", "b"][..], "a database each"),
        (&["--namespace", "a=a.db,b"], "a database each"),
        (&["--namespace", "a=a.db,a=b.db"], "twice"),
        (&["--namespace", "a=a.db,b=a.db"], "twice"),
        (&["--namespace", "a=a.db", "--database-url", "b.db"], "--database-url"),
        (&["--namespace", "A=a.db"], "expected a-z"),
        (&["--namespace", "a=file:a.db"], "only SQLite"),
    ] {
        let ran = run(&[&["serve"], arguments].concat()).await;
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.all());
        assert!(ran.err.contains(says), "{arguments:?}: {}", ran.err);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_service_is_named_in_its_namespace_and_in_no_other() {
    let server = NatsServer::start().await;
    let peer = Peer::connect(&server).await;
    let files = [DbFile::new(), DbFile::new()];
    let mut services = Vec::new();
    for (name, file) in ["", "lounge"].into_iter().zip(&files) {
        let options = ServiceOptions::default().namespace(namespace(name));
        services.push(DbService::try_start(&server, file, options).await.unwrap());
    }
    let plain = client(&server, "").await;
    let lounge = client(&server, "lounge").await;
    tokio::time::timeout(LIMIT, lounge.recognised()).await.unwrap();
    tokio::time::timeout(LIMIT, plain.recognised()).await.unwrap();
    // One that answers events alone is known by the word of the clients that it answers.
    let events = peer.answer("lounge.rosey.db.user.joined", HeaderMap::new(), "{}").await;
    let db = nats_only(&lounge);
    wait_until("a client has said so", || async {
        // Its circuit opens, because the client leaves NATS.
        let _ = db.call(UserJoined { username: "ann".into() }).await;
        notices(&peer, "lounge")
            .await
            .contains("answered by another kind of service on lounge.rosey.db.user.joined")
    })
    .await;
    events.abort();
    let queries = "lounge.rosey.db.stats.recent_chat.get";
    let answers = peer.answer(queries, HeaderMap::new(), "[]").await;
    wait_until("the service sees it", || async {
        notices(&peer, "lounge").await.contains(&format!("answers on {queries}"))
    })
    .await;
    let mut status = lounge.status();
    drop(
        tokio::time::timeout(LIMIT, status.wait_for(|status| status.foreign))
            .await
            .expect("its clients leave")
            .unwrap(),
    );
    assert_eq!(notices(&peer, "").await, "[] 0");
    assert!(!plain.status().borrow().foreign);
    let reply = nats_only(&plain).call(UserJoined { username: "bob".into() }).await.unwrap();
    assert_eq!(reply.via, Via::NATS);
    answers.abort();
    for service in services {
        service.stop().await;
    }
}

#[tokio::test]
async fn an_outbox_is_kept_for_one_namespace_and_an_old_one_for_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let open = |file: &str, name: Option<&str>| {
        let options = OutboxOptions::new(path(file));
        let options = name.map(namespace).into_iter().fold(options, OutboxOptions::namespace);
        async move { OutboxService::<Op>::open(&options).await }
    };
    // An old one, or one of no namespace: there is no difference.
    open("old", None).await.unwrap().close().await;
    open("lounge", Some("lounge")).await.unwrap().close().await;
    for (file, own, other, says) in [
        ("old", "", "lounge", "kept for no namespace, and not for the namespace lounge"),
        ("lounge", "lounge", "den", "kept for the namespace lounge, and not for the namespace den"),
        ("lounge", "lounge", "", "kept for the namespace lounge, and not for no namespace"),
    ] {
        let before = std::fs::read(path(file)).unwrap();
        let refused = open(file, Some(other)).await.unwrap_err();
        assert!(matches!(refused, OutboxError::Namespace { .. }), "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
        // One that a runtime is handed open is refused as well.
        let outbox = open(file, None).await.unwrap();
        assert_eq!(outbox.namespace(), &namespace(own));
        let store = DbFile::new();
        let build = |name| Runtime::builder().store(store.options()).namespace(namespace(name));
        let refused = build(other).outbox(outbox).build().await.err().unwrap();
        assert!(refused.to_string().contains(says), "{refused}");
        assert_eq!(std::fs::read(path(file)).unwrap(), before, "left as it is");
        let runtime = build(own).outbox(path(file)).build().await.unwrap();
        let _ = runtime.shutdown(LIMIT).await;
    }
    let file = path("lounge").display().to_string();
    let bot = ["bot", "--chat", "jsonl:-", "--no-nats", "--database-url", "bot.db", "--outbox", &file];
    for (more, code) in [(&["--namespace", "den"][..], Some(2)), (&["--namespace", "lounge"], Some(0))] {
        let ran = run(&[&bot, more].concat()).await;
        assert_eq!(ran.code, code, "{more:?}: {}", ran.all());
        assert_eq!(ran.err.contains("kept for the namespace lounge"), code == Some(2), "{}", ran.err);
        let named =
            ran.err.lines().any(|line| line.contains("end of input") && line.ends_with(" namespace=lounge"));
        assert_eq!(named, code == Some(0), "{}", ran.err);
    }
    let ran = run(&["outbox", "--outbox", &file]).await;
    assert!(ran.out.contains("(namespace lounge): 0 waiting"), "{}", ran.all());
    for (file, name) in
        [(&file, "lounge".into()), (&path("old").display().to_string(), serde_json::Value::Null)]
    {
        let ran = run(&["outbox", "--outbox", file, "--json"]).await;
        assert_eq!(serde_json::from_str::<serde_json::Value>(&ran.out).unwrap()["namespace"], name);
    }
    let ran = run(&["outbox", "--replay", "--no-nats", "--database-url", "x.db", "--outbox", &file]).await;
    assert_eq!(ran.code, Some(2), "{}", ran.all());
}
