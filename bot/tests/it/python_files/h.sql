-- A file of the newest Python bot: its tables as its object mapper makes them. NOW is the time of the test.
CREATE TABLE user_stats (
    username VARCHAR(50) NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    total_chat_lines INTEGER DEFAULT '0' NOT NULL, total_time_connected INTEGER DEFAULT '0' NOT NULL,
    current_session_start INTEGER,
    PRIMARY KEY (username),
    CONSTRAINT positive_lines CHECK (total_chat_lines >= 0), CONSTRAINT positive_time CHECK (total_time_connected >= 0));
CREATE INDEX idx_last_seen ON user_stats (last_seen);
CREATE TABLE user_actions (
    id INTEGER NOT NULL, timestamp INTEGER NOT NULL, username VARCHAR(50) NOT NULL, action_type VARCHAR(50) NOT NULL,
    details TEXT,
    PRIMARY KEY (id));
CREATE TABLE channel_stats (
    id INTEGER NOT NULL, max_users INTEGER DEFAULT '0' NOT NULL, max_users_timestamp INTEGER, max_connected INTEGER,
    max_connected_timestamp INTEGER, last_updated INTEGER NOT NULL,
    PRIMARY KEY (id), CONSTRAINT singleton CHECK (id = 1), CONSTRAINT positive_users CHECK (max_users >= 0));
CREATE TABLE user_count_history (
    id INTEGER NOT NULL, timestamp INTEGER NOT NULL, chat_users INTEGER NOT NULL, connected_users INTEGER NOT NULL,
    PRIMARY KEY (id), CONSTRAINT positive_chat CHECK (chat_users >= 0),
    CONSTRAINT enough_connected CHECK (connected_users >= chat_users));
CREATE INDEX ix_user_count_history_timestamp ON user_count_history (timestamp);
CREATE TABLE recent_chat (
    id INTEGER NOT NULL, timestamp INTEGER NOT NULL, username VARCHAR(50) NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (id));
CREATE INDEX idx_recent_chat_timestamp ON recent_chat (timestamp);
CREATE TABLE current_status (
    id INTEGER NOT NULL, last_updated INTEGER NOT NULL, status VARCHAR(50) DEFAULT 'offline' NOT NULL,
    bot_name VARCHAR(50), bot_rank INTEGER, bot_afk BOOLEAN, channel_name VARCHAR(100),
    current_users INTEGER DEFAULT '0' NOT NULL, connected_users INTEGER DEFAULT '0' NOT NULL,
    current_chat_users INTEGER, current_connected_users INTEGER, playlist_items INTEGER, current_media_title TEXT,
    current_media_duration INTEGER, bot_start_time INTEGER, bot_connected BOOLEAN,
    PRIMARY KEY (id), CONSTRAINT singleton CHECK (id = 1), CONSTRAINT positive_current CHECK (current_users >= 0));
CREATE TABLE outbound_messages (
    id INTEGER NOT NULL, timestamp INTEGER NOT NULL, sent_timestamp INTEGER, message TEXT NOT NULL,
    sent BOOLEAN DEFAULT '0' NOT NULL, retry_count INTEGER DEFAULT '0' NOT NULL, error_message TEXT,
    PRIMARY KEY (id), CONSTRAINT positive_retries CHECK (retry_count >= 0));
CREATE INDEX idx_outbound_sent_timestamp ON outbound_messages (sent, timestamp);
CREATE TABLE api_tokens (
    id INTEGER NOT NULL, token VARCHAR(255) NOT NULL, description TEXT, created_at INTEGER NOT NULL, last_used INTEGER,
    is_active BOOLEAN DEFAULT '1' NOT NULL,
    PRIMARY KEY (id), UNIQUE (token));

INSERT INTO user_stats VALUES
    ('alice', NOW - 900000, NOW - 600, 120, 7200, NOW - 600),
    ('bob', NOW - 800000, NOW - 90000, 45, 3600, NULL),
    ('bert', NOW - 700000, NOW - 80000, 7, 60, NULL),
    ('müßig 💤', NOW - 1000, NOW - 1000, 0, 0, NOW - 1000);
INSERT INTO user_actions (timestamp, username, action_type, details)
VALUES (NOW - 5000, 'alice', 'pm_command', 'cmd=stats, args: , result: success, error: ');
INSERT INTO channel_stats VALUES (1, 41, NOW - 400000, 57, NOW - 300000, NOW - 700);
INSERT INTO user_count_history (timestamp, chat_users, connected_users)
VALUES (NOW - 3600, 10, 10), (NOW - 3300, 11, 14), (NOW - 900000, 3, 3);
INSERT INTO recent_chat (timestamp, username, message) VALUES
    (NOW - 500, 'alice', 'first'), (NOW - 500, 'bob', 'second, in the same second'), (NOW - 400, '[server]', 'third');
INSERT INTO current_status (id, last_updated, bot_name, bot_rank, bot_afk, channel_name, current_chat_users,
                            current_connected_users, playlist_items, current_media_title, current_media_duration,
                            bot_start_time, bot_connected)
VALUES (1, NOW - 10, 'rosey', 2.5, 0, 'lounge', 11, 14, 30, 'A film', 5400, NOW - 90000, 1);
INSERT INTO outbound_messages (id, timestamp, sent_timestamp, message, sent, retry_count, error_message) VALUES
    (1, NOW - 90000, NOW - 89990, 'sent', 1, 0, NULL),
    (2, NOW - 80000, NOW - 79000, 'given up', 1, 3, 'no such channel'),
    (3, NOW - 3600, NULL, 'tried twice', 0, 2, 'network'),
    (4, NOW - 60, NULL, 'tried just now', 0, 1, 'network'),
    (5, NOW - 50, NULL, 'abandoned', 0, 3, 'network'),
    (9, NOW - 40, NULL, 'new', 0, 0, NULL);
INSERT INTO api_tokens (token, description, created_at) VALUES ('t-1', 'the web page', NOW - 900000);
