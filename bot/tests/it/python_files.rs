//! Files of the Python bot, of both its generations, are taken over with everything in them, and it can still read them.

mod defects;
mod file;
mod old_bot;
mod spellings;

use eitherway::Db;
use eitherway::sql::{Retention, SqlService, SqliteOptions, verify};
use file::PythonFile;
use rosey::op::{Op, RoseyClient, SearchChat, StatusUpdate};

const H: &str = include_str!("python_files/h.sql");
const S4: &str = include_str!("python_files/s4.sql");
const ALEMBIC_000: &str = include_str!("python_files/alembic_000.sql");
const ALEMBIC_HALF: &str = include_str!("python_files/alembic_half.sql");
const HOSTILE: &str = include_str!("python_files/hostile.sql");

type Client = Db<SqlService<Op>>;

async fn taken_over(file: &PythonFile) -> (SqlService<Op>, Client) {
    let service = file.file.open().await;
    (service.clone(), Db::new(service))
}

/// Everything derived can be worked out again from the baseline and what came after it.
async fn adds_up(file: &PythonFile) {
    let verdict = verify::<Op>(&SqliteOptions::new(&file.file.url()).unwrap(), |_| ()).await.unwrap();
    assert!(verdict.is_clean(), "{verdict:#?}");
    assert!(verdict.compared.values().sum::<u64>() > 40, "{verdict:?}");
}

#[tokio::test]
async fn a_file_of_the_newest_python_bot_is_taken_over_with_everything_in_it() {
    everything_is_there(&PythonFile::made_by(&[H]).await).await;
}

#[tokio::test]
async fn a_file_of_the_older_python_bot_is_taken_over_with_everything_in_it() {
    everything_is_there(&PythonFile::made_by(&[S4]).await).await;
}

async fn everything_is_there(file: &PythonFile) {
    let (_service, db) = taken_over(file).await;
    let now = file.now;
    let alice = db.user_stats("alice").await.unwrap().unwrap();
    assert_eq!((alice.first_seen, alice.last_seen), (Some(now - 900_000), Some(now - 600)));
    assert_eq!((alice.total_chat_lines, alice.total_time_connected), (Some(120), Some(7200)));
    assert_eq!(alice.current_session_start, Some(now - 600));
    assert_eq!(db.user_stats("bert").await.unwrap().unwrap().total_chat_lines, Some(7));

    let channel = db.channel_stats().await.unwrap();
    assert_eq!((channel.high_water_mark.users, channel.high_water_mark.timestamp), (41, Some(now - 400_000)));
    assert_eq!(
        (channel.high_water_connected.users, channel.high_water_connected.timestamp),
        (57, Some(now - 300_000))
    );
    let top: Vec<_> = channel.top_chatters.iter().map(|c| (c.username.as_str(), c.chat_lines)).collect();
    assert_eq!(top, [("alice", 120), ("bob", 45), ("bert", 7)]);
    assert_eq!(channel.total_users_seen, 4);

    let lines = db.recent_chat(50).await.unwrap();
    let lines: Vec<_> =
        lines.iter().map(|l| (l.timestamp - now, l.username.as_str(), l.message.as_str())).collect();
    assert_eq!(
        lines,
        [(-500, "alice", "first"), (-500, "bob", "second, in the same second"), (-400, "[server]", "third")]
    );
    let sessions = db.open_sessions().await.unwrap();
    let sessions: Vec<_> =
        sessions.iter().map(|s| (s.username.as_str(), s.since - now, s.watched_until - now)).collect();
    assert_eq!(sessions, [("alice", -600, -10), ("müßig 💤", -1000, -10)]);
    let counts = db.user_count_history(24).await.unwrap();
    let counts: Vec<_> =
        counts.iter().map(|c| (c.timestamp - now, c.chat_users, c.connected_users)).collect();
    assert_eq!(counts, [(-3600, 10, 10), (-3300, 11, 14)]);

    // what waits: not what was sent, given up, tried too often, or tried too short a time ago
    let claimed = db.outbound_channel_messages(50).await.unwrap();
    let claimed: Vec<_> = claimed
        .iter()
        .map(|m| (m.id, m.content.as_str(), m.retry_count, m.error_message.as_deref(), m.timestamp - now))
        .collect();
    assert_eq!(claimed, [(3, "tried twice", 2, Some("network"), -3600), (9, "new", 0, None, -40)]);

    // the status is the baseline of its fields
    assert_eq!(
        file.rows("SELECT json_array(bot_name, bot_rank, current_media_title, bot_connected, status) FROM current_status")
            .await,
        [r#"["rosey",2.5,"A film",1,"offline"]"#]
    );
    assert_eq!(file.number("SELECT count(*) FROM user_actions").await, 1);
    assert_eq!(file.number("SELECT count(*) FROM dead_letters").await, 0, "nothing was odd");
    adds_up(file).await;
}

#[tokio::test]
async fn what_happens_afterwards_adds_up_with_what_was_there() {
    for script in [H, S4] {
        let file = PythonFile::made_by(&[script]).await;
        let (_service, db) = taken_over(&file).await;
        let now = file.now;
        let at = |second: i64| db.at((now + second) * 1000);

        // a session that was open goes on, also over a join without a leave before it
        at(-300).user_joined("alice").await.unwrap();
        at(-100).user_left("alice").await.unwrap();
        at(-50).message_log("alice", "again").await.unwrap();
        let alice = db.user_stats("alice").await.unwrap().unwrap();
        assert_eq!(alice.total_time_connected, Some(7200 + 300 + 200));
        assert_eq!((alice.current_session_start, alice.last_seen), (None, Some(now - 50)));
        assert_eq!((alice.total_chat_lines, alice.first_seen), (Some(121), Some(now - 900_000)));

        at(-40).high_water(40, Some(60)).await.unwrap();
        let channel = db.channel_stats().await.unwrap();
        assert_eq!(
            (channel.high_water_mark.users, channel.high_water_mark.timestamp),
            (41, Some(now - 400_000))
        );
        assert_eq!(
            (channel.high_water_connected.users, channel.high_water_connected.timestamp),
            (60, Some(now - 40))
        );
        at(-39).high_water(42, None).await.unwrap();
        assert_eq!(db.channel_stats().await.unwrap().high_water_mark.users, 42);

        let away: StatusUpdate = serde_json::from_str(
            r#"{"status":"online","status_data":{"bot_afk":1,"current_media_title":null}}"#,
        )
        .unwrap();
        at(-5).status_update(away).await.unwrap();
        assert_eq!(
            file.rows("SELECT json_array(status, bot_name, bot_afk, current_media_title, last_updated - NOW) FROM current_status")
                .await,
            [r#"["online","rosey",1,null,-5]"#]
        );

        at(-20).outbound_mark_sent(9).await.unwrap();
        at(-20).outbound_mark_failed(3, "gone", true).await.unwrap();
        assert_eq!(
            file.rows(
                "SELECT json_array(id, sent, sent_timestamp - NOW, error_message)
                 FROM outbound_messages WHERE id IN (1, 2, 3, 9) ORDER BY id"
            )
            .await,
            [
                r#"[1,1,-89990,null]"#,
                r#"[2,1,-79000,"no such channel"]"#,
                r#"[3,1,-20,"gone"]"#,
                r#"[9,1,-20,null]"#
            ]
        );
        at(-10).user_count(12, 15).await.unwrap();
        assert_eq!(db.user_count_history(24).await.unwrap().len(), 3);
        adds_up(&file).await;
    }
}

#[tokio::test]
async fn a_number_of_a_message_is_never_given_again() {
    for (script, most) in [(H, 9), (S4, 20), (ALEMBIC_000, 7)] {
        let file = PythonFile::made_by(&[script]).await;
        let (service, db) = taken_over(&file).await;
        let first = db.outbound_enqueue(None, "one more").await.unwrap();
        assert!(first > most, "{first}");
        // also when all that could be removed is removed
        db.outbound_mark_sent(first).await.unwrap();
        service.sweep(&Retention::default(), (file.now + 30 * 86_400) * 1000).await.unwrap();
        service.close().await;
        let (_service, db) = taken_over(&file).await;
        assert!(db.outbound_enqueue(None, "yet another").await.unwrap() > first);
    }
}

#[tokio::test]
async fn a_file_is_taken_over_once() {
    for script in [H, S4, ALEMBIC_000] {
        let file = PythonFile::made_by(&[script]).await;
        let (service, db) = taken_over(&file).await;
        db.user_left("alice").await.unwrap();
        let database = service.database().to_owned();
        service.close().await;
        let (shape, users) = (
            file.shape().await,
            file.rows("SELECT json_array(username, total_time_connected) FROM user_stats").await,
        );
        for _ in 0..2 {
            let (service, _) = taken_over(&file).await;
            assert_eq!(service.database(), database);
            service.close().await;
            assert_eq!(file.shape().await, shape);
        }
        assert_eq!(
            file.rows("SELECT json_array(username, total_time_connected) FROM user_stats").await,
            users
        );
    }
}

#[tokio::test]
async fn the_python_bot_still_finds_everything_where_it_looks_for_it() {
    use old_bot::{BOTH, WHERE_IT_WORKED};
    for (script, queries) in [
        (H, &[BOTH, WHERE_IT_WORKED, old_bot::H][..]),
        (S4, &[BOTH, WHERE_IT_WORKED, old_bot::S4]),
        (ALEMBIC_000, &[BOTH]),
    ] {
        let file = PythonFile::made_by(&[script]).await;
        let before = file.answers(queries).await;
        assert!(before.iter().all(|(_, rows)| !rows.is_empty()), "each query has something to find");
        let (service, db) = taken_over(&file).await;
        assert_eq!(file.answers(queries).await, before);
        // nor does it matter what Rosey wrote, once she is stopped
        db.message_log("alice", "in our time").await.unwrap();
        service.close().await;
        let after = file.answers(queries).await;
        let lines = |answers: &[(String, Vec<String>)]| answers[4].1.len();
        assert_eq!(lines(&after), lines(&before) + 1);
    }
}

#[tokio::test]
async fn the_older_python_bot_reads_our_errors_under_its_own_name() {
    let file = PythonFile::made_by(&[S4]).await;
    let (_service, db) = taken_over(&file).await;
    db.outbound_mark_failed(9, "flooding", false).await.unwrap();
    let error = "SELECT json_array(last_error, error_message) FROM outbound_messages WHERE id = 9";
    assert_eq!(file.rows(error).await, [r#"["flooding","flooding"]"#]);
    db.outbound_mark_sent(9).await.unwrap();
    assert_eq!(file.rows(error).await, ["[null,null]"]);
}

#[tokio::test]
async fn a_taking_over_that_fails_leaves_the_file_as_it_was_and_the_next_start_goes_on() {
    // what stands in the way of the first change, of those for older files, and of the last one
    for (script, obstacle) in [
        (H, "meta"),
        (H, "derived"),
        (S4, "current_status_before_rosey"),
        (H, "status_fields"),
        (S4, "outbound_marks"),
        (ALEMBIC_000, "outbound_marks"),
    ] {
        let file = PythonFile::made_by(&[script, &format!("CREATE TABLE {obstacle} (mine TEXT)")]).await;
        let queries = &[old_bot::BOTH][..];
        let before = (file.shape().await, file.answers(queries).await);
        let options = SqliteOptions::new(&file.file.url()).unwrap();
        for _ in 0..2 {
            let error = SqlService::<Op>::open(&options).await.unwrap_err().to_string();
            assert!(error.contains("cannot migrate") && error.contains(obstacle), "{error}");
            assert_eq!((file.shape().await, file.answers(queries).await), before, "{obstacle}");
        }
        file.run(&format!("DROP TABLE {obstacle}")).await;
        let (_service, db) = taken_over(&file).await;
        assert_eq!(db.user_stats("alice").await.unwrap().unwrap().total_chat_lines, Some(120));
    }
}
