//! In order: services first, then bots.

use super::*;

/// How many lines of its chat a bot reads in a second.
const RATE: u64 = 100;

/// Each is replaced while the bot goes on: the service, with the server killed meanwhile, then the bot.
async fn services_then_bots(database: Database, options: &[&str]) {
    let (before, store, dir) = (before(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut server = NatsServer::with_jetstream(store.path()).await;
    let url = database.url();
    let old = serve(&before, dir.path(), &server, &url, options).await;
    let mut bot = BotProcess::start_of(&before, &server.url(), &url, "ann", RATE);
    database.applies(200).await;
    let schema = database.schema().await;
    let new = serve(now(), dir.path(), &server, &url, options).await;
    eprintln!("schema {schema}, then {}", database.schema().await);
    // Both take what the bot sends; then neither does, and the bot of before writes to the database of now.
    database.applies(200).await;
    server.kill();
    database.applies(200).await;
    server.restart().await;
    database.applies(200).await;
    let shares = [share(&old.terminate_and_log().await), 0];
    database.applies(200).await;
    bot.replace(now()).await;
    database.applies(100).await;
    let (fed, report) = bot.finish().await;
    eprintln!(
        "the bot of now: {} over NATS, {} on the database, {} in the outbox",
        report.nats, report.db, report.outbox
    );
    wait_until("nothing is on its way", || async { database.contents().await.times("ann-0") == 2 }).await;
    let shares = [shares[0], share(&new.terminate_and_log().await)];
    assert!(shares.iter().all(|taken| *taken > 50), "each service has its share: {shares:?}");
    assert_exactly_once(&database, &[("ann", fed)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of before"]
async fn on_a_stream_and_a_file_services_then_bots_are_replaced_and_nothing_is_lost_or_doubled() {
    services_then_bots(Database::File(DbFile::new()), &["--jetstream", "on"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of before"]
async fn without_a_stream_as_well() {
    services_then_bots(Database::File(DbFile::new()), &["--jetstream", "off"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of before"]
async fn on_postgresql_as_well() {
    let url = Postgres::shared().empty().await;
    services_then_bots(Database::Server(url), &["--jetstream", "on"]).await;
}

/// No NATS at all: two bots on one file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of before"]
async fn on_a_file_alone_a_bot_of_before_and_one_of_now_write_side_by_side() {
    let database = Database::File(DbFile::new());
    let url = database.url();
    let mut old = BotProcess::start_of(&before(), NOWHERE, &url, "ann", RATE);
    database.applies(100).await;
    let new = BotProcess::start(NOWHERE, &url, "ben", RATE);
    let [ann, ben] = ["ann-9", "ben-9"].map(|visitor| {
        let database = &database;
        move || async move { database.contents().await.times(visitor) > 0 }
    });
    wait_until("the one of before writes", ann).await;
    wait_until("the one of now writes", ben).await;
    database.applies(200).await;
    old.replace(now()).await;
    database.applies(100).await;
    let (fed, _) = old.finish().await;
    let (beside, _) = new.finish().await;
    assert_exactly_once(&database, &[("ann", fed), ("ben", beside)]).await;
}

/// What a service of before does not know waits in its dead letters, and one of now applies it from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of before"]
async fn an_event_that_only_the_newer_service_knows_is_kept_by_the_older_one_and_applied_from_there() {
    let (w, before, dir) = (Durable::new().await, before(), tempfile::tempdir().unwrap());
    let url = w.file.url();
    let old = serve(&before, dir.path(), &w.server, &url, &["--jetstream", "on"]).await;
    let new = serve(now(), dir.path(), &w.server, &url, &["--jetstream", "on"]).await;
    let nats = w.client().await;
    // One of before that does not know of later versions takes their subjects from the stream: then the database takes the events.
    let db = stack(&nats, &w.file).await;
    const EVENTS: u64 = 40;
    for n in 0..EVENTS {
        db.call(rosey::op::Forget { username: format!("user{n}") }).await.unwrap();
    }
    w.emptied().await;
    let kept = w.file.dead_letters().await;
    let applied = w.file.applied().await;
    eprintln!("told {EVENTS} · applied {applied} · kept by the service of before {kept}");
    assert_eq!(applied + kept, EVENTS, "each is applied, or kept");
    old.terminate_and_log().await;
    let retry = ["dead", "retry", "--all", "--database-url", &url];
    let Ran { code, out, err } = ran(now(), dir.path(), &retry).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!((w.file.applied().await, w.file.dead_letters().await), (EVENTS, 0));
    new.terminate_and_log().await;
}
