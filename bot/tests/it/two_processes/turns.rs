//! Who writes when: two services that never stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use eitherway::Db;
use tokio::task::JoinSet;

use super::*;

/// Both have the usual budget: an operation that finds the lock taken for longer than that fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_services_under_constant_load_take_turns() {
    const CALLERS: u64 = 64;
    const EACH: u64 = 100;
    let file = DbFile::new();
    let options = file.options().busy_timeout(Duration::from_millis(400));
    let done = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let mut callers = JoinSet::new();
    for side in 0..2 {
        let service = SqlService::<rosey::op::Op>::open(&options).await.unwrap();
        for caller in 0..CALLERS {
            let (db, done) = (Db::new(service.clone()), Arc::clone(&done));
            callers.spawn(async move {
                let mut longest = Duration::ZERO;
                for n in 0..EACH {
                    let begun = std::time::Instant::now();
                    let user = format!("user{side}");
                    db.message_log(user, format!("line {n} of {caller}")).await.unwrap();
                    longest = longest.max(begun.elapsed());
                    done[side].fetch_add(1, Ordering::AcqRel);
                }
                // what the other side had done by then
                (side, longest, done[1 - side].load(Ordering::Acquire))
            });
        }
    }
    let mut longest = [Duration::ZERO; 2];
    let mut others = [u64::MAX; 2];
    while let Some(ended) = callers.join_next().await {
        let (side, waited, other) = ended.unwrap();
        longest[side] = longest[side].max(waited);
        others[side] = others[side].min(other);
    }
    let total = CALLERS * EACH;
    for side in 0..2 {
        assert!(
            others[side] > 0,
            "the other had its turns before the first caller ended: {others:?} of {total}"
        );
    }
    // A change of sides is a transaction of the other one in between: the rows stand in the order of their commits.
    let turns = file
        .number(
            "SELECT sum(other) FROM (
                 SELECT username <> lag(username) OVER (ORDER BY id) AS other FROM recent_chat)",
        )
        .await;
    let transactions = file.number("SELECT count(DISTINCT batch) FROM ledger").await;
    println!("{transactions} transactions, {turns} turns, longest wait {longest:?}");
    assert!(turns >= 10, "{turns} turns in {transactions} transactions");
    assert_eq!(file.applied().await, 2 * total);
    assert_eq!(
        file.number("SELECT sum(total_chat_lines) FROM user_stats_now").await.unsigned_abs(),
        2 * total
    );
    file.assert_clean().await;
}

/// One side never has less than a full transaction waiting; on the other there is one caller.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_caller_gets_through_beside_a_crowd() {
    const CROWD: u64 = 2000;
    const EACH: u64 = 8;
    let file = DbFile::new();
    let options = file.options().busy_timeout(Duration::from_millis(400));
    let [crowded, quiet] = [
        SqlService::<rosey::op::Op>::open(&options).await.unwrap(),
        SqlService::<rosey::op::Op>::open(&options).await.unwrap(),
    ];
    let mut crowd = JoinSet::new();
    for caller in 0..CROWD {
        let db = Db::new(crowded.clone());
        crowd.spawn(async move {
            for n in 0..EACH {
                db.message_log("crowd", format!("line {n} of {caller}")).await.unwrap();
            }
        });
    }
    let db = Db::new(quiet);
    let (mut said, mut longest) = (0, Duration::ZERO);
    while !crowd.is_empty() {
        let begun = std::time::Instant::now();
        db.message_log("quiet", format!("line {said}")).await.unwrap();
        longest = longest.max(begun.elapsed());
        said += 1;
        while let Some(ended) = crowd.try_join_next() {
            ended.unwrap();
        }
    }
    let transactions = file
        .number("SELECT count(DISTINCT batch) FROM ledger JOIN recent_chat ON op_id = ledger.id WHERE username = 'crowd'")
        .await;
    println!("{said} lines beside {transactions} transactions, longest wait {longest:?}");
    assert!(said >= 5, "{said} lines beside {transactions} transactions");
    assert_eq!(file.applied().await, CROWD * EACH + said);
    file.assert_clean().await;
}
