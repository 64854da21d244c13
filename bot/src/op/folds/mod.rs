//! How lines, and on PostgreSQL joins and leaves, which are only appended, get into what is known of their users. Until they are
//! there the view `user_stats_now` adds them, by the same rule.

pub(super) mod postgres;

use eitherway::operation::Fold;

/// Lines on SQLite.
pub(super) const OF_LINES: &[Fold] = &[GATHERED, COUNTED];

/// The rows that a portion takes: as many as were found, from the first one on, and perhaps not the same ones.
macro_rules! portion {
    () => {
        "WITH portion AS (
             SELECT shelf, username, lines, first, last, printf('%015d', last) || coalesce(name, username) AS named
             FROM lines_waiting
             ORDER BY shelf, username LIMIT (SELECT count(*) FROM gone)) "
    };
}

/// From the shelves to those who have spoken lately.
const GATHERED: Fold = Fold::new(
    "lines",
    "SELECT shelf FROM lines_waiting ORDER BY shelf, username LIMIT (SELECT most FROM sweep)",
    &[
        concat!(
            portion!(),
            "INSERT INTO speakers (username, lines, first, last, named, total)
             SELECT username, sum(lines), min(first), max(last), max(named), sum(lines) + iif(
                 EXISTS (SELECT 1 FROM speakers s WHERE s.username = p.username), 0,
                 coalesce((SELECT total_chat_lines FROM user_stats u WHERE u.username = p.username), 0))
             FROM portion p GROUP BY username
             ON CONFLICT (username) DO UPDATE SET
                 lines = lines + excluded.lines, first = min(first, excluded.first), last = max(last, excluded.last),
                 named = coalesce(max(named, excluded.named), named, excluded.named), total = total + excluded.lines"
        ),
        concat!(
            portion!(),
            "DELETE FROM lines_waiting WHERE (shelf, username) <= (
                 SELECT shelf, username FROM portion ORDER BY shelf DESC, username DESC LIMIT 1)"
        ),
    ],
)
.portion(1000);

/// From there into the rows of the users, which are anywhere in a file of any size.
const COUNTED: Fold = Fold::new(
    "speakers",
    "SELECT username FROM speakers ORDER BY username LIMIT (SELECT most FROM sweep)",
    &[
        "INSERT INTO user_stats (username, first_seen, last_seen, total_chat_lines, last_line, named)
         SELECT username, first / 1000, last / 1000, lines, last / 1000, named
         FROM speakers WHERE username IN (SELECT key FROM gone) ORDER BY username
         ON CONFLICT (username) DO UPDATE SET
             first_seen = min(first_seen, excluded.first_seen),
             last_seen = max(last_seen, excluded.last_seen),
             last_line = max(coalesce(last_line, 0), excluded.last_line),
             total_chat_lines = total_chat_lines + excluded.total_chat_lines,
             named = coalesce(max(named, excluded.named), named, excluded.named)",
        "DELETE FROM speakers WHERE username IN (SELECT key FROM gone)",
    ],
)
.portion(250)
.seldom();
