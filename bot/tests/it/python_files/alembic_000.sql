-- What `alembic upgrade 000_initial` makes: four tables of other columns, which no bot could use, and users with a number.
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, PRIMARY KEY (version_num));
CREATE TABLE user_stats (
    id INTEGER NOT NULL, username VARCHAR(50) NOT NULL, first_seen INTEGER NOT NULL, last_seen INTEGER NOT NULL,
    total_chat_lines INTEGER NOT NULL, total_time_connected INTEGER NOT NULL, current_session_start INTEGER,
    PRIMARY KEY (id), UNIQUE (username));
CREATE UNIQUE INDEX ix_user_stats_username ON user_stats (username);
CREATE TABLE user_actions (
    id INTEGER NOT NULL, username VARCHAR(50) NOT NULL, action_type VARCHAR(50) NOT NULL, timestamp INTEGER NOT NULL,
    details TEXT, PRIMARY KEY (id));
CREATE TABLE channel_stats (
    id INTEGER NOT NULL, stat_name VARCHAR(100) NOT NULL, stat_value INTEGER NOT NULL, timestamp INTEGER NOT NULL,
    PRIMARY KEY (id), UNIQUE (stat_name));
CREATE TABLE user_count_history (
    id INTEGER NOT NULL, timestamp INTEGER NOT NULL, chat_count INTEGER NOT NULL, connected_count INTEGER NOT NULL,
    PRIMARY KEY (id));
CREATE INDEX ix_user_count_history_timestamp ON user_count_history (timestamp);
CREATE TABLE recent_chat (
    id INTEGER NOT NULL, timestamp INTEGER NOT NULL, username VARCHAR(50) NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (id));
CREATE TABLE current_status (
    id INTEGER NOT NULL, timestamp INTEGER NOT NULL, status_type VARCHAR(50) NOT NULL, status_data TEXT,
    PRIMARY KEY (id), UNIQUE (status_type));
CREATE TABLE outbound_messages (
    id INTEGER NOT NULL, message TEXT NOT NULL, created_at INTEGER NOT NULL, sent BOOLEAN NOT NULL, sent_at INTEGER,
    retry_count INTEGER NOT NULL, PRIMARY KEY (id));
CREATE TABLE api_tokens (
    id INTEGER NOT NULL, token_id VARCHAR(255) NOT NULL, token_hash VARCHAR(255) NOT NULL, username VARCHAR(50) NOT NULL,
    created_at INTEGER NOT NULL, is_active BOOLEAN NOT NULL, PRIMARY KEY (id), UNIQUE (token_id));

INSERT INTO alembic_version VALUES ('000_initial');
INSERT INTO user_stats VALUES
    (1, 'alice', NOW - 900000, NOW - 600, 120, 7200, NOW - 600), (2, 'bob', NOW - 800000, NOW - 90000, 45, 3600, NULL);
INSERT INTO user_actions VALUES (1, 'alice', 'pm_command', NOW - 5000, 'stats');
INSERT INTO recent_chat VALUES (1, NOW - 500, 'alice', 'first'), (2, NOW - 400, 'bob', 'second');
INSERT INTO channel_stats VALUES (1, 'max_users', 41, NOW - 400000);
INSERT INTO user_count_history VALUES (1, NOW - 3600, 10, 10);
INSERT INTO current_status VALUES (1, NOW - 10, 'bot', '{}'), (2, NOW - 10, 'media', '{}');
INSERT INTO outbound_messages VALUES (7, 'never to be sent', NOW - 3600, 0, NULL, 0);
