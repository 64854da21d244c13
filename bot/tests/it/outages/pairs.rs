//! Two things break at once.

use std::time::Duration;

use futures_util::future::join;

use super::BOUND;
use crate::support::*;

/// On a stream that gives what a killed service had taken to the next one soon.
const ON: &[&str] = &["--jetstream", "on", "--stream-ack-wait-ms", "2000"];

/// The verdict on a load over three paths: everything was taken by one of them, and is there once.
async fn verdict(load: &mut Load, bots: &[&Bot], file: &DbFile) -> u64 {
    let sent = load.all_served().await;
    for bot in bots {
        bot.emptied().await;
    }
    let tally = &load.tally;
    eprintln!(
        "sent {sent} · NATS {} · database {} · outbox {} · slowest {:?}",
        tally.by_nats(),
        tally.by_db(),
        tally.by_outbox(),
        tally.slowest()
    );
    assert!(tally.slowest() < BOUND, "{:?}", tally.slowest());
    assert_exactly_once(file, sent).await;
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_killed_and_database_locked() {
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let bot = Bot::start(&server, &file).await;
    let mut load = Load::start(&bot.db, 16);
    load.served_by_nats(200).await;
    let held = file.hold().await;
    server.kill();
    load.taken_by_outbox(300).await;
    held.release().await;
    load.served_by_db(200).await;
    server.restart().await;
    load.served_by_nats(200).await;
    verdict(&mut load, &[&bot], &file).await;
    bot.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_frozen_and_service_killed() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let mut process = ServeProcess::start(&server, &file).await;
    let bot = Bot::start(&server, &file).await;
    let mut load = Load::start(&bot.db, 16);
    load.served_by_nats(200).await;
    server.freeze();
    process.kill();
    load.served_by_db(300).await;
    server.thaw();
    load.served_by_db(300).await;
    process.restart().await;
    load.served_by_nats(200).await;
    verdict(&mut load, &[&bot], &file).await;
    bot.stop().await;
    assert_eq!(process.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn service_killed_and_started_again_on_a_full_disk() {
    let w = Durable::new().await;
    let mut process = ServeProcess::start_with(&w.server, &w.file, ON).await;
    let nats = w.client().await;
    let mut load = Load::start(&nats_only(&nats), 4);
    load.served_by_nats(300).await;
    process.kill();
    load.served_by_nats(300).await;
    process.restart().await;
    process.limit_files(Some(4096));
    load.served_by_nats(300).await;
    process.limit_files(None);
    let sent = load.all_served().await;
    w.emptied().await;
    assert_eq!(w.file.buried().await, 0, "a full disk makes no dead letters");
    assert_exactly_once(&w.file, sent).await;
    assert_eq!(process.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn network_stalled_and_database_locked() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let proxy = Proxy::before(&server).await;
    let bot = Bot::start(&proxy, &file).await;
    let mut load = Load::start(&bot.db, 16);
    load.served_by_nats(200).await;
    let held = file.hold().await;
    proxy.stall(BOTH);
    load.taken_by_outbox(300).await;
    held.release().await;
    proxy.heal().await;
    load.served_by_nats(200).await;
    verdict(&mut load, &[&bot], &file).await;
    bot.stop().await;
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn network_half_closed_again_and_again_while_the_service_is_killed() {
    let w = Durable::new().await;
    let mut process = ServeProcess::start_with(&w.server, &w.file, ON).await;
    let proxy = Proxy::before(&w.server).await;
    let bot = Bot::start(&proxy, &w.file).await;
    let mut load = Load::start(&bot.db, 16);
    for towards in BOTH {
        load.served_by_nats(200).await;
        proxy.half_close(towards);
        process.kill();
        load.served_by_nats(200).await;
        process.restart().await;
    }
    let sent = load.all_served().await;
    bot.emptied().await;
    w.emptied().await;
    assert_exactly_once(&w.file, sent).await;
    bot.stop().await;
    assert_eq!(process.terminate().await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_services_of_which_one_freezes_and_the_network_is_slow() {
    let (server, file) = (NatsServer::start().await, DbFile::new());
    let (frozen, other) =
        join(ServeProcess::start(&server, &file), ServeProcess::start(&server, &file)).await;
    let proxy = Proxy::before(&server).await;
    let bot = Bot::start(&proxy, &file).await;
    proxy.delay(BOTH, Duration::from_millis(5));
    // While they have nothing to do: frozen inside a transaction, one would hold the lock of the file.
    frozen.freeze();
    let mut load = Load::start(&bot.db, 16);
    load.served_by_db(200).await;
    frozen.thaw();
    proxy.heal().await;
    bot.over_nats().await;
    load.served_by_nats(200).await;
    verdict(&mut load, &[&bot], &file).await;
    bot.stop().await;
    assert_eq!((frozen.terminate().await, other.terminate().await), (Some(0), Some(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bots_while_the_server_is_restarted_and_the_file_is_locked_for_moments() {
    let (mut server, file) = (NatsServer::start().await, DbFile::new());
    let service = DbService::start(&server, &file).await;
    let (one, two) = join(Bot::start(&server, &file), Bot::start(&server, &file)).await;
    let (mut first, mut second) = (Load::named("one", &one.db, 8), Load::named("two", &two.db, 8));
    for _ in 0..2 {
        first.served_by_nats(100).await;
        server.kill();
        file.hold().await.release().await;
        second.served_by_db(100).await;
        server.restart().await;
        second.served_by_nats(100).await;
    }
    let sent = [first.finish().await, second.finish().await];
    first.assert_all_served(sent[0]);
    second.assert_all_served(sent[1]);
    join(one.emptied(), two.emptied()).await;
    one.stop().await;
    two.stop().await;
    service.stop().await;
    eprintln!("sent {sent:?}");
    assert_exactly_once(&file, sent[0] + sent[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_behind_a_network_that_is_cut_and_a_database_that_was_locked() {
    let w = Durable::new().await;
    let proxy = Proxy::before(&w.server).await;
    // This time the service is behind it, and the bot is beside the server.
    let mut process = ServeProcess::start_with(&proxy, &w.file, ON).await;
    let nats = w.client().await;
    let mut load = Load::start(&nats_only(&nats), 8);
    for _ in 0..2 {
        load.served_by_nats(200).await;
        let held = w.file.hold().await;
        proxy.cut(End::Reset, NewConnections::Refused).await;
        load.served_by_nats(200).await;
        held.release().await;
        proxy.heal().await;
    }
    process.kill();
    process.restart().await;
    let sent = load.all_served().await;
    w.emptied().await;
    assert_exactly_once(&w.file, sent).await;
    assert_eq!(process.terminate().await, Some(0));
}
