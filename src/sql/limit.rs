//! How long is waited for SQLite's thread. One that has ended in a panic, or waits for a disk that does not answer, may never
//! say anything.

use std::time::Duration;

use tokio::time;

use crate::error::{Cause, Code};

/// Longer than any transaction takes on a disk that answers.
const LIMIT: Duration = Duration::from_secs(10);

/// Waits for an answer. After this error the connection must be dropped: see [`is_lost`].
pub(super) async fn within<T>(
    answer: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    time::timeout(LIMIT, answer).await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// Whether the thread behind a connection has ended, or does not answer.
pub(super) const fn is_lost(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::WorkerCrashed)
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
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_thread_that_never_answers_is_given_up_and_what_it_was_to_write_is_unclear() {
        let since = time::Instant::now();
        let lost = within(std::future::pending::<Result<(), _>>()).await.expect_err("no answer");
        assert_eq!(since.elapsed(), LIMIT);
        assert!(is_lost(&lost));
        assert_eq!(super::super::error::of_a_write(&lost).code(), Code::UNANSWERED);
        assert!(super::super::error::spoils(&lost));
    }
}
