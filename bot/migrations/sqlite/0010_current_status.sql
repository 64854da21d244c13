-- The bot's status; see 0010_user_stats.sql. The older generation has no `status` in it; `alembic upgrade 000_initial` made
-- a table of types and data, which nothing of the bot could use.
PRAGMA legacy_alter_table = ON;
ALTER TABLE current_status RENAME TO current_status_before_rosey;
PRAGMA legacy_alter_table = OFF;

CREATE TABLE current_status (
    id                      INTEGER PRIMARY KEY CHECK (id = 1),
    last_updated            INTEGER NOT NULL DEFAULT 0,
    status                  VARCHAR(50) NOT NULL DEFAULT 'offline',
    bot_name                VARCHAR(100),
    bot_rank                REAL,
    bot_afk                 BOOLEAN,
    channel_name            VARCHAR(100),
    current_users           INTEGER,
    connected_users         INTEGER,
    current_chat_users      INTEGER,
    current_connected_users INTEGER,
    playlist_items          INTEGER,
    current_media_title     TEXT,
    current_media_duration  INTEGER,
    bot_start_time          INTEGER,
    bot_connected           BOOLEAN
);

INSERT INTO current_status (id, last_updated, status, bot_name, bot_rank, bot_afk, channel_name, current_users,
                            connected_users, current_chat_users, current_connected_users, playlist_items,
                            current_media_title, current_media_duration, bot_start_time, bot_connected)
SELECT 1, coalesce(last_updated, 0), coalesce(status, 'offline'), bot_name, bot_rank, bot_afk, channel_name,
       current_users, connected_users, current_chat_users, current_connected_users, playlist_items,
       current_media_title, current_media_duration, bot_start_time, bot_connected
FROM (
    SELECT (SELECT id FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS id,
           (SELECT last_updated FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS last_updated,
           (SELECT status FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS status,
           (SELECT bot_name FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS bot_name,
           (SELECT bot_rank FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS bot_rank,
           (SELECT bot_afk FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS bot_afk,
           (SELECT channel_name FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS channel_name,
           (SELECT current_users FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS current_users,
           (SELECT connected_users FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS connected_users,
           (SELECT current_chat_users FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS current_chat_users,
           (SELECT current_connected_users FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS current_connected_users,
           (SELECT playlist_items FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS playlist_items,
           (SELECT current_media_title FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS current_media_title,
           (SELECT current_media_duration FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS current_media_duration,
           (SELECT bot_start_time FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS bot_start_time,
           (SELECT bot_connected FROM current_status_before_rosey i WHERE i.rowid = o.rowid) AS bot_connected
    FROM current_status_before_rosey o
    CROSS JOIN (
        SELECT NULL AS id, NULL AS last_updated, NULL AS status, NULL AS bot_name, NULL AS bot_rank, NULL AS bot_afk,
               NULL AS channel_name, NULL AS current_users, NULL AS connected_users, NULL AS current_chat_users,
               NULL AS current_connected_users, NULL AS playlist_items, NULL AS current_media_title,
               NULL AS current_media_duration, NULL AS bot_start_time, NULL AS bot_connected) missing)
WHERE coalesce(id, 1) = 1
LIMIT 1;
