-- A file of the older generation on which the bot's migrations got half-way: single columns are gone, others came.
DROP TABLE channel_stats;
CREATE TABLE channel_stats (
    id INTEGER NOT NULL, max_users INTEGER DEFAULT 0 NOT NULL, last_updated INTEGER NOT NULL, PRIMARY KEY (id));
INSERT INTO channel_stats VALUES (1, 41, NOW - 700);
DROP TABLE current_status;
CREATE TABLE current_status (
    id INTEGER NOT NULL, last_updated INTEGER NOT NULL, status VARCHAR(50) DEFAULT 'offline' NOT NULL,
    current_users INTEGER DEFAULT '0' NOT NULL, connected_users INTEGER DEFAULT '0' NOT NULL, mood TEXT NOT NULL,
    PRIMARY KEY (id));
INSERT INTO current_status VALUES (1, NOW - 10, 'online', 3, 4, 'fine'), (2, NOW - 20, 'offline', 0, 0, 'odd');
DROP TABLE outbound_messages;
CREATE TABLE outbound_messages (
    id INTEGER NOT NULL, timestamp INTEGER NOT NULL, message TEXT NOT NULL, sent BOOLEAN DEFAULT '0' NOT NULL,
    last_error TEXT, priority INTEGER NOT NULL, PRIMARY KEY (id), UNIQUE (message));
INSERT INTO outbound_messages VALUES
    (3, NOW - 300, 'new', 0, NULL, 1), (4, NOW - 200, 'given up', 1, 'no such channel', 1);
-- The operator's own, which reads the queue by its name.
CREATE VIEW waiting AS SELECT message FROM outbound_messages WHERE sent = 0;
