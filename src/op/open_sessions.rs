use serde::{Deserialize, Serialize};

use super::{Error, Op};
use crate::client::{Db, Stack};
use crate::operation::{Definition, Invalid, Spec, Sweep};

/// Who is here, as far as the database knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSessions {}

/// A session that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Who.
    pub username: String,
    /// Since when, in unix seconds.
    pub since: i64,
    /// Until when a bot is known to have watched, in unix seconds: its last status, or `since` if that is later.
    /// Whoever has gone unseen was here until then.
    #[serde(default)]
    pub watched_until: i64,
}

/// The joins and leaves of a user that are too old to be kept one by one, and that nobody can offer again: those
/// before the first that the ledger still knows. The last of them stays, so that what comes next finds its neighbour.
macro_rules! old {
    () => {
        "WITH seen AS (
             SELECT p.*, max(EXISTS (SELECT 1 FROM ledger l WHERE l.id = p.id)) OVER (
                        PARTITION BY p.username ORDER BY p.at, p.id) AS known
             FROM json_each($1) k CROSS JOIN presence p ON p.username = k.value AND p.at < $2),
         old AS (
             SELECT username, at, id, joined, lead(at) OVER (PARTITION BY username ORDER BY at, id) AS next
             FROM seen WHERE NOT known)"
    };
}

const FOLD: Sweep = Sweep::hours(
    "history",
    30 * 24,
    "SELECT username FROM (
         SELECT p.username, max(EXISTS (SELECT 1 FROM ledger l WHERE l.id = p.id)) OVER (
                    PARTITION BY p.username ORDER BY p.at, p.id) AS known
         FROM presence p WHERE p.at < $2)
     WHERE NOT known GROUP BY username HAVING count(*) > 1 LIMIT $1",
    concat!(
        old!(),
        "INSERT INTO user_baseline (username, first_seen, last_session, connected_ms, folded_at, folded_id)
         SELECT username, min(iif(joined AND next IS NOT NULL, at, NULL)) / 1000,
                max(iif(joined, next, NULL)) / 1000, coalesce(sum(iif(joined, next - at, NULL)), 0),
                max(at), max(iif(next IS NULL, id, NULL))
         FROM old GROUP BY username HAVING count(*) > 1
         ON CONFLICT (username) DO UPDATE SET
             first_seen = coalesce(min(first_seen, excluded.first_seen), first_seen, excluded.first_seen),
             last_session = coalesce(max(last_session, excluded.last_session), last_session, excluded.last_session),
             connected_ms = connected_ms + excluded.connected_ms,
             folded_at = excluded.folded_at, folded_id = excluded.folded_id;",
        old!(),
        "DELETE FROM presence WHERE (username, at, id) IN (SELECT username, at, id FROM old WHERE next IS NOT NULL);"
    ),
);

impl Definition for OpenSessions {
    type Answer = Vec<Session>;
    const SPEC: Spec = Spec::query("open_sessions", "rosey.db.query.open_sessions").list();
    const SQLITE: &'static str = "
        SELECT json_group_array(json_object(
            'username', username, 'since', current_session_start,
            'watched_until', max(current_session_start, last_updated)) ORDER BY username)
        FROM user_stats CROSS JOIN (SELECT last_updated FROM current_status WHERE id = 1)
        WHERE current_session_start IS NOT NULL";
    const SWEEPS: &'static [Sweep] = &[FOLD];

    fn check(&self) -> Result<(), Invalid> {
        Ok(())
    }
}

impl<S: Stack<Op>> Db<S> {
    /// Who is here, as far as the database knows.
    ///
    /// # Errors
    /// The error of the stack, with the request.
    pub async fn open_sessions(&self) -> Result<Vec<Session>, Error> {
        Ok(self.call(OpenSessions {}).await?.answer)
    }
}
