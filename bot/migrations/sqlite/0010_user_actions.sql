-- The audit trail; see 0010_user_stats.sql.
PRAGMA legacy_alter_table = ON;
ALTER TABLE user_actions RENAME TO user_actions_before_rosey;
PRAGMA legacy_alter_table = OFF;

CREATE TABLE user_actions (
    id          INTEGER PRIMARY KEY,
    timestamp   INTEGER NOT NULL,
    username    VARCHAR(50) NOT NULL,
    action_type VARCHAR(50) NOT NULL,
    details     TEXT
);

INSERT INTO user_actions (timestamp, username, action_type, details)
SELECT coalesce(timestamp, 0), coalesce(username, ''), coalesce(action_type, ''), details
FROM (
    SELECT (SELECT timestamp FROM user_actions_before_rosey i WHERE i.rowid = o.rowid) AS timestamp,
           (SELECT username FROM user_actions_before_rosey i WHERE i.rowid = o.rowid) AS username,
           (SELECT action_type FROM user_actions_before_rosey i WHERE i.rowid = o.rowid) AS action_type,
           (SELECT details FROM user_actions_before_rosey i WHERE i.rowid = o.rowid) AS details
    FROM user_actions_before_rosey o
    CROSS JOIN (SELECT NULL AS timestamp, NULL AS username, NULL AS action_type, NULL AS details) missing
    ORDER BY o.rowid);
