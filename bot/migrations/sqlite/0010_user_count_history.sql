-- The history of counts; see 0010_user_stats.sql. Rows of other columns (`alembic upgrade 000_initial`) stay aside.
PRAGMA legacy_alter_table = ON;
ALTER TABLE user_count_history RENAME TO user_count_history_before_rosey;
PRAGMA legacy_alter_table = OFF;

CREATE TABLE user_count_history (
    id              INTEGER PRIMARY KEY,
    timestamp       INTEGER NOT NULL,
    chat_users      INTEGER NOT NULL,
    connected_users INTEGER NOT NULL
);

INSERT INTO user_count_history (timestamp, chat_users, connected_users)
SELECT timestamp, chat_users, coalesce(connected_users, chat_users)
FROM (
    SELECT (SELECT timestamp FROM user_count_history_before_rosey i WHERE i.rowid = o.rowid) AS timestamp,
           (SELECT chat_users FROM user_count_history_before_rosey i WHERE i.rowid = o.rowid) AS chat_users,
           (SELECT connected_users FROM user_count_history_before_rosey i WHERE i.rowid = o.rowid) AS connected_users
    FROM user_count_history_before_rosey o
    CROSS JOIN (SELECT NULL AS timestamp, NULL AS chat_users, NULL AS connected_users) missing
    ORDER BY o.rowid)
WHERE timestamp IS NOT NULL AND chat_users IS NOT NULL;
