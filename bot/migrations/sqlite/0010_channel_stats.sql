-- The record numbers of users; see 0010_user_stats.sql. `alembic upgrade 000_initial` made a table of names and values,
-- which nothing of the bot could use.
PRAGMA legacy_alter_table = ON;
ALTER TABLE channel_stats RENAME TO channel_stats_before_rosey;
PRAGMA legacy_alter_table = OFF;

CREATE TABLE channel_stats (
    id                      INTEGER PRIMARY KEY CHECK (id = 1),
    max_users               INTEGER NOT NULL DEFAULT 0,
    max_users_timestamp     INTEGER,
    max_connected           INTEGER NOT NULL DEFAULT 0,
    max_connected_timestamp INTEGER,
    last_updated            INTEGER NOT NULL DEFAULT 0
);

INSERT INTO channel_stats (id, max_users, max_users_timestamp, max_connected, max_connected_timestamp, last_updated)
SELECT 1, coalesce(max_users, 0), max_users_timestamp, coalesce(max_connected, 0), max_connected_timestamp,
       coalesce(last_updated, 0)
FROM (
    SELECT (SELECT id FROM channel_stats_before_rosey i WHERE i.rowid = o.rowid) AS id,
           (SELECT max_users FROM channel_stats_before_rosey i WHERE i.rowid = o.rowid) AS max_users,
           (SELECT max_users_timestamp FROM channel_stats_before_rosey i WHERE i.rowid = o.rowid) AS max_users_timestamp,
           (SELECT max_connected FROM channel_stats_before_rosey i WHERE i.rowid = o.rowid) AS max_connected,
           (SELECT max_connected_timestamp FROM channel_stats_before_rosey i WHERE i.rowid = o.rowid) AS max_connected_timestamp,
           (SELECT last_updated FROM channel_stats_before_rosey i WHERE i.rowid = o.rowid) AS last_updated
    FROM channel_stats_before_rosey o
    CROSS JOIN (
        SELECT NULL AS id, NULL AS max_users, NULL AS max_users_timestamp, NULL AS max_connected,
               NULL AS max_connected_timestamp, NULL AS last_updated) missing)
WHERE coalesce(id, 1) = 1
LIMIT 1;
