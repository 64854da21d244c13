//! Rounds on a schedule.

use eitherway::Code;
use eitherway::sql::SqliteOptions;
use eitherway_layers::{Class, Classify};
use tokio::runtime::Handle;

use super::*;

fn often(file: &DbFile) -> SqliteOptions {
    let retention = Retention::default().every(Duration::from_millis(20));
    file.options().retention(Some(retention))
}

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

#[tokio::test]
async fn the_schedule_removes_by_itself_and_ends_with_the_service() {
    let w = World::new().await;
    w.says("alice", 0).await;
    let tasks_before = tasks();
    let service = SqlService::<Op>::open(&often(&w.file)).await.unwrap();
    let gone = async || w.file.number("SELECT count(*) FROM recent_chat").await == 0;
    wait_until("the first round", &gone).await;
    w.says("alice", 1).await;
    wait_until("one more", &gone).await;
    assert_eq!(w.db.user_stats("alice").await.unwrap().unwrap().total_chat_lines, Some(2));
    let clone = service.clone();
    drop(service);
    w.says("alice", 2).await;
    wait_until("a clone keeps it going", &gone).await;
    drop(clone);
    wait_until("its tasks end", || async { tasks() <= tasks_before }).await;
    w.file.assert_clean().await;
}

#[tokio::test]
async fn a_service_that_is_closed_removes_no_more() {
    let file = DbFile::new();
    let tasks_before = tasks();
    let service = SqlService::<Op>::open(&often(&file)).await.unwrap();
    service.close().await;
    wait_until("its tasks end although a handle is left", || async { tasks() <= tasks_before }).await;
    drop(service);
}

#[tokio::test]
async fn a_schedule_that_is_not_wanted_is_none() {
    let file = DbFile::new();
    let added = async |options: SqliteOptions| {
        let (before, service) = (tasks(), SqlService::<Op>::open(&options).await.unwrap());
        let added = tasks() - before;
        drop(service);
        wait_until("its tasks end", || async { tasks() <= before }).await;
        added
    };
    assert_eq!(added(often(&file)).await, added(often(&file).retention(None)).await + 1);
}

#[tokio::test]
async fn while_another_process_holds_the_lock_nothing_is_taken_and_the_next_round_takes_all() {
    let w = World::new().await;
    for second in 0..10 {
        w.joins("alice", second * 10).await;
        w.says("alice", second * 10 + 1).await;
    }
    let known = w.known(&["alice"]).await;
    let options = w.file.options().busy_timeout(Duration::from_millis(50)).retention(None);
    let hasty = SqlService::<Op>::open(&options).await.unwrap();
    let mut other = w.file.connect().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let later = clock::now() + 400 * DAY;
    let cause = hasty.sweep(&Retention::default(), later).await.unwrap_err();
    assert_eq!((cause.class(), cause.code()), (Class::Backend, Code::BUSY), "{cause}");
    sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    assert_eq!(w.file.applied().await, 20);
    assert_eq!(w.file.number("SELECT count(*) FROM meta WHERE key LIKE 'swept.%'").await, 0);
    w.file.assert_clean().await;

    let swept = hasty.sweep(&Retention::default(), later).await.unwrap();
    assert_eq!((swept["ledger"], swept["chat"], swept["history"]), (20, 10, 9));
    assert_eq!(w.known(&["alice"]).await, known);
    w.file.assert_clean().await;
}
