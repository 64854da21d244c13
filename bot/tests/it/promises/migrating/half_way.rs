//! Take-overs that are killed, begun twice, or begin with what another one has left.

use super::folder::Folder;
use super::*;
use crate::support::*;

const SERVE: &str = "rosey serve --database-url sqlite://bot_data.db --keep history=3650d,sent=3650d";

/// So many rows that the change is under way for a while.
const MANY: &str = "
    INSERT INTO user_count_history (timestamp, chat_users, connected_users)
    WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 300000) SELECT NOW - n * 30, n, n + 1 FROM n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_take_over_that_is_killed_half_way_is_undone_and_begun_again() {
    for mode in ["", "PRAGMA journal_mode = WAL"] {
        let (server, folder) =
            (NatsServer::start().await, Folder::made_by(&[H, HUNDRED_DAYS, MANY, mode]).await);
        let before = folder.history().await;
        let mut service = folder.begin(SERVE, &server);
        // SQLite writes beside the file while the transaction runs
        let grown = |ending: &str| {
            let file = folder.path(&format!("bot_data.db{ending}"));
            std::fs::metadata(file).is_ok_and(|file| file.len() > 0)
        };
        wait_until("the change is under way", || {
            let begun = grown("-journal") || grown("-wal");
            async move { begun }
        })
        .await;
        service.kill();
        assert!(!service.log().contains("took over"), "it was killed too late:\n{}", service.log());
        drop(service);
        // for the Python bot, too, it is the file that it was
        assert_eq!(folder.history().await, before);
        assert_eq!(folder.rows("SELECT name FROM sqlite_master WHERE name = 'ledger'").await, [""; 0]);

        let log = folder.serve(SERVE, &server).await.terminate_and_log().await;
        assert!(log.contains("took over"), "{log}");
        assert_eq!(folder.history().await, before);
        assert_eq!(folder.done("rosey verify --database-url sqlite://bot_data.db", None).0, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_services_that_start_at_once_one_takes_over_and_both_serve() {
    for script in [H, S4] {
        let (server, folder) = (NatsServer::start().await, Folder::made_by(&[script, HUNDRED_DAYS]).await);
        let before = folder.history().await;
        let [mut one, mut two] = ["one", "two"].map(|_| folder.begin(SERVE, &server));
        one.serves().await;
        two.serves().await;
        let logs = [one.terminate_and_log().await, two.terminate_and_log().await];
        assert_eq!(logs.iter().filter(|log| log.contains("took over")).count(), 1, "{logs:#?}");
        assert_eq!(folder.history().await, before);
        assert_eq!(folder.done("rosey verify --database-url sqlite://bot_data.db", None).0, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_bot_has_left_in_the_log_beside_its_file_is_taken_over_too() {
    let (server, folder) =
        (NatsServer::start().await, Folder::made_by(&[H, "PRAGMA journal_mode = WAL"]).await);
    let mut bot = folder.connect().await;
    sqlx::raw_sql("PRAGMA wal_autocheckpoint = 0; UPDATE user_stats SET total_chat_lines = 121 WHERE username = 'alice'")
        .execute(&mut bot)
        .await
        .unwrap();
    // the state of a process that was killed: both files as they are now
    let left = Folder::made_by(&[]).await;
    for ending in ["", "-wal"] {
        let name = format!("bot_data.db{ending}");
        std::fs::copy(folder.path(&name), left.path(&name)).unwrap();
    }
    left.serve(SERVE, &server).await.terminate_and_log().await;
    let lines = left.rows("SELECT '' || total_chat_lines FROM user_stats WHERE username = 'alice'").await;
    assert_eq!(lines, ["121"]);
}
