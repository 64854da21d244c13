//! What Rosey appends on SQLite.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use eitherway::sql::{Retention, SqlService};
use eitherway::store::Store;
use eitherway::{Db, clock};
use futures_util::future::join_all;
use rosey::op::{Op, RoseyClient};
use sqlx::AssertSqlSafe;

use crate::support::{DbFile, wait_until};

/// Opens it; nothing folds by itself.
async fn open(file: &DbFile) -> Db<SqlService<Op>> {
    Db::new(SqlService::open(&file.options().retention(None).folding(None)).await.unwrap())
}

/// Opens it; what waits is folded at once.
async fn open_folding(file: &DbFile) -> Db<SqlService<Op>> {
    let options = file.options().retention(None).folding(Some(Duration::from_millis(1)));
    Db::new(SqlService::open(&options).await.unwrap())
}

/// Lines of so many users, each of them two.
async fn say(db: &Db<SqlService<Op>>, users: usize) {
    let lines = (0..users * 2).map(|n| db.message_log(format!("user{}", n % users), "hello"));
    assert!(join_all(lines).await.into_iter().all(|said| said.is_ok()));
}

const IN_THE_TABLE: &str = "SELECT coalesce(sum(total_chat_lines), 0) FROM user_stats";
const ALL: &str = "SELECT coalesce(sum(total_chat_lines), 0) FROM user_stats_now";
const WAITING: &str = "SELECT (SELECT count(*) FROM lines_waiting) + (SELECT count(*) FROM speakers)";

#[tokio::test]
async fn the_table_itself_is_exact_once_the_file_is_closed() {
    let file = DbFile::new();
    let db = Db::new(file.open().await);
    say(&db, 30).await;
    db.stack().close().await;
    assert_eq!((file.number(IN_THE_TABLE).await, file.number(WAITING).await), (60, 0));
    file.assert_clean().await;
}

#[tokio::test]
async fn the_table_itself_is_exact_at_rest() {
    let file = DbFile::new();
    let db = open_folding(&file).await;
    say(&db, 700).await;
    wait_until("nothing waits", || async { file.number(WAITING).await == 0 }).await;
    assert_eq!(file.number(IN_THE_TABLE).await, 1400);
    file.assert_clean().await;
}

/// Wherever it stops.
#[tokio::test]
async fn a_fold_that_fails_at_any_statement_changes_nothing_and_is_done_again() {
    for (event, is_second) in [
        ("INSERT ON user_stats", false),
        ("INSERT ON speakers", false),
        ("INSERT ON top_chatters", false),
        ("DELETE ON lines_waiting", false),
        ("UPDATE OF total ON speakers", true),
        ("UPDATE OF total_chat_lines ON user_stats", false),
        ("DELETE ON speakers", false),
    ] {
        let file = DbFile::new();
        let db = open(&file).await;
        say(&db, 9).await;
        if is_second {
            // Of lines that are gathered, and not counted yet.
            let failing =
                "CREATE TRIGGER stop BEFORE DELETE ON speakers BEGIN SELECT raise(ABORT, 'stopped'); END";
            file.execute(failing).await;
            db.stack().fold().await.unwrap_err();
            file.execute("DROP TRIGGER stop").await;
            say(&db, 9).await;
        }
        let said = file.number(ALL).await;
        let stop = format!("CREATE TRIGGER stop BEFORE {event} BEGIN SELECT raise(ABORT, 'stopped'); END");
        sqlx::raw_sql(AssertSqlSafe(stop)).execute(&mut file.connect().await).await.unwrap();
        let failed = db.stack().fold().await.unwrap_err();
        assert!(failed.to_string().contains("stopped"), "{event}: {failed}");
        assert_eq!(file.number(ALL).await, said, "{event}");
        file.assert_clean().await;
        file.execute("DROP TRIGGER stop").await;
        db.stack().fold().await.unwrap();
        assert_eq!((file.number(IN_THE_TABLE).await, file.number(WAITING).await), (said, 0), "{event}");
        file.assert_clean().await;
    }
}

#[tokio::test]
async fn a_fold_that_fails_stops_nobody_and_is_a_concern_until_it_works_again() {
    let file = DbFile::new();
    drop(open(&file).await);
    file.execute("CREATE TRIGGER few BEFORE INSERT ON speakers BEGIN SELECT raise(ABORT, 'too few'); END")
        .await;
    let db = open_folding(&file).await;
    let concerns = Store::<Op>::concerns(db.stack());
    let folds = || concerns.borrow().folds.clone();
    say(&db, 5).await;
    wait_until("it is a concern", || async { folds().is_some_and(|said| said.contains("too few")) }).await;
    say(&db, 5).await;
    assert_eq!(db.user_stats("user3").await.unwrap().unwrap().total_chat_lines, Some(4));
    let channel = db.channel_stats().await.unwrap();
    assert_eq!((channel.total_users_seen, channel.top_chatters[0].chat_lines), (5, 4));
    file.assert_clean().await;
    file.execute("DROP TRIGGER few").await;
    wait_until("it is none", || async { folds().is_none() }).await;
    wait_until("nothing waits", || async { file.number(WAITING).await == 0 }).await;
    assert_eq!(file.number(IN_THE_TABLE).await, 20);
    file.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_that_fold_one_file_count_no_line_twice() {
    let file = DbFile::new();
    let both = [open_folding(&file).await, open_folding(&file).await];
    let callers = (0..8).map(|caller| {
        let db = both[caller % 2].clone();
        tokio::spawn(async move {
            for n in 0..200 {
                db.message_log(format!("user{}", n % 40), "hello").await.unwrap();
                if n % 50 == 0 {
                    db.stack().fold().await.unwrap();
                }
            }
        })
    });
    for caller in join_all(callers).await {
        caller.unwrap();
    }
    assert_eq!(file.number(ALL).await, 1600);
    file.assert_clean().await;
    for db in both {
        db.stack().close().await;
    }
    assert_eq!((file.number(IN_THE_TABLE).await, file.number(WAITING).await), (1600, 0));
    file.assert_clean().await;
}

const CHILD: &str = "ROSEY_FOLDING_CHILD";

/// Not a test of its own: what is killed below.
#[tokio::test]
#[allow(clippy::print_stdout)]
async fn one_that_folds_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let options = eitherway::sql::SqliteOptions::new(&path).unwrap().folding(Some(Duration::from_millis(1)));
    let db: Db<SqlService<Op>> = Db::new(SqlService::open(&options).await.unwrap());
    let mut told = 0;
    loop {
        say(&db, 150).await;
        told += 300;
        println!("said {told}");
    }
}

#[tokio::test]
async fn one_that_is_killed_while_it_folds_has_counted_every_line_once() {
    let file = DbFile::new();
    open(&file).await.stack().close().await;
    for round in 0..6_u64 {
        let before = file.number("SELECT count(*) FROM ledger").await;
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "folds::file::one_that_folds_until_it_is_killed", "--nocapture"])
            .env(CHILD, file.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // At a moment of its own in each round.
        let mut told = 0;
        for _ in 0..=round {
            let line =
                lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("said "))).unwrap().unwrap();
            told = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let known = file.number("SELECT count(*) FROM ledger").await;
        assert!(known >= before + told, "{known} of {told} and {before}");
        assert_eq!(file.number(ALL).await, known);
        file.assert_clean().await;
    }
    let known = file.number(ALL).await;
    Db::new(file.open().await).stack().close().await;
    assert_eq!((file.number(IN_THE_TABLE).await, file.number(WAITING).await), (known, 0));
    file.assert_clean().await;
}

/// Old lines go on coming between the two steps of a round: it folds, and it removes.
#[tokio::test(flavor = "multi_thread")]
async fn lines_that_are_swept_while_they_wait_to_be_folded_stay_counted() {
    let file = DbFile::new();
    let db = open(&file).await;
    let at = clock::now() - 3 * 3_600_000;
    let saying = {
        let db = db.clone();
        tokio::spawn(async move {
            for n in 0..600 {
                let name = if n % 3 == 0 { "Server".to_owned() } else { format!("user{}", n % 20) };
                db.at(at + n).message_log(name, "hello").await.unwrap();
            }
        })
    };
    let hour = Retention::default().keep("chat", Duration::from_secs(3600));
    let (mut swept, mut is_over) = (0, false);
    while !is_over {
        is_over = saying.is_finished();
        swept += db.stack().sweep(&hour, clock::now()).await.unwrap()["chat"];
        file.assert_clean().await;
    }
    saying.await.unwrap();
    assert_eq!((swept, file.number(ALL).await), (600, 600));
    db.stack().fold().await.unwrap();
    assert_eq!(file.number(IN_THE_TABLE).await, 600);
    file.assert_clean().await;
}

/// A file as the version before has left it.
const BEFORE: &str = "
    DROP TRIGGER user_is_no_key; DROP TRIGGER presence_is_of_no_key; DROP TRIGGER presence_inserted; DROP TRIGGER server_spoke;
    DROP TABLE derived; DROP INDEX user_actions_person; CREATE INDEX user_actions_username ON user_actions (username);
    DROP TRIGGER user_seen; DROP TRIGGER user_gone; DROP TRIGGER user_came; DROP TRIGGER user_spoke; DROP TRIGGER user_fell;
    DROP TRIGGER chatter_gone;
    DROP VIEW user_stats_now; DROP VIEW ten_now;
    DROP TABLE lines_waiting; DROP TABLE speakers; DROP TABLE top_chatters;
    ALTER TABLE channel_stats DROP COLUMN users_seen; ALTER TABLE channel_stats DROP COLUMN tenth_chatter;
    ALTER TABLE user_stats DROP COLUMN named; ALTER TABLE presence DROP COLUMN name;
    ALTER TABLE recent_chat DROP COLUMN person; ALTER TABLE user_actions DROP COLUMN person;
    ALTER TABLE outbound_messages DROP COLUMN name; ALTER TABLE outbound_messages DROP COLUMN sender_name;
    ALTER TABLE channel_quotes DROP COLUMN name; ALTER TABLE channel_quotes DROP COLUMN added_by_name;
    CREATE TRIGGER presence_inserted AFTER INSERT ON presence BEGIN SELECT 1; END;
    CREATE TRIGGER server_spoke AFTER INSERT ON recent_chat BEGIN SELECT 1; END;
    DELETE FROM _sqlx_migrations WHERE version IN (16, 20, 21)";

#[tokio::test]
async fn a_file_of_the_version_before_keeps_its_totals() {
    let file = DbFile::new();
    let db = Db::new(file.open().await);
    say(&db, 30).await;
    db.message_log("user7", "one more").await.unwrap();
    db.user_joined("only joins").await.unwrap();
    let known = (db.channel_stats().await.unwrap(), db.user_stats("user7").await.unwrap());
    db.stack().close().await;
    file.execute(BEFORE).await;

    let db = open(&file).await;
    let found = (db.channel_stats().await.unwrap(), db.user_stats("user7").await.unwrap());
    assert_eq!(found, known);
    assert_eq!((found.0.total_users_seen, found.0.top_chatters[0].chat_lines), (31, 3));
    file.assert_clean().await;
    say(&db, 30).await;
    file.assert_clean().await;
    db.stack().fold().await.unwrap();
    file.assert_clean().await;
    assert_eq!(file.number(IN_THE_TABLE).await, 121);
}

/// One that had the file open when it was migrated.
#[tokio::test]
async fn lines_that_a_program_of_before_counts_beside_this_one_are_counted() {
    let file = DbFile::new();
    let db = open(&file).await;
    say(&db, 12).await;
    let counted = "UPDATE user_stats SET total_chat_lines = total_chat_lines + 5 WHERE username = 'user11'";
    db.stack().fold().await.unwrap();
    file.execute(counted).await;
    say(&db, 12).await;
    file.execute(counted).await;
    let most = || async { db.channel_stats().await.unwrap().top_chatters[0].chat_lines };
    assert_eq!(most().await, 14);
    db.stack().fold().await.unwrap();
    assert_eq!(most().await, 14);
}

#[tokio::test]
async fn a_broken_tally_is_named() {
    for (broken, column) in [
        ("UPDATE lines_waiting SET lines = lines + 1 WHERE username = 'user3'", "total_chat_lines"),
        ("DELETE FROM lines_waiting WHERE username = 'user3'", "username"),
        ("UPDATE lines_waiting SET first = 1000 WHERE username = 'user3'", "first_seen"),
        ("UPDATE lines_waiting SET last = last + 5000 WHERE username = 'user3'", "last_line"),
    ] {
        let file = DbFile::new();
        let db = open(&file).await;
        say(&db, 5).await;
        file.execute(broken).await;
        let verdict = file.verdict().await;
        let named = |f: &eitherway::sql::Finding| {
            (f.check, f.row.as_str(), f.column.as_str()) == ("user_stats", "user3", column)
        };
        assert!(verdict.findings.iter().any(named), "{broken}: {:#?}", verdict.findings);
        assert!(verdict.findings.iter().all(|f| f.row == "user3"), "{broken}: {:#?}", verdict.findings);
    }
    let file = DbFile::new();
    let db = open(&file).await;
    say(&db, 5).await;
    let stop = "CREATE TRIGGER stop BEFORE DELETE ON speakers BEGIN SELECT raise(ABORT, 'stopped'); END";
    file.execute(stop).await;
    db.stack().fold().await.unwrap_err();
    file.execute("DROP TRIGGER stop").await;
    file.assert_clean().await;
    file.execute("UPDATE speakers SET lines = lines + 1 WHERE username = 'user3'").await;
    let verdict = file.verdict().await;
    let checks: Vec<_> = verdict.findings.iter().map(|f| (f.check, f.row.as_str())).collect();
    assert!(
        checks.contains(&("user_stats", "user3")) && checks.contains(&("top_chatters", "user3")),
        "{checks:?}"
    );
}
