//! The log of the file, which others keep from being moved into it.

use sqlx::Connection;

use super::*;

const MIB: u64 = 1 << 20;

#[tokio::test]
async fn a_reader_that_keeps_the_log_from_being_moved_is_named_and_the_log_shrinks_when_it_is_gone() {
    let mut world = World::core().await;
    world.say().await.unwrap();
    let mut reader = world.file.connect().await;
    sqlx::raw_sql("BEGIN; SELECT count(*) FROM ledger").execute(&mut reader).await.unwrap();
    let log = world.beside("-wal");
    let long = async |number: u64| {
        let line = json!({"username": "alice", "message": "m".repeat(200_000), "number": number}).to_string();
        assert_eq!(world.peer.request("rosey.db.message.log", line).await.refusal(), None);
    };
    let mut number = 0;
    while fs::metadata(&log).unwrap().len() < 80 * MIB {
        number += 1;
        long(number).await;
    }
    world.noticed("keeps the log").await;
    let notices = world.notices().await;
    assert!(notices.contains(&format!("process {}", std::process::id())), "{notices}");
    assert!(world.say().await.is_ok(), "it goes on");
    sqlx::raw_sql("ROLLBACK").execute(&mut reader).await.unwrap();
    reader.close().await.unwrap();
    world.all_is_well().await;
    // The next one begins it anew.
    for _ in 0..100 {
        world.say().await.unwrap();
        if fs::metadata(&log).unwrap().len() < 40 * MIB {
            break;
        }
    }
    assert!(fs::metadata(&log).unwrap().len() < 40 * MIB);
}
