-- People who are to be forgotten, and since when: what is older by (at, id) does not come back.
CREATE TABLE forgotten (
    username TEXT PRIMARY KEY NOT NULL,
    at       INTEGER NOT NULL, -- unix milliseconds
    id       TEXT NOT NULL
) WITHOUT ROWID;

-- Joins, leaves and lines of people who were forgotten: that something was applied, and nothing of what.
CREATE TABLE forgotten_events (
    op_id TEXT PRIMARY KEY NOT NULL,
    at    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX forgotten_events_at ON forgotten_events (at);

-- What there is of a person is found without reading all of it.
CREATE INDEX user_actions_username ON user_actions (username);
CREATE INDEX outbound_username ON outbound_messages (username) WHERE username IS NOT NULL;
CREATE INDEX outbound_left_by ON outbound_messages (sender) WHERE sender IS NOT NULL;
CREATE INDEX channel_quotes_username ON channel_quotes (username);
CREATE INDEX channel_quotes_added_by ON channel_quotes (added_by);

ALTER TABLE user_actions ADD COLUMN at INTEGER; -- unix milliseconds; NULL: as `timestamp`
