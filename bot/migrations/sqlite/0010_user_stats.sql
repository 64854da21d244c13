-- A table of users that does not do is kept under another name, and copied as far as it can be read.
-- How the copy works, here and in the other files of this version: a column that the old table lacks is found in
-- `missing`, one scope further out, as NULL.
PRAGMA legacy_alter_table = ON; -- views of somebody's own stay with the name, not with the old table
ALTER TABLE user_stats RENAME TO user_stats_before_rosey;
PRAGMA legacy_alter_table = OFF;

CREATE TABLE user_stats (
    username              VARCHAR(50) PRIMARY KEY NOT NULL,
    first_seen            INTEGER NOT NULL,
    last_seen             INTEGER NOT NULL,
    total_chat_lines      INTEGER NOT NULL DEFAULT 0,
    total_time_connected  INTEGER NOT NULL DEFAULT 0,
    current_session_start INTEGER
);

INSERT INTO user_stats (username, first_seen, last_seen, total_chat_lines, total_time_connected, current_session_start)
SELECT username, coalesce(first_seen, last_seen, 0), coalesce(last_seen, first_seen, 0),
       coalesce(total_chat_lines, 0), coalesce(total_time_connected, 0), current_session_start
FROM (
    SELECT (SELECT username FROM user_stats_before_rosey i WHERE i.rowid = o.rowid) AS username,
           (SELECT first_seen FROM user_stats_before_rosey i WHERE i.rowid = o.rowid) AS first_seen,
           (SELECT last_seen FROM user_stats_before_rosey i WHERE i.rowid = o.rowid) AS last_seen,
           (SELECT total_chat_lines FROM user_stats_before_rosey i WHERE i.rowid = o.rowid) AS total_chat_lines,
           (SELECT total_time_connected FROM user_stats_before_rosey i WHERE i.rowid = o.rowid) AS total_time_connected,
           (SELECT current_session_start FROM user_stats_before_rosey i WHERE i.rowid = o.rowid) AS current_session_start
    FROM user_stats_before_rosey o
    CROSS JOIN (
        SELECT NULL AS username, NULL AS first_seen, NULL AS last_seen, NULL AS total_chat_lines,
               NULL AS total_time_connected, NULL AS current_session_start) missing
    ORDER BY o.rowid)
WHERE username IS NOT NULL
ON CONFLICT (username) DO NOTHING;
