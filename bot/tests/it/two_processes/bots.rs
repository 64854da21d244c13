//! Real processes.

use std::fs::File;
use std::time::SystemTime;

use futures_util::future::join_all;
use tokio::sync::watch;

use super::*;

/// Sweeps over and over while something runs; returns how often.
async fn sweeping<T>(file: &DbFile, running: impl Future<Output = T>) -> (T, u64) {
    wait_until("one of them has made the file", || async { file.path().exists() }).await;
    // The usual budget, as every process.
    let options = file.options().busy_timeout(Duration::from_millis(400));
    let service = SqlService::<rosey::op::Op>::open(&options).await.unwrap();
    let (stop, stopped) = watch::channel(());
    let rounds = async {
        let mut rounds = 0;
        while !stopped.has_changed().unwrap() {
            let short = Retention::default().keep("chat", Duration::from_secs(600));
            match service.sweep(&short, clock::now()).await {
                Ok(_) => rounds += 1,
                // Two others write at the same time.
                Err(error) => assert_eq!(error.code(), eitherway::Code::BUSY, "{error}"),
            }
        }
        rounds
    };
    let running = async {
        let done = running.await;
        stop.send(()).unwrap();
        done
    };
    let (done, rounds) = tokio::join!(running, rounds);
    service.close().await;
    (done, rounds)
}

#[tokio::test]
async fn two_bots_on_a_file_that_does_not_exist_and_somebody_who_sweeps() {
    const EVENTS: i64 = 4000;
    let file = DbFile::new();
    let bots = ["one", "two"].map(|name| BotProcess::start(&file, name, &recording(name, EVENTS)));
    let (ended, rounds) = sweeping(&file, join_all(bots.map(BotProcess::end))).await;
    assert!(rounds > 0);
    let mut sent = BTreeMap::new();
    for ended in &ended {
        for (operation, count) in ended.sent() {
            *sent.entry(operation).or_default() += count;
        }
    }
    // A claim that leased nothing leaves no trace, as does the query of a bot that takes long to start.
    for without_trace in ["outbound_get", "open_sessions"] {
        sent.remove(without_trace);
    }
    assert_eq!(applied(&file).await, sent);
    let each = 2 * u64::try_from(EVENTS).unwrap() / 5;
    assert_eq!((sent["user_joined"], sent["user_left"], sent["message_log"]), (each, each, 2 * each));
    let lines = file.number("SELECT sum(total_chat_lines) FROM user_stats_now").await;
    assert_eq!(lines.unsigned_abs(), 2 * each);
    let left = file.number("SELECT count(*) FROM recent_chat").await;
    let folded = file.number("SELECT coalesce(sum(chat_lines), 0) FROM user_baseline").await;
    assert!(folded > 0, "lines of more than ten minutes ago were removed");
    assert_eq!((left + folded).unsigned_abs(), 2 * each);
    file.assert_clean().await;
}

#[tokio::test]
async fn ten_processes_started_at_once_on_one_new_file_all_start() {
    let file = DbFile::new();
    // None goes on before all ten are there.
    let lock = File::create(file.path().with_file_name("rosey.db.lock")).unwrap();
    lock.lock().unwrap();
    let bots = (0..10).map(|n| {
        let name = format!("bot{n}-");
        BotProcess::start(&file, &name, &recording(&name, 20))
    });
    let bots: Vec<_> = bots.collect();
    wait_until("all ten wait for the lock", || async {
        // Each time as if another one had taken it: they wait for as long as the start of all takes.
        lock.set_modified(SystemTime::now()).unwrap();
        bots.iter().all(|bot| bot.running.log().contains("waiting for its lock"))
    })
    .await;
    assert!(!file.path().exists());
    lock.unlock().unwrap();
    for ended in join_all(bots.into_iter().map(BotProcess::end)).await {
        assert_eq!(ended.sent()["message_log"], 8);
    }
    assert_eq!(applied(&file).await["message_log"], 80);
    assert_eq!(file.number("SELECT count(*) FROM meta WHERE key = 'database_id'").await, 1);
    file.assert_clean().await;
}

#[tokio::test]
async fn one_writer_is_killed_and_the_other_goes_on() {
    let file = DbFile::new();
    let mut victim = BotProcess::start(&file, "victim", &recording("victim", 20_000));
    let count = async || file.number("SELECT count(*) FROM ledger WHERE operation = 'message_log'").await;
    wait_until("its tables are there", || async { file.path().exists() }).await;
    // Opened once it is migrated: under the lock that the victim held for that.
    let service = file.open().await;
    let db = eitherway::Db::new(service.clone());
    wait_until("the victim writes", || async { count().await > 500 }).await;
    let (stop, stopped) = watch::channel(());
    let writing = async {
        let mut acknowledged = 0;
        while !stopped.has_changed().unwrap() {
            db.message_log("survivor", format!("line {acknowledged}")).await.unwrap();
            acknowledged += 1;
        }
        acknowledged
    };
    let killing = async {
        let before = count().await;
        wait_until("both write", || async { count().await > before + 500 }).await;
        victim.running.kill();
        let of_survivor =
            async || file.number("SELECT count(*) FROM recent_chat WHERE username = 'survivor'").await;
        let after = of_survivor().await;
        wait_until("the other goes on", || async { of_survivor().await > after + 100 }).await;
        stop.send(()).unwrap();
    };
    let (acknowledged, ()) = tokio::join!(writing, killing);
    assert!(!victim.report.exists(), "it was killed before its end");
    let lines = db.user_stats("survivor").await.unwrap().unwrap().total_chat_lines;
    assert_eq!(lines, Some(acknowledged));
    file.assert_clean().await;
    service.close().await;

    // Played again, what it had done takes no second effect, and what it had not is done.
    let ended = BotProcess::start(&file, "victim", &recording_again(&victim.report)).end().await;
    assert_eq!(ended.sent()["message_log"], 8_000);
    let victims = "SELECT sum(total_chat_lines) FROM user_stats_now WHERE username GLOB 'victim*'";
    assert_eq!(file.number(victims).await, 8_000);
    file.assert_clean().await;
}

fn recording_again(report: &std::path::Path) -> String {
    std::fs::read_to_string(report.with_extension("jsonl")).unwrap()
}
