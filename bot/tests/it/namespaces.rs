//! Namespaces: several bots, each with a service and a file of its own, in one account of one server.

use std::time::Duration;

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
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::task::JoinSet;

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
            let nats = client(&w.server, name).await;
            tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
            let load = Load::named(user, &nats_only(&nats), 8);
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
    wait_until("it is buried", || async { w.file.buried().await == 1 }).await;
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
    process.says_times("not served, trying again in", 2).await;
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

/// A service process over a folder of databases.
struct Folder {
    dir: tempfile::TempDir,
    process: ServeProcess,
}

impl Folder {
    /// With an empty file for each of these.
    async fn serve(server: &impl Url, names: &[&str], options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        names.iter().for_each(|name| write(&dir.path().join(format!("{name}.db")), ""));
        let (url, path) = (server.url(), dir.path().display().to_string());
        let arguments = ["serve", "--nats-url", &url, "--namespaces-dir", &path];
        let mut process = ServeProcess::begin(&[&arguments[..], options].concat());
        process.serves().await;
        Self { dir, process }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(format!("{name}.db"))
    }

    /// The number that a query answers; -1 while its table is not there yet.
    async fn number(&self, name: &str, sql: &'static str) -> i64 {
        let file = SqliteConnectOptions::new().filename(self.path(name)).read_only(true);
        sqlx::query_scalar(sql).fetch_one(&mut file.connect().await.unwrap()).await.unwrap_or(-1)
    }

    async fn applied(&self, name: &str) -> i64 {
        self.number(name, "SELECT count(*) FROM ledger").await
    }

    /// Whether no other process has the file open: only then it can be had alone.
    async fn is_free(&self, name: &str) -> bool {
        let alone = SqliteConnectOptions::new()
            .filename(self.path(name))
            .locking_mode(sqlx::sqlite::SqliteLockingMode::Exclusive)
            .busy_timeout(Duration::ZERO);
        let Ok(mut file) = alone.connect().await else { return false };
        let wrote = sqlx::raw_sql("BEGIN EXCLUSIVE; PRAGMA user_version; ROLLBACK").execute(&mut file).await;
        file.close().await.unwrap();
        wrote.is_ok()
    }

    /// How often this was said of a namespace.
    fn said(&self, name: &str, what: &str) -> usize {
        let of = format!("namespace={name}");
        let log = self.process.log();
        log.lines().filter(|line| line.ends_with(&of) && line.contains(what)).count()
    }
}

const CLOSED: &str = "nobody needs it";

/// A client for which what is late on a busy machine is no failure; what is lost is one.
pub(crate) async fn patient_client(server: &NatsServer, name: &str) -> NatsService<Op> {
    let options = NatsOptions::new(server.url()).namespace(namespace(name));
    NatsService::connect(options.recognition(LIMIT).ping_timeout(LIMIT)).await.unwrap()
}

/// Each of these namespaces serves so many events over NATS.
pub(crate) async fn all_served<'a>(
    each: usize,
    clients: impl Iterator<Item = (&'a str, &'a NatsService<Op>)>,
) {
    let mut working = JoinSet::new();
    for (name, nats) in clients {
        let (name, db) = (name.to_owned(), nats_within(nats, LIMIT));
        working.spawn(async move {
            // A pace that two busy cores can follow.
            let mut pace = tokio::time::interval(Duration::from_millis(200));
            pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            for n in 0..each {
                pace.tick().await;
                let reply = db.call(UserJoined { username: format!("{name}-{n}") }).await;
                assert_eq!(reply.unwrap_or_else(|e| panic!("{name}: {e}")).via, Via::NATS);
            }
        });
    }
    while let Some(done) = working.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_namespaces_share_a_process_and_do_not_notice_the_broken_one() {
    const EACH: usize = 20;
    let server = NatsServer::start().await;
    let names: Vec<_> = (0..100).map(|n| format!("room{n}")).collect();
    let all: Vec<_> = names.iter().map(String::as_str).collect();
    let (broken, good) = all.split_last().unwrap();
    let folder = Folder::serve(&server, good, &["--namespaces-idle-ms", "2000"]).await;
    let id = folder.process.id();
    let (threads, descriptors) = (proc::threads(id), proc::file_descriptors(id));
    // Another process is about to open it, and hangs.
    let lock = std::fs::File::create(folder.dir.path().join(format!("{broken}.db.lock"))).unwrap();
    lock.lock().unwrap();
    write(&folder.path(broken), "");
    let mut asked = Peer::connect(&server).await.listen("$SRV.INFO").await;
    let mut clients = Vec::new();
    for name in &all {
        clients.push(patient_client(&server, name).await);
    }
    let good_ones = || good.iter().zip(&clients);
    for (name, nats) in good_ones() {
        tokio::time::timeout(LIMIT, nats.recognised()).await.expect(name);
    }
    all_served(EACH, good_ones().map(|(name, nats)| (*name, nats))).await;
    // All are open, and the broken one was tried more than once.
    wait_until("it is tried again", || async { folder.said(broken, "not served, trying again in") > 1 })
        .await;
    let peer = Peer::connect(&server).await;
    let said = peer.request(&format!("{broken}.rosey.db.stats.recent_chat.get"), "{}").await;
    assert_eq!(said.refusal(), Some(521));
    assert!(said.header("Nats-Service-Error").unwrap().contains("has held the lock"), "{said:?}");
    let stats = peer.request("$SRV.STATS.rosey-db-namespaces", "").await.json();
    assert_eq!((&stats["data"]["namespaces"], &stats["data"]["open"]), (&100.into(), &99.into()));
    assert!(stats["data"]["failing"][broken].as_str().unwrap().contains("held the lock"), "{stats}");
    let open = (proc::threads(id), proc::file_descriptors(id), proc::rss(id));
    assert!(open.0 < threads + 6 * 100 && open.1 < descriptors + 16 * 100, "{open:?}");
    assert!(open.2 < 600 << 20, "{open:?}");
    // One question for all of them, every two seconds.
    let mut questions = 0;
    while let Some(Some(_)) = asked.next().now_or_never() {
        questions += 1;
    }
    assert!((1..50).contains(&questions), "{questions}");
    for name in good {
        assert_eq!(folder.applied(name).await, EACH as i64, "{name}");
        assert_eq!(folder.number(name, "SELECT count(*) FROM presence").await, EACH as i64, "{name}");
    }
    // Nobody needs them any more: all of it is given back, but what has the name of each file and of its two companions.
    drop((clients, lock));
    wait_until("they are closed", || async { proc::file_descriptors(id) < descriptors + 3 * 100 + 16 }).await;
    assert!(proc::threads(id) < threads + 10, "{} after {threads}", proc::threads(id));
    assert!(folder.is_free(good[0]).await);
    folder.process.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_is_flooded_and_locked_leaves_the_others_their_places() {
    let server = NatsServer::start().await;
    // Half of them is common; of the other half each has as many.
    let options = ["--namespaces-open", "2", "--namespaces-in-flight", "64"];
    let (own, common, sent) = (16, 32, 300);
    let folder = Folder::serve(&server, &["lounge", "den"], &options).await;
    let (lounge, den) = (client(&server, "lounge").await, client(&server, "den").await);
    for nats in [&lounge, &den] {
        tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
    }
    let file = SqliteConnectOptions::new().filename(folder.path("lounge"));
    let mut lock = file.busy_timeout(LIMIT).connect().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    let peer = Peer::connect(&server).await;
    for n in 0..sent {
        // Nobody waits for them: they are tried for as long as it takes.
        peer.publish("lounge.rosey.db.user.joined", format!(r#"{{"username":"user{n}"}}"#)).await;
    }
    let begun = || async {
        let stats = peer.request("$SRV.STATS.lounge-rosey-db", "").await.json();
        let all = stats["endpoints"].as_array().unwrap().iter();
        all.map(|endpoint| endpoint["num_requests"].as_u64().unwrap()).sum::<u64>()
    };
    wait_until("it works on what it may", || async { begun().await >= own + common }).await;
    let db = nats_within(&den, LIMIT);
    for n in 0..100 {
        let reply = db.call(UserJoined { username: format!("user{n}") }).await.unwrap();
        assert_eq!(reply.via, Via::NATS);
    }
    assert_eq!(begun().await, own + common);
    lock.close().await.unwrap();
    wait_until("all is applied", || async { folder.applied("lounge").await == sent }).await;
    assert_eq!(folder.applied("den").await, 100);
    folder.process.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_waits_for_is_applied_once_in_every_moment_of_opening_and_closing() {
    let server = NatsServer::start().await;
    let options = ["--namespaces-idle-ms", "100", "--jetstream", "off"];
    let folder = Folder::serve(&server, &["lounge"], &options).await;
    let peer = Peer::connect(&server).await;
    let mut sent = 0;
    for round in 1..=3 {
        while folder.said("lounge", "serving url") < round {
            for _ in 0..20 {
                sent += 1;
                let payload = format!(r#"{{"username":"user{sent}"}}"#);
                peer.publish("lounge.rosey.db.user.joined", payload).await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        wait_until("it is closed", || async { folder.said("lounge", CLOSED) == round }).await;
    }
    assert_eq!(folder.applied("lounge").await, sent);
    assert_eq!(folder.number("lounge", "SELECT count(*) FROM presence").await, sent);
    folder.process.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_namespace_that_nobody_needs_is_closed_and_whatever_comes_opens_it_again() {
    for jetstream in ["off", "on"] {
        let w = Durable::new().await;
        let options = ["--namespaces-idle-ms", "600", "--jetstream", jetstream];
        let folder = Folder::serve(&w.server, &["lounge", "den"], &options).await;
        let peer = Peer::connect(&w.server).await;
        let joined = |n: u32| format!(r#"{{"username":"user{n}"}}"#);
        assert!(folder.path("lounge").metadata().unwrap().len() == 0, "not opened before it is asked for");
        for round in 1..=4_u32 {
            // A plain event of a peer that gives no id: done once, and not again when it was held.
            peer.publish("lounge.rosey.db.user.joined", joined(round)).await;
            wait_until("it is applied", || async {
                folder.path("lounge").metadata().unwrap().len() > 0
                    && folder.applied("lounge").await == i64::from(round)
            })
            .await;
            // A query opens it as well, and is answered.
            let said = peer.request("den.rosey.db.query.channel_stats", "{}").await.json();
            assert_eq!(said["success"], true, "{said}");
            wait_until("both are closed", || async {
                ["lounge", "den"].iter().all(|name| folder.said(name, CLOSED) == round as usize)
            })
            .await;
            assert!(folder.is_free("lounge").await);
        }
        assert_eq!(folder.applied("lounge").await, 4);
        // A client that is connected needs it, whatever it sends. Three times the idle time is long enough.
        let nats = client(&w.server, "lounge").await;
        tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert_eq!(folder.said("lounge", CLOSED), 4);
        folder.process.terminate_and_log().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_a_namespace_closes_and_opens_all_the_time() {
    for jetstream in ["off", "on"] {
        let w = Durable::new().await;
        let options = ["--namespaces-idle-ms", "100", "--jetstream", jetstream];
        let folder = Folder::serve(&w.server, &["lounge"], &options).await;
        let peer = Peer::connect(&w.server).await;
        let mut sent = 0;
        let begun = std::time::Instant::now();
        while folder.said("lounge", CLOSED) < 8 && begun.elapsed() < Duration::from_secs(25) {
            // At every moment of its closing and opening. What is refused is sent again, as every client of ours does.
            sent += 1;
            let mut headers = HeaderMap::new();
            headers.insert("Rosey-Operation-Id", format!("op{sent}"));
            let payload = format!(r#"{{"username":"user{sent}"}}"#);
            loop {
                let subject = "lounge.rosey.db.user.joined";
                let asked =
                    peer.client.request_with_headers(subject, headers.clone(), payload.clone().into());
                let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(2), asked).await else {
                    continue;
                };
                let refused = |headers: HeaderMap| headers.get("Nats-Service-Error").is_some();
                if !answer.headers.is_some_and(refused) {
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(90 + 7 * (sent % 30))).await;
        }
        assert!(folder.said("lounge", CLOSED) >= 3, "it closed: {}", folder.process.log());
        wait_until("all is applied", || async { folder.applied("lounge").await >= sent as i64 }).await;
        assert_eq!(folder.applied("lounge").await, sent as i64);
        assert_eq!(folder.number("lounge", "SELECT count(*) FROM presence").await, sent as i64);
        folder.process.terminate_and_log().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_in_a_stream_opens_its_namespace() {
    let w = Durable::new().await;
    let options = ["--namespaces-idle-ms", "300", "--jetstream", "on"];
    let mut folder = Folder::serve(&w.server, &["lounge"], &options).await;
    let peer = Peer::connect(&w.server).await;
    peer.publish("lounge.rosey.db.user.joined", r#"{"username":"ann"}"#).await;
    wait_until("it is closed", || async { folder.said("lounge", CLOSED) == 1 }).await;
    folder.process.kill();
    // Acknowledged by the stream, while nobody is there.
    for n in 0..10 {
        let payload = format!(r#"{{"username":"user{n}"}}"#);
        let stored = peer.request("lounge.rosey.db.user.joined", payload).await.json();
        assert_eq!(stored["stream"], "LOUNGE_ROSEY", "{stored}");
    }
    folder.process.restart().await;
    wait_until("all is applied", || async { folder.applied("lounge").await == 11 }).await;
    wait_until("it is closed", || async { folder.said("lounge", CLOSED) == 1 }).await;
    folder.process.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_namespaces_follows_its_files_and_creates_only_what_it_may() {
    let server = NatsServer::start().await;
    let outside = DbFile::new();
    let folder = Folder::serve(&server, &["lounge", "Upper"], &[]).await;
    let link = folder.path("link");
    std::os::unix::fs::symlink(outside.path(), &link).unwrap();
    folder.process.says("link.db is no namespace: it is no ordinary file").await;
    folder.process.says("Upper.db is no namespace").await;
    let clients =
        [client(&server, "link").await, client(&server, "missing").await, client(&server, "late").await];
    // One that comes later, and goes.
    write(&folder.path("late"), "");
    tokio::time::timeout(LIMIT, clients[2].recognised()).await.unwrap();
    let reply = nats_only(&clients[2]).call(UserJoined { username: "ann".into() }).await.unwrap();
    assert_eq!(reply.via, Via::NATS);
    for client in &clients[..2] {
        assert!(client.status().borrow().database().is_none());
    }
    assert!(!folder.path("missing").exists() && !outside.path().exists());
    std::fs::rename(folder.path("late"), folder.dir.path().join("gone")).unwrap();
    folder.process.says("it is gone: not served any more").await;
    let mut status = clients[2].status();
    let absent = status.wait_for(|status| status.database().is_none());
    drop(tokio::time::timeout(LIMIT, absent).await.unwrap().unwrap());
    folder.process.terminate_and_log().await;
    // They would create what they ask for.
    drop(clients);

    let create = ["--namespaces-create", "--namespaces-most", "3"];
    let folder = Folder::serve(&server, &["UPPER"], &create).await;
    let twin = client(&server, "upper").await;
    wait_until("a twin is refused", || async {
        folder.said("upper", "differs in upper and lower case alone") > 0
    })
    .await;
    for name in ["new", "irc.den"] {
        let nats = client(&server, name).await;
        tokio::time::timeout(LIMIT, nats.recognised()).await.expect(name);
        assert!(folder.path(name).exists());
    }
    let _more = client(&server, "more").await;
    folder.process.says("3 namespaces are served, as many as may be").await;
    assert!(!folder.path("more").exists() && !folder.path("upper").exists());
    drop(twin);
    folder.process.terminate_and_log().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_serve_one_folder_and_either_may_end() {
    let server = NatsServer::start().await;
    let idle = ["--namespaces-idle-ms", "500"];
    let mut one = Folder::serve(&server, &["lounge"], &idle).await;
    let path = one.dir.path().display().to_string();
    let url = server.url();
    let mut arguments = vec!["serve", "--nats-url", &url, "--namespaces-dir", &path];
    arguments.extend(idle);
    let mut other = ServeProcess::begin(&arguments);
    other.serves().await;
    let nats = client(&server, "lounge").await;
    tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
    let mut load = Load::start(&nats_only(&nats), 4);
    load.served_by_nats(50).await;
    wait_until("both have opened it", || async {
        let opened =
            |log: String| log.lines().any(|line| line.contains("serving url") && line.ends_with("=lounge"));
        opened(one.process.log()) && opened(other.log())
    })
    .await;
    assert_eq!((*one.process).terminate().await, Some(0));
    load.served_by_nats(50).await;
    one.process.begin_again();
    one.process.serves().await;
    load.served_by_nats(50).await;
    let sent = load.finish().await;
    // Where a client found no service for a moment, it has not sent, or does not know.
    let (acknowledged, applied) = (load.tally.by_nats(), one.applied("lounge").await as u64);
    assert!((acknowledged..=sent).contains(&applied), "{acknowledged} {applied} {sent}");
    for process in [one.process, other] {
        assert_eq!(process.terminate().await, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_many_are_open_as_may_be_and_those_that_nobody_needs_make_room() {
    let server = NatsServer::start().await;
    let folder = Folder::serve(&server, &["a", "b", "c"], &["--namespaces-open", "2"]).await;
    let [a, b, c] = ["a", "b", "c"].map(|name| client(&server, name));
    let (a, b) = (a.await, b.await);
    for nats in [&a, &b] {
        tokio::time::timeout(LIMIT, nats.recognised()).await.unwrap();
    }
    let c = c.await;
    wait_until("it is refused", || async { folder.said("c", "2 namespaces are open") > 0 }).await;
    let reply = nats_only(&a).call(UserJoined { username: "ann".into() }).await.unwrap();
    assert_eq!(reply.via, Via::NATS);
    drop(b);
    tokio::time::timeout(LIMIT, c.recognised()).await.expect("long before ten minutes are over");
    assert_eq!(folder.said("b", CLOSED), 1);
    folder.process.terminate_and_log().await;
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
