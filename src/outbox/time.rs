//! The time as the outbox knows it: a clock that has leapt ahead makes nothing too old to be offered again.

use std::path::Path;

use sqlx::sqlite::SqliteConnection;

use crate::known_time::{ClockSkew, Judgement, KnownTime, Mark, Reading};

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS known_time (id INTEGER PRIMARY KEY CHECK (id = 1), mark TEXT NOT NULL);";
/// For a file that was written before the time was kept in it.
const NEWEST: &str = "
    INSERT INTO known_time (id, mark)
    SELECT 1, max(at) || ' 0' FROM (SELECT taken_at AS at FROM waiting UNION ALL SELECT aside_at FROM aside)
    WHERE NOT EXISTS (SELECT 1 FROM known_time) HAVING max(at) IS NOT NULL;";
const LOAD: &str = "SELECT mark FROM known_time";
const SAVE: &str = "
    INSERT INTO known_time (id, mark) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET mark = excluded.mark";

/// What is known of the time, and whether that was said.
#[derive(Debug, Default)]
pub(super) struct Time {
    known: KnownTime,
    loaded: bool,
    doubted: bool,
}

impl Time {
    /// Whether what is old by the clock is old. Learns from the clock if so, and keeps in the file what is known.
    pub(super) async fn is_right(&mut self, connection: &mut SqliteConnection) -> Result<bool, sqlx::Error> {
        let now = Reading::now();
        if !self.loaded {
            sqlx::raw_sql(TABLE).execute(&mut *connection).await?;
            sqlx::raw_sql(NEWEST).execute(&mut *connection).await?;
            let mark: Option<String> = sqlx::query_scalar(LOAD).fetch_optional(&mut *connection).await?;
            if let Some(mark) = mark.and_then(|mark| Mark::from_text(&mark)) {
                self.known.begin(mark, &now);
            }
            self.loaded = true;
        }
        let right = !matches!(self.known.judge(&now), Judgement::Doubtful(ClockSkew { ahead: 0.., .. }));
        if let Some(last) = self.known.last(&now) {
            sqlx::query(SAVE).bind(last.to_text()).execute(connection).await?;
        }
        Ok(right)
    }

    /// Says once that the clock is doubtful, and once that it is not any more.
    pub(super) fn say(&mut self, right: bool, path: &Path) {
        if std::mem::replace(&mut self.doubted, !right) != right {
            return;
        }
        let path = path.display();
        if right {
            tracing::info!("the outbox {path}: the clock agrees with what is known of the time");
        } else {
            tracing::warn!(
                "the outbox {path}: the clock is more than an hour ahead of the last known time. What is too old to be \
                 offered again by it stays where it is until the clock is put right, or has run evenly for a day"
            );
        }
    }
}
