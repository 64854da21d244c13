-- The queue; see 0010_user_stats.sql. What has no time in the column of that name was queued by nothing that could send it
-- (`alembic upgrade 000_initial`), and stays aside.
PRAGMA legacy_alter_table = ON;
ALTER TABLE outbound_messages RENAME TO outbound_messages_before_rosey;
PRAGMA legacy_alter_table = OFF;

CREATE TABLE outbound_messages (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp      INTEGER NOT NULL,
    sent_timestamp INTEGER,
    message        TEXT NOT NULL,
    sent           BOOLEAN NOT NULL DEFAULT 0,
    retry_count    INTEGER NOT NULL DEFAULT 0,
    error_message  TEXT
);

INSERT INTO outbound_messages (id, timestamp, sent_timestamp, message, sent, retry_count, error_message)
SELECT id, timestamp, sent_timestamp, coalesce(message, ''), coalesce(sent, 0), coalesce(retry_count, 0),
       coalesce(error_message, last_error)
FROM (
    SELECT (SELECT id FROM outbound_messages_before_rosey i WHERE i.rowid = o.rowid) AS id,
           (SELECT timestamp FROM outbound_messages_before_rosey i WHERE i.rowid = o.rowid) AS timestamp,
           (SELECT sent_timestamp FROM outbound_messages_before_rosey i WHERE i.rowid = o.rowid) AS sent_timestamp,
           (SELECT message FROM outbound_messages_before_rosey i WHERE i.rowid = o.rowid) AS message,
           (SELECT sent FROM outbound_messages_before_rosey i WHERE i.rowid = o.rowid) AS sent,
           (SELECT retry_count FROM outbound_messages_before_rosey i WHERE i.rowid = o.rowid) AS retry_count,
           (SELECT error_message FROM outbound_messages_before_rosey i WHERE i.rowid = o.rowid) AS error_message,
           (SELECT last_error FROM outbound_messages_before_rosey i WHERE i.rowid = o.rowid) AS last_error
    FROM outbound_messages_before_rosey o
    CROSS JOIN (
        SELECT NULL AS id, NULL AS timestamp, NULL AS sent_timestamp, NULL AS message, NULL AS sent,
               NULL AS retry_count, NULL AS error_message, NULL AS last_error) missing
    ORDER BY o.rowid)
WHERE timestamp IS NOT NULL
ON CONFLICT (id) DO NOTHING;

-- Numbers go on from the largest one that was given, as far as the file knows.
DELETE FROM sqlite_sequence WHERE name = 'outbound_messages';
INSERT INTO sqlite_sequence (name, seq)
SELECT 'outbound_messages', max(
    coalesce((SELECT max(seq) FROM sqlite_sequence WHERE name = 'outbound_messages_before_rosey'), 0),
    coalesce((SELECT max(rowid) FROM outbound_messages_before_rosey), 0));
