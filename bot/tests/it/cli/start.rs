//! A service that must not start, or cannot yet.

use super::*;

#[tokio::test]
async fn a_wrong_password_is_said_and_not_taken_for_a_server_that_is_not_there() {
    let server = NatsServer::with_config("authorization { user: u, password: right }").await;
    let file = DbFile::new();
    let url = server.url().replace("nats://", "nats://u:wrong@");
    let arguments = ["send", "user_joined", r#"{"username":"alice"}"#, "--nats-url", &url];
    let (code, text) = outcome(rosey(file.dir()).args(arguments));
    assert_eq!(code, Some(4));
    assert!(text.contains("refuses our user, password or key") && !text.contains("wrong@"), "{text}");
}

#[tokio::test]
async fn a_service_that_must_not_start_says_why_and_what_to_do() {
    let w = Durable::new().await;
    let serve = |options: &'static [&str]| {
        let mut command = rosey(w.file.dir());
        command.args(["serve", "--nats-url", &w.server.url(), "--database-url", &w.file.url()]).args(options);
        async move { tokio::task::spawn_blocking(move || outcome(&mut command)).await.unwrap() }
    };
    let config = async_nats::jetstream::stream::Config {
        name: "FOREIGN".to_owned(),
        subjects: vec!["rosey.db.>".to_owned()],
        ..Default::default()
    };
    let context = w.context().await;
    context.create_stream(config).await.unwrap();
    for options in [&["--jetstream", "auto"], &["--jetstream", "on"], &["--jetstream", "off"]] {
        let (code, text) = serve(options).await;
        assert_eq!(code, Some(5), "{text}");
        assert!(text.contains("FOREIGN") && text.contains("nats stream rm"), "{text}");
    }
    assert!(!w.file.path().exists(), "no database of a service that never was");
    let without = NatsServer::start().await;
    let mut command = rosey(w.file.dir());
    command.args([
        "serve",
        "--jetstream",
        "on",
        "--nats-url",
        &without.url(),
        "--database-url",
        &w.file.url(),
    ]);
    let (code, text) = tokio::task::spawn_blocking(move || outcome(&mut command)).await.unwrap();
    assert!(code == Some(5) && text.contains("nats-server -js"), "{text}");
    assert!(!w.file.path().exists(), "nor of this one");
}

#[tokio::test]
async fn a_service_that_is_refused_beside_another_one_leaves_no_database_behind() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let serve = |options: &'static [&str], path: &str| {
        let mut command = rosey(file.dir());
        command.args(["serve", "--nats-url", &server.url(), "--database-url", path]).args(options);
        async move { tokio::task::spawn_blocking(move || outcome(&mut command)).await.unwrap() }
    };
    let names = || {
        let dir = std::fs::read_dir(file.path().parent().unwrap()).unwrap();
        dir.map(|f| f.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    // A place where no database can be is said at once, whether a service runs or not.
    let (code, text) = serve(&[], "sqlite://no/such/folder/rosey.db").await;
    assert_eq!(code, Some(2), "{text}");

    let peer = Peer::connect(&server).await;
    let other = peer.answer("rosey.db.query.channel_stats", Default::default(), "{}").await;
    let (code, text) = serve(&[], "sqlite://new.db").await;
    assert!(code == Some(5) && text.contains("another kind of service"), "{text}");
    assert_eq!(names(), Vec::<String>::new());
    other.abort();
    let _ = other.await;

    let elsewhere = DbFile::new();
    let running = DbService::start(&server, &elsewhere).await;
    let (code, text) = serve(&[], "sqlite://new.db").await;
    assert!(code == Some(5) && text.contains("this one is a new one"), "{text}");
    assert_eq!(names(), Vec::<String>::new());
    running.stop().await;

    // Without a service it is created; and beside itself another one starts.
    let first = ServeProcess::start(&server, &file).await;
    let second = ServeProcess::start(&server, &file).await;
    assert_eq!((first.terminate().await, second.terminate().await), (Some(0), Some(0)));
}

#[tokio::test]
async fn a_bot_with_a_service_that_must_not_start_says_why_and_creates_nothing() {
    let names = |file: &DbFile| {
        let dir = std::fs::read_dir(file.path().parent().unwrap()).unwrap();
        dir.map(|f| f.unwrap().file_name().into_string().unwrap()).collect::<std::collections::BTreeSet<_>>()
    };
    let up = |server: &NatsServer, file: &DbFile| {
        let mut command = rosey(file.dir());
        command.args(["up", "--chat", "jsonl:-", "--nats-url", &server.url()]);
        async move { tokio::task::spawn_blocking(move || outcome(&mut command)).await.unwrap() }
    };
    // The stream of a file that is gone; then a service on another file; then another kind of service.
    let (w, new) = (Durable::new().await, DbFile::new());
    let server = &w.server;
    let first = ServeProcess::start(server, &w.file).await;
    let (code, text) = up(server, &new).await;
    assert!(code == Some(5) && text.contains("this one is a new one"), "{text}");
    assert!(names(&new).is_empty(), "{text}");
    assert_eq!(first.terminate().await, Some(0));
    let (code, text) = up(server, &new).await;
    assert!(code == Some(5) && text.contains("ROSEY") && !text.contains("a new one"), "{text}");
    assert!(names(&new).is_empty(), "{text}");
    // On a file that is there already, too: nothing is said of a service that does not run.
    let there = DbFile::new();
    let sent = ["send", "user_joined", r#"{"username":"alice"}"#, "--no-nats", "--database-url", "rosey.db"];
    assert_eq!(outcome(rosey(there.dir()).args(sent)).0, Some(0));
    let before = names(&there);
    let (code, text) = up(server, &there).await;
    assert!(code == Some(5) && text.contains("start this service on the file of that database"), "{text}");
    assert!(!text.contains("ERROR"), "{text}");
    assert_eq!(names(&there), before, "{text}");
    let peer = Peer::connect(server).await;
    let other = peer.answer("rosey.db.query.channel_stats", Default::default(), "{}").await;
    let (code, text) = up(server, &new).await;
    assert!(code == Some(5) && text.contains("another kind of service"), "{text}");
    assert!(names(&new).is_empty(), "{text}");
    other.abort();
}

#[tokio::test]
async fn a_service_that_waits_for_a_server_has_no_database_yet_and_ends_when_it_is_told() {
    let (server, file) = (NatsServer::down(), DbFile::new());
    let mut serve = rosey(file.dir())
        .args(["serve", "--nats-url", &server.url(), "--database-url", &file.url()])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serve.stderr.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.contains("no NATS server answers")));
    assert!(!file.path().exists());
    proc::signal(serve.id(), "-TERM");
    assert!(lines.any(|line| line == "stopped: 0 requests served, 0 lost"));
    assert!(serve.wait().unwrap().success());
}
