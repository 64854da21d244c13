use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use eitherway::operation::{Definition, Dialect, Spec, RetentionRule};

/// Who is here, as far as the database knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OpenSessions {}

/// A session that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Session {
    /// The name of the user.
    pub username: String,
    /// Since when, in unix seconds.
    pub since: i64,
    /// Until when a bot is known to have watched, in unix seconds: its last status, or `since` if that is later.
    /// Users who left unseen were here until then.
    #[serde(default)]
    pub watched_until: i64,
}

/// The joins and leaves of a user that are too old to be kept one by one, and that cannot be offered again: those
/// before the first that may still come again. The last of them stays, so that what comes next finds its neighbour.
/// At most 32 at a time: a transaction stays short whatever was imported.
macro_rules! old {
    () => {
        "WITH first AS (
             SELECT k.value AS username, e.value ->> 0 AS at, e.value ->> 1 AS id, e.value ->> 2 AS joined
             FROM (SELECT DISTINCT key AS value FROM gone) k CROSS JOIN json_each((
                 SELECT json_group_array(json_array(at, id, joined)) FROM (
                     SELECT at, id, joined FROM presence WHERE username = k.value AND at < (SELECT horizon FROM sweep)
                     ORDER BY at, id LIMIT 33))) e),
         seen AS (
             SELECT f.*, max(EXISTS (SELECT 1 FROM known WHERE known.id = f.id)) OVER (
                        PARTITION BY f.username ORDER BY f.at, f.id) AS known
             FROM first f),
         old AS (
             SELECT username, at, id, joined, lead(at) OVER (PARTITION BY username ORDER BY at, id) AS next
             FROM seen WHERE NOT known)"
    };
}

// A user is found once for every 32.
const FOLD: RetentionRule = RetentionRule::hours(
    "history",
    30 * 24,
    "SELECT username FROM (
         SELECT p.username, row_number() OVER user AS place,
                max(EXISTS (SELECT 1 FROM known WHERE known.id = p.id)) OVER user AS known
         FROM presence p WHERE p.at < (SELECT horizon FROM sweep)
         WINDOW user AS (PARTITION BY p.username ORDER BY p.at, p.id))
     WHERE NOT known AND place % 32 = 2 ORDER BY place, username LIMIT (SELECT most FROM sweep)",
    &[concat!(
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
             folded_at = excluded.folded_at, folded_id = excluded.folded_id"),
     concat!(old!(),
        "DELETE FROM presence WHERE (username, at, id) IN (SELECT username, at, id FROM old WHERE next IS NOT NULL)"
    )],
)
.batch_size(16);

/// As [`old`], on PostgreSQL: of users of whom nothing waits, or it might be older than what goes.
macro_rules! old_on_postgres {
    () => {
        "WITH first AS (
             SELECT k.username, e.at, e.id, e.joined
             FROM (SELECT DISTINCT key AS username FROM gone
                   WHERE NOT EXISTS (SELECT 1 FROM presence_waiting w WHERE w.username = gone.key)) k CROSS JOIN LATERAL (
                 SELECT at, id, joined FROM presence_folded WHERE username = k.username AND at < (SELECT horizon FROM sweep)
                 ORDER BY at, id LIMIT 33) e),
         seen AS (
             SELECT f.*, bool_or(EXISTS (SELECT 1 FROM known WHERE known.id = f.id)) OVER (
                        PARTITION BY f.username ORDER BY f.at, f.id) AS is_known
             FROM first f),
         old AS (
             SELECT username, at, id, joined, lead(at) OVER (PARTITION BY username ORDER BY at, id) AS next
             FROM seen WHERE NOT is_known)"
    };
}

const FOLD_ON_POSTGRES: RetentionRule = RetentionRule {
    find: "
        SELECT username FROM (
            SELECT p.username, row_number() OVER events AS place,
                   bool_or(EXISTS (SELECT 1 FROM known WHERE known.id = p.id)) OVER events AS is_known
            FROM presence_folded p WHERE p.at < (SELECT horizon FROM sweep)
            WINDOW events AS (PARTITION BY p.username ORDER BY p.at, p.id)) f
        WHERE NOT is_known AND place % 32 = 2 ORDER BY place, username LIMIT (SELECT most FROM sweep)",
    remove: &[
        "SELECT presence_stands_still()",
        concat!(
            old_on_postgres!(),
            "INSERT INTO user_baseline AS b (username, first_seen, last_session, connected_ms, folded_at, folded_id)
             SELECT username, min(CASE WHEN joined = 1 AND next IS NOT NULL THEN at END) / 1000,
                    max(CASE WHEN joined = 1 THEN next END) / 1000,
                    coalesce(sum(CASE WHEN joined = 1 THEN next - at END), 0),
                    max(at), max(CASE WHEN next IS NULL THEN id END)
             FROM old GROUP BY username HAVING count(*) > 1 ORDER BY username
             ON CONFLICT (username) DO UPDATE SET
                 first_seen = least(b.first_seen, excluded.first_seen),
                 last_session = greatest(b.last_session, excluded.last_session),
                 connected_ms = b.connected_ms + excluded.connected_ms,
                 folded_at = excluded.folded_at, folded_id = excluded.folded_id"
        ),
        concat!(
            old_on_postgres!(),
            "DELETE FROM presence_folded WHERE (username, at, id) IN (SELECT username, at, id FROM old WHERE next IS NOT NULL)"
        ),
    ],
    ..FOLD
};

impl Definition for OpenSessions {
    type Answer = Vec<Session>;
    const SPEC: Spec = Spec::query("open_sessions", "rosey.db.query.open_sessions").list();
    const ANSWER: &'static str = "
        SELECT json_group_array(json_object(
            'username', coalesce(substr(named, 16), username), 'since', current_session_start,
            'watched_until', max(current_session_start, last_updated)) ORDER BY username)
        FROM user_stats CROSS JOIN (SELECT last_updated FROM current_status WHERE id = 1)
        WHERE current_session_start IS NOT NULL";
    const SWEEPS: &'static [RetentionRule] = &[FOLD];
    const POSTGRES: Dialect = Dialect::SAME
        .answer(
            "SELECT coalesce(json_agg(json_build_object(
                 'username', coalesce(substr(named, 16), username), 'since', current_session_start,
                 'watched_until', greatest(current_session_start, last_updated)) ORDER BY username), '[]')
             FROM user_stats_now CROSS JOIN (SELECT last_updated FROM current_status WHERE id = 1) s
             WHERE current_session_start IS NOT NULL",
        )
        .sweeps(&[FOLD_ON_POSTGRES]);

}
