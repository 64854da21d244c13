//! What waits in an outbox when its program is replaced.

use super::*;

const EVENTS: u64 = 200;

/// A bot that reaches nothing keeps what it reads, is killed, and another program goes on with its file.
async fn taken_over(first: &Path, second: &Path) {
    let (server, file, dir) = (NatsServer::start().await, DbFile::new(), tempfile::tempdir().unwrap());
    let said = (0..EVENTS).map(|n| {
        format!("{{\"event\":\"message\",\"user\":\"ann\",\"content\":\"line {n}\",\"id\":\"{n}\",\"timestamp\":{n}}}\n")
    });
    std::fs::write(dir.path().join("chat.jsonl"), said.collect::<String>()).unwrap();
    let chat = ["bot", "--chat", "jsonl:chat.jsonl?shift=now&speed=max", "--outbox", "kept.outbox"];
    let alone = [&chat[..], &["--nats-url", NOWHERE]].concat();
    ran(first, dir.path(), &alone).await;
    let waiting = async |program: &Path| {
        let Ran { code, out, err } =
            ran(program, dir.path(), &["outbox", "--outbox", "kept.outbox", "--json"]).await;
        assert_eq!(code, Some(0), "{err}");
        program::json_lines(&out)[0]["waiting"].as_u64().unwrap()
    };
    let kept = waiting(first).await;
    assert!(kept >= EVENTS, "{kept} of {EVENTS} wait");
    assert_eq!(waiting(second).await, kept, "the other one counts the same");
    let service = serve(now(), dir.path(), &server, &file.url(), &[]).await;
    let url = server.url();
    let replay = ["outbox", "--replay", "--outbox", "kept.outbox", "--nats-url", &url];
    let Ran { code, out, err } = ran(second, dir.path(), &replay).await;
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(waiting(second).await, 0, "{out}");
    service.terminate_and_log().await;
    let lines = file.number("SELECT count(*) FROM recent_chat").await.unsigned_abs();
    let distinct = file.number("SELECT count(DISTINCT message) FROM recent_chat").await.unsigned_abs();
    eprintln!(
        "waited {kept} · lines {EVENTS} · applied once {distinct} · twice {} · lost {}",
        lines - distinct,
        EVENTS - distinct
    );
    assert_eq!((lines, distinct, file.applied().await), (EVENTS, EVENTS, kept));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of before"]
async fn the_outbox_of_before_is_replayed_by_the_program_of_now() {
    taken_over(&before(), now()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of before"]
async fn the_outbox_of_now_is_replayed_by_the_program_of_before() {
    taken_over(now(), &before()).await;
}

/// The bot itself: killed while both paths are gone, and replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the program of before"]
async fn a_bot_of_before_that_is_killed_in_an_outage_leaves_its_events_to_the_bot_of_now() {
    let (file, before) = (DbFile::new(), before());
    let mut bot = BotProcess::start_of(&before, NOWHERE, &file.url(), "ann", 100);
    let database = Database::File(file);
    database.applies(100).await;
    let Database::File(file) = &database else { unreachable!() };
    let held = file.hold().await;
    wait_until("events wait", || async { bot.waiting().await > 100 }).await;
    bot.kill();
    held.release().await;
    bot.begin_again_as(now());
    database.applies(100).await;
    let (fed, report) = bot.finish().await;
    eprintln!("the bot of now: {} on the database, {} in the outbox", report.db, report.outbox);
    assert_exactly_once(&database, &[("ann", fed)]).await;
}
