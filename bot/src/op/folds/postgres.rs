//! On PostgreSQL: how joins, leaves and lines, which are only appended, get into what is known of their users. Until they are
//! there the view `user_stats_now` adds them, by the same rule.

use eitherway::operation::Fold;

/// Joins and leaves. One statement: what is taken away is what has been counted, whatever is appended meanwhile.
pub(in crate::op) const PRESENCE: Fold = Fold::new(
    "presence",
    "SELECT username FROM presence_waiting ORDER BY username LIMIT (SELECT most FROM sweep)",
    &["WITH change AS MATERIALIZED (
           SELECT * FROM presence_change WHERE username = ANY (ARRAY(SELECT key FROM gone))),
       taken AS (
           DELETE FROM presence_waiting WHERE username = ANY (ARRAY(SELECT key FROM gone))
           RETURNING username, at, id, joined, name),
       moved AS (
           INSERT INTO presence_folded (username, at, id, joined, name)
           SELECT username, at, id, joined, name FROM taken ORDER BY username, at, id
           ON CONFLICT DO NOTHING)
       INSERT INTO user_stats AS u (username, first_seen, last_seen, connected_ms, total_time_connected, current_session_start, named)
       SELECT username, coalesce(first_join, last_join) / 1000, ended / 1000, ms, greatest(ms, 0) / 1000, open / 1000, named
       FROM change ORDER BY username
       ON CONFLICT (username) DO UPDATE SET
           first_seen = least(u.first_seen, excluded.first_seen),
           -- it may be earlier than before: of a leave that comes late
           last_seen = greatest(u.last_line, excluded.last_seen),
           connected_ms = u.connected_ms + excluded.connected_ms,
           total_time_connected = (u.connected_ms + excluded.connected_ms) / 1000,
           current_session_start = excluded.current_session_start,
           named = greatest(u.named, excluded.named)"],
)
.portion(1000);

/// Lines, those of a user in a batch together.
pub(in crate::op) const LINES: Fold = Fold::new(
    "lines",
    "SELECT username FROM lines_waiting ORDER BY username LIMIT (SELECT most FROM sweep)",
    &["WITH taken AS (
           DELETE FROM lines_waiting WHERE username = ANY (ARRAY(SELECT key FROM gone))
           RETURNING username, lines, first, last, named)
       INSERT INTO user_stats AS u (username, first_seen, last_seen, total_chat_lines, last_line, named)
       SELECT username, min(first) / 1000, max(last) / 1000, sum(lines), max(last) / 1000, max(named)
       FROM taken GROUP BY username ORDER BY username
       ON CONFLICT (username) DO UPDATE SET
           first_seen = least(u.first_seen, excluded.first_seen),
           last_seen = greatest(u.last_seen, excluded.last_seen),
           last_line = greatest(u.last_line, excluded.last_line),
           total_chat_lines = u.total_chat_lines + excluded.total_chat_lines,
           named = greatest(u.named, excluded.named)"],
)
.portion(4000);
