-- What people of the channel leave there: messages from one to another, quotes, and the values of plugins.

ALTER TABLE outbound_messages ADD COLUMN sender TEXT; -- who left it; NULL: nobody of the channel
ALTER TABLE outbound_messages ADD COLUMN private INTEGER NOT NULL DEFAULT 1; -- 0: to be said to its recipient in the channel
CREATE INDEX outbound_sender ON outbound_messages (sender, at, id) WHERE sent = 0 AND sender IS NOT NULL;

CREATE TABLE channel_quotes (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    op_id    TEXT NOT NULL UNIQUE,
    at       INTEGER NOT NULL, -- unix milliseconds
    username TEXT NOT NULL,    -- who said it
    message  TEXT NOT NULL,
    added_by TEXT
);

-- The last writer of each key, in the order of events: (at, id). A key that was deleted stays for a time, so that what is older and
-- comes later does not bring it back.
CREATE TABLE kv_entries (
    plugin TEXT NOT NULL,
    key    TEXT NOT NULL,
    value  TEXT,             -- JSON; NULL: deleted
    at     INTEGER NOT NULL, -- unix milliseconds
    id     TEXT NOT NULL UNIQUE,
    ends   INTEGER,          -- unix milliseconds: when it ends or has ended; NULL: it does not
    took   INTEGER NOT NULL DEFAULT 0, -- whether it took the place of a value
    PRIMARY KEY (plugin, key)
) WITHOUT ROWID;
CREATE INDEX kv_ends ON kv_entries (ends) WHERE ends IS NOT NULL;
