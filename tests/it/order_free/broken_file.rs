//! What the proof sees on SQLite: a view, a trigger, a fold that is not whole.

use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use sqlx::AssertSqlSafe;

use super::files::Files;
use super::{history, runtime, try_one};

/// Whether a history ends wrong in a file that was changed like this.
fn seen(statements: &str) -> bool {
    let runtime = runtime();
    let files = runtime.block_on(async {
        let files = Files::new().await;
        let mut raw = files.raw.lock().await;
        sqlx::raw_sql(AssertSqlSafe(statements)).execute(&mut *raw).await.unwrap();
        drop(raw);
        files
    });
    let config = Config { cases: 60, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let run = |case| runtime.block_on(async { try_one(&files, &case).await.map(drop) });
    match runner.run(&history::cases(40..=80), run) {
        Ok(()) => false,
        Err(TestError::Fail(..)) => true,
        Err(TestError::Abort(reason)) => panic!("given up: {reason}"),
    }
}

#[test]
fn the_proof_sees_a_file_that_forgets_what_waits() {
    for (what, statements) in [
        (
            "a view without what waits",
            "DROP VIEW main.user_stats_now;
             CREATE VIEW main.user_stats_now AS
             SELECT username, first_seen, last_seen, total_chat_lines, total_time_connected, current_session_start,
                    connected_ms, last_line, named
             FROM user_stats",
        ),
        (
            "ten that no user who speaks gets among",
            "DROP TRIGGER main.speaker_came; DROP TRIGGER main.speaker_spoke; DROP TRIGGER main.user_spoke",
        ),
        ("users that are not counted", "DROP TRIGGER main.user_seen"),
        (
            "a name that is not the one that was written last",
            "CREATE TRIGGER main.stale AFTER UPDATE OF named ON user_stats WHEN NEW.named > OLD.named BEGIN
                 UPDATE user_stats SET named = OLD.named WHERE username = OLD.username;
             END",
        ),
        (
            "a fold that forgets how a name was written",
            "CREATE TRIGGER main.unnamed AFTER INSERT ON speakers BEGIN
                 UPDATE speakers SET named = NULL WHERE username = NEW.username;
             END",
        ),
        ("a speaker who has no row", "DROP TRIGGER main.speaker_is_new"),
        (
            "a fold that counts a line twice",
            "CREATE TRIGGER main.twice AFTER DELETE ON speakers BEGIN
                 UPDATE user_stats SET total_chat_lines = total_chat_lines + 1 WHERE username = OLD.username;
             END",
        ),
    ] {
        assert!(seen(statements), "{what}");
    }
}
