-- A file of the older generation, which makes its tables itself. NOW is the time of the test.
CREATE TABLE user_stats (
    username TEXT PRIMARY KEY, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    total_chat_lines INTEGER DEFAULT 0, total_time_connected INTEGER DEFAULT 0, current_session_start INTEGER);
CREATE TABLE user_actions (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, username TEXT NOT NULL, action_type TEXT NOT NULL,
    details TEXT);
CREATE TABLE channel_stats (
    id INTEGER PRIMARY KEY CHECK (id = 1), max_users INTEGER DEFAULT 0, max_users_timestamp INTEGER,
    last_updated INTEGER, max_connected INTEGER DEFAULT 0, max_connected_timestamp INTEGER);
CREATE TABLE user_count_history (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, chat_users INTEGER NOT NULL,
    connected_users INTEGER NOT NULL);
CREATE INDEX idx_user_count_timestamp ON user_count_history (timestamp);
CREATE TABLE recent_chat (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, username TEXT NOT NULL, message TEXT NOT NULL);
CREATE INDEX idx_recent_chat_timestamp ON recent_chat (timestamp DESC);
CREATE TABLE current_status (
    id INTEGER PRIMARY KEY CHECK (id = 1), bot_name TEXT, bot_rank REAL, bot_afk INTEGER DEFAULT 0, channel_name TEXT,
    current_chat_users INTEGER DEFAULT 0, current_connected_users INTEGER DEFAULT 0, playlist_items INTEGER DEFAULT 0,
    current_media_title TEXT, current_media_duration INTEGER, bot_start_time INTEGER, bot_connected INTEGER DEFAULT 0,
    last_updated INTEGER);
CREATE TABLE outbound_messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT, timestamp INTEGER NOT NULL, message TEXT NOT NULL, sent INTEGER DEFAULT 0,
    sent_timestamp INTEGER, retry_count INTEGER DEFAULT 0, last_error TEXT);
CREATE INDEX idx_outbound_sent ON outbound_messages (sent, timestamp);
CREATE TABLE api_tokens (
    token TEXT PRIMARY KEY, description TEXT, created_at INTEGER NOT NULL, last_used INTEGER, revoked INTEGER DEFAULT 0);

INSERT INTO user_stats VALUES
    ('alice', NOW - 900000, NOW - 600, 120, 7200, NOW - 600),
    ('bob', NOW - 800000, NOW - 90000, 45, 3600, NULL),
    ('bert', NOW - 700000, NOW - 80000, 7, 60, NULL),
    ('müßig 💤', NOW - 1000, NOW - 1000, 0, 0, NOW - 1000);
INSERT INTO user_actions (timestamp, username, action_type, details)
VALUES (NOW - 5000, 'alice', 'pm_command', 'stats');
INSERT INTO channel_stats (id, max_users, max_users_timestamp, max_connected, max_connected_timestamp, last_updated)
VALUES (1, 41, NOW - 400000, 57, NOW - 300000, NOW - 700);
INSERT INTO user_count_history (timestamp, chat_users, connected_users)
VALUES (NOW - 3600, 10, 10), (NOW - 3300, 11, 14), (NOW - 900000, 3, 3);
INSERT INTO recent_chat (timestamp, username, message) VALUES
    (NOW - 500, 'alice', 'first'), (NOW - 500, 'bob', 'second, in the same second'), (NOW - 400, '[server]', 'third');
INSERT INTO current_status (id, last_updated, bot_name, bot_rank, bot_afk, channel_name, current_chat_users,
                            current_connected_users, playlist_items, current_media_title, current_media_duration,
                            bot_start_time, bot_connected)
VALUES (1, NOW - 10, 'rosey', 2.5, 0, 'lounge', 11, 14, 30, 'A film', 5400, NOW - 90000, 1);
INSERT INTO outbound_messages (id, timestamp, sent_timestamp, message, sent, retry_count, last_error) VALUES
    (1, NOW - 90000, NOW - 89990, 'sent', 1, 0, NULL),
    (2, NOW - 80000, NOW - 79000, 'given up', 1, 3, 'no such channel'),
    (3, NOW - 3600, NULL, 'tried twice', 0, 2, 'network'),
    (4, NOW - 60, NULL, 'tried just now', 0, 1, 'network'),
    (5, NOW - 50, NULL, 'abandoned', 0, 3, 'network'),
    (9, NOW - 40, NULL, 'new', 0, 0, NULL),
    (20, NOW - 30, NULL, 'deleted', 0, 0, NULL);
DELETE FROM outbound_messages WHERE id = 20;
INSERT INTO api_tokens (token, description, created_at) VALUES ('t-1', 'the web page', NOW - 900000);
