-- The tables of the Python bot, under its names and with its columns; times are unix seconds.
-- A file of its own keeps its tables: nothing here replaces one that exists, and those that do not do were set aside before.

CREATE TABLE IF NOT EXISTS user_stats (
    username              VARCHAR(50) PRIMARY KEY NOT NULL,
    first_seen            INTEGER NOT NULL,
    last_seen             INTEGER NOT NULL,
    total_chat_lines      INTEGER NOT NULL DEFAULT 0 CHECK (total_chat_lines >= 0),
    total_time_connected  INTEGER NOT NULL DEFAULT 0 CHECK (total_time_connected >= 0),
    current_session_start INTEGER
);

CREATE TABLE IF NOT EXISTS user_actions (
    id          INTEGER PRIMARY KEY,
    timestamp   INTEGER NOT NULL,
    username    VARCHAR(50) NOT NULL,
    action_type VARCHAR(50) NOT NULL,
    details     TEXT
);

CREATE TABLE IF NOT EXISTS channel_stats (
    id                      INTEGER PRIMARY KEY CHECK (id = 1),
    max_users               INTEGER NOT NULL DEFAULT 0 CHECK (max_users >= 0),
    max_users_timestamp     INTEGER,
    max_connected           INTEGER NOT NULL DEFAULT 0 CHECK (max_connected >= 0),
    max_connected_timestamp INTEGER,
    last_updated            INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE IF NOT EXISTS user_count_history (
    id              INTEGER PRIMARY KEY,
    timestamp       INTEGER NOT NULL,
    chat_users      INTEGER NOT NULL CHECK (chat_users >= 0),
    connected_users INTEGER NOT NULL CHECK (connected_users >= chat_users)
);

CREATE TABLE IF NOT EXISTS recent_chat (
    id        INTEGER PRIMARY KEY,
    timestamp INTEGER NOT NULL,
    username  VARCHAR(50) NOT NULL,
    message   TEXT NOT NULL
);

CREATE TABLE IF NOT EXISTS current_status (
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

CREATE TABLE IF NOT EXISTS outbound_messages (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    timestamp      INTEGER NOT NULL,
    sent_timestamp INTEGER,
    message        TEXT NOT NULL,
    sent           BOOLEAN NOT NULL DEFAULT 0,
    retry_count    INTEGER NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
    error_message  TEXT
);

-- The Python bot's own tables have no defaults here, and it makes the rows when it first needs them.
INSERT INTO channel_stats (id, max_users, max_connected, last_updated) VALUES (1, 0, 0, 0) ON CONFLICT (id) DO NOTHING;
INSERT INTO current_status (id, last_updated, status) VALUES (1, 0, 'offline') ON CONFLICT (id) DO NOTHING;
