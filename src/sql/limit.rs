//! How long is waited for SQLite's thread. One that has ended in a panic, or waits for a disk that does not answer, may never
//! say anything.

use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::SqliteConnection;
use tokio::time;

use crate::error::{Cause, Code};

/// Longer than any transaction takes on a disk that answers.
const LIMIT: Duration = Duration::from_secs(10);
/// For what may read a table from end to end, beside the writer.
const READING: Duration = Duration::from_secs(60);

/// Waits for an answer. After this error the connection must be dropped: see [`is_lost`].
pub(crate) async fn within<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    time::timeout(LIMIT, answer).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// Reads much through a connection of the pool. One that does not answer is given up.
pub(super) async fn reading<T>(
    readers: &SqlitePool,
    read: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    let mut reader = readers.acquire().await?;
    let answer = time::timeout(READING, read(&mut reader)).await.unwrap_or(Err(sqlx::Error::WorkerCrashed));
    if answer.as_ref().is_err_and(is_lost) {
        drop(reader.detach());
    }
    answer
}

/// Whether the thread behind a connection has ended, or does not answer.
pub(crate) const fn is_lost(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::WorkerCrashed)
}

/// What that means for something that was to be read.
pub(super) fn silent() -> Cause {
    Cause::new(
        Code::DATABASE,
        "SQLite's thread in this process has ended, or does not answer: usually because a disk hangs",
    )
}

/// What that means for something that was to be written: perhaps it is there.
pub(super) fn unclear() -> Cause {
    Cause::new(
        Code::UNANSWERED,
        "perhaps it is done, ask again: SQLite's thread in this process has ended or does not answer (the log says why), and \
         the database is opened again",
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Keeps SQLite's thread busy for longer than [`SOON`].
    pub(crate) const LONG: &str = "WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 40000000) SELECT count(*) FROM c";
    /// Who is answered within this has not waited for it.
    pub(crate) const SOON: Duration = Duration::from_secs(3);

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_never_answers_is_given_up_and_what_it_was_to_write_is_unclear() {
        let since = time::Instant::now();
        let lost = within(std::future::pending::<Result<(), _>>()).await.expect_err("no answer");
        assert_eq!(since.elapsed(), LIMIT);
        assert!(is_lost(&lost));
        assert_eq!(super::super::error::of_a_write(&lost).code(), Code::UNANSWERED);
        assert!(super::super::error::spoils(&lost));
    }

    #[tokio::test]
    async fn a_reader_that_never_answers_is_given_up_and_makes_room_for_another() {
        let one = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).test_before_acquire(false);
        let readers = one.connect("sqlite::memory:").await.expect("a database");
        time::pause();
        let since = time::Instant::now();
        let lost = reading(&readers, async |c| sqlx::query(LONG).execute(c).await).await;
        assert_eq!(since.elapsed().as_secs(), READING.as_secs());
        time::resume();
        let lost = lost.expect_err("no answer");
        assert!(super::super::error::cause(&lost).to_string().contains("does not answer"));
        let read = reading(&readers, async |c| sqlx::query("SELECT 1").execute(c).await);
        time::timeout(SOON, read).await.expect("at once").expect("another one");
    }
}
