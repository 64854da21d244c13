-- What Rosey adds to the channel's tables: what they are derived from. Times are unix milliseconds.
-- Derived = baseline + events that are kept. Rows of the file's origin have ids that begin with a blank, which no
-- operation's id does.

-- What is known of users without events: what the file knew when it was taken over, and what retention has removed.
CREATE TABLE user_baseline (
    username     TEXT PRIMARY KEY NOT NULL,
    first_seen   INTEGER,                       -- unix seconds
    last_line    INTEGER,                       -- unix seconds
    last_session INTEGER,                       -- unix seconds: the end of the last session in here
    chat_lines   INTEGER NOT NULL DEFAULT 0,
    connected_ms INTEGER NOT NULL DEFAULT 0,
    -- the joins and leaves before this one are in here, and no other may come before it
    folded_at    INTEGER NOT NULL DEFAULT 0,
    folded_id    TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
INSERT INTO user_baseline (username, first_seen, last_line, chat_lines, connected_ms)
SELECT username, first_seen, last_seen, total_chat_lines, total_time_connected * 1000
FROM user_stats WHERE username IS NOT NULL;

-- Joins and leaves, in the order of events: (at, id).
CREATE TABLE presence (
    username TEXT NOT NULL,
    at       INTEGER NOT NULL,
    id       TEXT NOT NULL,
    joined   INTEGER NOT NULL CHECK (joined IN (0, 1)),
    PRIMARY KEY (username, at, id)
) WITHOUT ROWID;
-- Sessions that were open when the file was taken over go on; their time is not counted yet.
INSERT INTO presence (username, at, id, joined)
SELECT username, current_session_start * 1000, ' origin', 1
FROM user_stats WHERE username IS NOT NULL AND current_session_start IS NOT NULL;

ALTER TABLE user_stats ADD COLUMN connected_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE user_stats ADD COLUMN last_line INTEGER; -- unix seconds: the latest line, apart from sessions
UPDATE user_stats SET connected_ms = total_time_connected * 1000, last_line = last_seen;
CREATE INDEX user_stats_open ON user_stats (username) WHERE current_session_start IS NOT NULL;

-- The rule of presence. A user's connected time is the sum, over his joins that have a next event, of the gap to
-- it. An event x between its neighbours p and n changes that sum by gap(p, x) + gap(x, n) - gap(p, n), where a gap
-- counts only if it begins with a join: one look at the neighbours, whatever the order of arrival.
CREATE TRIGGER presence_inserted AFTER INSERT ON presence
BEGIN
    SELECT raise(ABORT, 'it is older than the joins and leaves of this user that are kept')
    FROM user_baseline b
    WHERE b.username = NEW.username AND (NEW.at, NEW.id) < (b.folded_at, b.folded_id);

    INSERT INTO user_stats (username, first_seen, last_seen)
    SELECT NEW.username, NEW.at / 1000, NEW.at / 1000 WHERE NEW.joined
    ON CONFLICT (username) DO UPDATE SET first_seen = min(first_seen, excluded.first_seen);

    UPDATE user_stats
    SET connected_ms = connected_ms + change.ms,
        total_time_connected = (connected_ms + change.ms) / 1000,
        current_session_start = (
            SELECT CASE WHEN joined THEN at / 1000 END FROM presence
            WHERE username = NEW.username ORDER BY at DESC, id DESC LIMIT 1),
        -- the last join, or the leave that closed it
        last_seen = max(coalesce(last_line, 0), coalesce((
            SELECT coalesce((
                SELECT e.at FROM presence e
                WHERE e.username = NEW.username AND (e.at, e.id) > (j.at, j.id) ORDER BY e.at, e.id LIMIT 1), j.at)
            FROM presence j WHERE j.username = NEW.username AND j.joined = 1
            ORDER BY j.at DESC, j.id DESC LIMIT 1) / 1000, last_seen))
    FROM (
        SELECT coalesce(NEW.at - previous_join, 0)
             + CASE WHEN NEW.joined THEN coalesce(next - NEW.at, 0) ELSE 0 END
             - coalesce(next - previous_join, 0) AS ms
        FROM (
            SELECT (SELECT CASE WHEN joined THEN at END FROM presence
                    WHERE username = NEW.username AND (at, id) < (NEW.at, NEW.id)
                    ORDER BY at DESC, id DESC LIMIT 1) AS previous_join,
                   (SELECT at FROM presence
                    WHERE username = NEW.username AND (at, id) > (NEW.at, NEW.id)
                    ORDER BY at, id LIMIT 1) AS next)
    ) AS change
    WHERE username = NEW.username;
END;

ALTER TABLE recent_chat ADD COLUMN at INTEGER;
ALTER TABLE recent_chat ADD COLUMN op_id TEXT;
UPDATE recent_chat SET at = timestamp * 1000, op_id = printf(' origin %012d', id);
CREATE INDEX recent_chat_at ON recent_chat (at, op_id);

-- What `server` says is counted, and not kept among the recent lines.
CREATE TABLE server_lines (
    op_id    TEXT PRIMARY KEY NOT NULL,
    username TEXT NOT NULL,
    at       INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX server_lines_at ON server_lines (at);
CREATE TRIGGER server_spoke AFTER INSERT ON recent_chat WHEN lower(NEW.username) = 'server'
BEGIN
    INSERT INTO server_lines (op_id, username, at) VALUES (NEW.op_id, NEW.username, NEW.at);
    DELETE FROM recent_chat WHERE id = NEW.id;
END;

ALTER TABLE user_actions ADD COLUMN op_id TEXT;
UPDATE user_actions SET op_id = printf(' origin %012d', id);

ALTER TABLE user_count_history ADD COLUMN op_id TEXT;
UPDATE user_count_history SET op_id = printf(' origin %012d', id);
CREATE INDEX user_count_history_timestamp ON user_count_history (timestamp);

-- The most that were counted, with the earliest second in which they were; and the latest count of all.
CREATE TABLE high_water (
    kind  TEXT PRIMARY KEY NOT NULL CHECK (kind IN ('chat', 'connected', 'updated')),
    count INTEGER NOT NULL,
    at    INTEGER -- unix seconds
) WITHOUT ROWID;
INSERT INTO high_water (kind, count, at)
SELECT 'chat', max_users, max_users_timestamp FROM channel_stats WHERE id = 1
UNION ALL SELECT 'connected', max_connected, max_connected_timestamp FROM channel_stats WHERE id = 1
UNION ALL SELECT 'updated', last_updated, last_updated FROM channel_stats WHERE id = 1;
CREATE TRIGGER high_water_risen AFTER UPDATE ON high_water
BEGIN
    UPDATE channel_stats SET
        max_users = iif(NEW.kind = 'chat', NEW.count, max_users),
        max_users_timestamp = iif(NEW.kind = 'chat', NEW.at, max_users_timestamp),
        max_connected = iif(NEW.kind = 'connected', NEW.count, max_connected),
        max_connected_timestamp = iif(NEW.kind = 'connected', NEW.at, max_connected_timestamp),
        last_updated = iif(NEW.kind = 'updated', NEW.count, last_updated)
    WHERE id = 1;
END;

-- The last writer of each field of the status, in the order of events.
CREATE TABLE status_fields (
    field TEXT PRIMARY KEY NOT NULL,
    at    INTEGER NOT NULL,
    id    TEXT NOT NULL,
    value -- no type: a column that has one would rewrite texts that look like numbers
) WITHOUT ROWID;
ALTER TABLE current_status ADD COLUMN details TEXT;
INSERT INTO status_fields (field, at, id, value)
SELECT 'last_updated', last_updated * 1000, '', last_updated FROM current_status WHERE id = 1
UNION ALL SELECT 'status', last_updated * 1000, '', status FROM current_status WHERE id = 1
UNION ALL SELECT 'details', last_updated * 1000, '', details FROM current_status WHERE id = 1
UNION ALL SELECT 'bot_name', last_updated * 1000, '', bot_name FROM current_status WHERE id = 1
UNION ALL SELECT 'bot_rank', last_updated * 1000, '', bot_rank FROM current_status WHERE id = 1
UNION ALL SELECT 'bot_afk', last_updated * 1000, '', bot_afk FROM current_status WHERE id = 1
UNION ALL SELECT 'channel_name', last_updated * 1000, '', channel_name FROM current_status WHERE id = 1
UNION ALL SELECT 'current_chat_users', last_updated * 1000, '', current_chat_users FROM current_status WHERE id = 1
UNION ALL SELECT 'current_connected_users', last_updated * 1000, '', current_connected_users FROM current_status WHERE id = 1
UNION ALL SELECT 'playlist_items', last_updated * 1000, '', playlist_items FROM current_status WHERE id = 1
UNION ALL SELECT 'current_media_title', last_updated * 1000, '', current_media_title FROM current_status WHERE id = 1
UNION ALL SELECT 'current_media_duration', last_updated * 1000, '', current_media_duration FROM current_status WHERE id = 1
UNION ALL SELECT 'bot_start_time', last_updated * 1000, '', bot_start_time FROM current_status WHERE id = 1
UNION ALL SELECT 'bot_connected', last_updated * 1000, '', bot_connected FROM current_status WHERE id = 1;
CREATE TRIGGER status_field_written AFTER UPDATE ON status_fields
BEGIN
    UPDATE current_status SET
        last_updated = CASE NEW.field WHEN 'last_updated' THEN NEW.value ELSE last_updated END,
        status = CASE NEW.field WHEN 'status' THEN coalesce(NEW.value, 'offline') ELSE status END,
        details = CASE NEW.field WHEN 'details' THEN NEW.value ELSE details END,
        bot_name = CASE NEW.field WHEN 'bot_name' THEN NEW.value ELSE bot_name END,
        bot_rank = CASE NEW.field WHEN 'bot_rank' THEN NEW.value ELSE bot_rank END,
        bot_afk = CASE NEW.field WHEN 'bot_afk' THEN NEW.value ELSE bot_afk END,
        channel_name = CASE NEW.field WHEN 'channel_name' THEN NEW.value ELSE channel_name END,
        current_chat_users = CASE NEW.field WHEN 'current_chat_users' THEN NEW.value ELSE current_chat_users END,
        current_connected_users = CASE NEW.field WHEN 'current_connected_users' THEN NEW.value ELSE current_connected_users END,
        playlist_items = CASE NEW.field WHEN 'playlist_items' THEN NEW.value ELSE playlist_items END,
        current_media_title = CASE NEW.field WHEN 'current_media_title' THEN NEW.value ELSE current_media_title END,
        current_media_duration = CASE NEW.field WHEN 'current_media_duration' THEN NEW.value ELSE current_media_duration END,
        bot_start_time = CASE NEW.field WHEN 'bot_start_time' THEN NEW.value ELSE bot_start_time END,
        bot_connected = CASE NEW.field WHEN 'bot_connected' THEN NEW.value ELSE bot_connected END
    WHERE id = 1;
END;

ALTER TABLE outbound_messages ADD COLUMN op_id TEXT;
ALTER TABLE outbound_messages ADD COLUMN username TEXT; -- NULL: to the whole channel
ALTER TABLE outbound_messages ADD COLUMN at INTEGER;
ALTER TABLE outbound_messages ADD COLUMN lease_id TEXT; -- the claim that holds it
ALTER TABLE outbound_messages ADD COLUMN lease_until INTEGER;
ALTER TABLE outbound_messages ADD COLUMN lease_at INTEGER; -- when the claim was made, by the clock of who made it
ALTER TABLE outbound_messages ADD COLUMN last_attempt INTEGER;
ALTER TABLE outbound_messages ADD COLUMN delivered_at INTEGER; -- the earliest; wins over a failure
ALTER TABLE outbound_messages ADD COLUMN failed_at INTEGER;    -- for good; the earliest
ALTER TABLE outbound_messages ADD COLUMN error_at INTEGER;     -- (error_at, error_id) is the latest failure
ALTER TABLE outbound_messages ADD COLUMN error_id TEXT;
ALTER TABLE outbound_messages ADD COLUMN origin_retries INTEGER NOT NULL DEFAULT 0; -- without a mark of their own
UPDATE outbound_messages SET at = timestamp * 1000;
CREATE UNIQUE INDEX outbound_op ON outbound_messages (op_id) WHERE op_id IS NOT NULL;
CREATE INDEX outbound_waiting ON outbound_messages (username, at, id) WHERE sent = 0;
CREATE INDEX outbound_leased ON outbound_messages (lease_id) WHERE lease_id IS NOT NULL;
CREATE INDEX outbound_lease_end ON outbound_messages (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX outbound_over ON outbound_messages (sent_timestamp) WHERE sent = 1;

-- What became of outbound messages, as it was reported; `expired` is a lease that ended without a report.
CREATE TABLE outbound_marks (
    op_id   TEXT PRIMARY KEY NOT NULL,
    message INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    kind    TEXT NOT NULL CHECK (kind IN ('sent', 'retry', 'failed', 'expired')),
    error   TEXT
) WITHOUT ROWID;
CREATE INDEX outbound_marks_message ON outbound_marks (message);

-- Sent wins over failed for good, that over waiting; in whatever order the reports come.
CREATE TRIGGER outbound_marked AFTER INSERT ON outbound_marks
BEGIN
    UPDATE outbound_messages
    SET delivered_at = CASE WHEN NEW.kind = 'sent' THEN min(coalesce(delivered_at, NEW.at), NEW.at) ELSE delivered_at END,
        failed_at = CASE WHEN NEW.kind = 'failed' THEN min(coalesce(failed_at, NEW.at), NEW.at) ELSE failed_at END,
        retry_count = retry_count + (NEW.kind IN ('retry', 'expired')),
        last_attempt = max(coalesce(last_attempt, NEW.at), NEW.at),
        -- a late word about an attempt before this lease does not end it
        lease_id = CASE WHEN NEW.kind = 'retry' AND NEW.at < lease_at THEN lease_id END,
        lease_until = CASE WHEN NEW.kind = 'retry' AND NEW.at < lease_at THEN lease_until END
    WHERE id = NEW.message;

    UPDATE outbound_messages
    SET error_at = NEW.at, error_id = NEW.op_id, error_message = NEW.error
    WHERE id = NEW.message AND NEW.kind IN ('retry', 'failed')
      AND (NEW.at, NEW.op_id) > (coalesce(error_at, 0), coalesce(error_id, ''));

    -- the columns that the Python bot reads: sent with an error text is a failure
    UPDATE outbound_messages
    SET sent = delivered_at IS NOT NULL OR failed_at IS NOT NULL,
        sent_timestamp = coalesce(delivered_at, failed_at) / 1000,
        error_message = CASE WHEN delivered_at IS NULL THEN error_message END
    WHERE id = NEW.message;
END;

-- What is known of the messages of a file that is taken over, as reports.
CREATE TEMP TABLE taken_over AS
SELECT id, timestamp, coalesce(sent_timestamp, timestamp) AS ended, sent, retry_count, error_message
FROM outbound_messages WHERE sent OR retry_count > 0;
UPDATE outbound_messages SET sent = 0, sent_timestamp = NULL, error_message = NULL,
    retry_count = max(retry_count - 1, 0), origin_retries = max(retry_count - 1, 0)
WHERE id IN (SELECT id FROM taken_over);
INSERT INTO outbound_marks (op_id, message, at, kind, error)
SELECT printf(' origin %012d', id), id, timestamp * 1000, 'retry', error_message
FROM taken_over WHERE retry_count > 0
UNION ALL
SELECT printf(' origin %012d end', id), id, ended * 1000, iif(error_message IS NULL, 'sent', 'failed'), error_message
FROM taken_over WHERE sent;
DROP TABLE taken_over;
