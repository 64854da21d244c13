-- The recent lines; see 0010_user_stats.sql.
PRAGMA legacy_alter_table = ON;
ALTER TABLE recent_chat RENAME TO recent_chat_before_rosey;
PRAGMA legacy_alter_table = OFF;

CREATE TABLE recent_chat (
    id        INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL,
    username  VARCHAR(50) NOT NULL,
    message   TEXT NOT NULL
);

INSERT INTO recent_chat (timestamp, username, message)
SELECT coalesce(timestamp, 0), coalesce(username, ''), coalesce(message, '')
FROM (
    SELECT (SELECT timestamp FROM recent_chat_before_rosey i WHERE i.rowid = o.rowid) AS timestamp,
           (SELECT username FROM recent_chat_before_rosey i WHERE i.rowid = o.rowid) AS username,
           (SELECT message FROM recent_chat_before_rosey i WHERE i.rowid = o.rowid) AS message
    FROM recent_chat_before_rosey o
    CROSS JOIN (SELECT NULL AS timestamp, NULL AS username, NULL AS message) missing
    ORDER BY o.rowid);
