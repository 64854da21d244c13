-- The channel's memory on PostgreSQL: the tables that SQLite has, column by column. Times are unix milliseconds, those of the
-- Python bot's columns unix seconds. Names and ids compare by their bytes.
-- Derived = baseline + events that are kept.

CREATE TABLE user_stats (
    username              text COLLATE "C" PRIMARY KEY,
    first_seen            bigint NOT NULL,
    last_seen             bigint NOT NULL,
    total_chat_lines      bigint NOT NULL DEFAULT 0 CHECK (total_chat_lines >= 0),
    total_time_connected  bigint NOT NULL DEFAULT 0 CHECK (total_time_connected >= 0),
    current_session_start bigint,
    connected_ms          bigint NOT NULL DEFAULT 0,
    last_line             bigint -- unix seconds: the latest line, apart from sessions
) WITH (fillfactor = 60);
CREATE INDEX user_stats_open ON user_stats (username) WHERE current_session_start IS NOT NULL;

-- What is known of users without events: what retention has removed.
CREATE TABLE user_baseline (
    username     text COLLATE "C" PRIMARY KEY,
    first_seen   bigint, -- unix seconds
    last_line    bigint, -- unix seconds
    last_session bigint, -- unix seconds: the end of the last session in here
    chat_lines   bigint NOT NULL DEFAULT 0,
    connected_ms bigint NOT NULL DEFAULT 0,
    -- the joins and leaves before this one are in here, and no other may come before it
    folded_at    bigint NOT NULL DEFAULT 0,
    folded_id    text COLLATE "C" NOT NULL DEFAULT ''
);

-- Joins and leaves, in the order of events: (at, id).
CREATE TABLE presence (
    username text COLLATE "C" NOT NULL,
    at       bigint NOT NULL,
    id       text COLLATE "C" NOT NULL,
    joined   integer NOT NULL CHECK (joined IN (0, 1)),
    PRIMARY KEY (username, at, id)
);

-- The rule of presence, over all rows of a statement at once: a trigger for each row would see the others, and count their
-- gaps twice. The new events of a user lie in runs without an old one between them; every event counts the gap before it, and
-- the last of a run the gap behind it less the one that was there.
CREATE FUNCTION presence_inserted() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM fresh f JOIN user_baseline b ON b.username = f.username
        WHERE (f.at, f.id) < (b.folded_at, b.folded_id)) THEN
        RAISE EXCEPTION 'it is older than the joins and leaves of this user that are kept';
    END IF;

    INSERT INTO user_stats AS u (username, first_seen, last_seen)
    SELECT username, min(at) / 1000, min(at) / 1000 FROM fresh WHERE joined = 1 GROUP BY username ORDER BY username
    ON CONFLICT (username) DO UPDATE SET first_seen = least(u.first_seen, excluded.first_seen);

    WITH placed AS (
        SELECT f.username, f.at, f.id, f.joined = 1 AS joined, p.at AS p_at, p.joined = 1 AS p_joined, n.at AS n_at,
               p.id IS DISTINCT FROM lag(f.id) OVER w AS begins,
               n.id IS NULL OR n.id IS DISTINCT FROM lead(f.id) OVER w AS ends
        FROM fresh f
        LEFT JOIN LATERAL (
            SELECT at, id, joined FROM presence WHERE username = f.username AND (at, id) < (f.at, f.id)
            ORDER BY at DESC, id DESC LIMIT 1) p ON true
        LEFT JOIN LATERAL (
            SELECT at, id FROM presence WHERE username = f.username AND (at, id) > (f.at, f.id)
            ORDER BY at, id LIMIT 1) n ON true
        WINDOW w AS (PARTITION BY f.username ORDER BY f.at, f.id)),
    runs AS (
        SELECT *, sum(begins::int) OVER (PARTITION BY username ORDER BY at, id) AS run FROM placed),
    gaps AS (
        SELECT username,
               CASE WHEN p_joined THEN at - p_at ELSE 0 END
               + CASE WHEN ends AND joined THEN coalesce(n_at - at, 0) ELSE 0 END
               - CASE WHEN ends AND first_value(p_joined) OVER r THEN coalesce(n_at - first_value(p_at) OVER r, 0) ELSE 0 END
               AS ms
        FROM runs WINDOW r AS (PARTITION BY username, run ORDER BY at, id)),
    change AS (SELECT username, sum(ms)::bigint AS ms FROM gaps GROUP BY username)
    UPDATE user_stats u SET
        connected_ms = u.connected_ms + c.ms,
        total_time_connected = (u.connected_ms + c.ms) / 1000,
        current_session_start = CASE WHEN l.joined = 1 THEN l.at / 1000 END,
        -- the last join, or the leave that closed it
        last_seen = greatest(coalesce(u.last_line, 0), coalesce(j.ended / 1000, u.last_seen))
    FROM change c
    LEFT JOIN LATERAL (
        SELECT at, joined FROM presence WHERE username = c.username ORDER BY at DESC, id DESC LIMIT 1) l ON true
    LEFT JOIN LATERAL (
        SELECT coalesce((
            SELECT e.at FROM presence e WHERE e.username = c.username AND (e.at, e.id) > (b.at, b.id)
            ORDER BY e.at, e.id LIMIT 1), b.at) AS ended
        FROM presence b WHERE b.username = c.username AND b.joined = 1
        ORDER BY b.at DESC, b.id DESC LIMIT 1) j ON true
    WHERE u.username = c.username;
    RETURN NULL;
END $$;
CREATE TRIGGER presence_inserted AFTER INSERT ON presence REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION presence_inserted();

CREATE TABLE recent_chat (
    id        bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    timestamp bigint NOT NULL,
    username  text COLLATE "C" NOT NULL,
    message   text NOT NULL,
    at        bigint NOT NULL,
    op_id     text COLLATE "C" NOT NULL
);
CREATE INDEX recent_chat_at ON recent_chat (at, op_id);

-- The channel itself speaks as `server`, or as `[server]`: counted, and not kept among the recent lines.
CREATE TABLE server_lines (
    op_id    text COLLATE "C" PRIMARY KEY,
    username text COLLATE "C" NOT NULL,
    at       bigint NOT NULL
);
CREATE INDEX server_lines_at ON server_lines (at);
CREATE FUNCTION server_spoke() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO server_lines (op_id, username, at) VALUES (NEW.op_id, NEW.username, NEW.at);
    RETURN NULL;
END $$;
CREATE TRIGGER server_spoke BEFORE INSERT ON recent_chat FOR EACH ROW
WHEN (lower(NEW.username) IN ('server', '[server]')) EXECUTE FUNCTION server_spoke();

CREATE TABLE user_actions (
    id          bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    timestamp   bigint NOT NULL,
    username    text COLLATE "C" NOT NULL,
    action_type text NOT NULL,
    details     text,
    op_id       text COLLATE "C"
);

CREATE TABLE user_count_history (
    id              bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    timestamp       bigint NOT NULL,
    chat_users      bigint NOT NULL CHECK (chat_users >= 0),
    connected_users bigint NOT NULL CHECK (connected_users >= chat_users),
    op_id           text COLLATE "C"
);
CREATE INDEX user_count_history_timestamp ON user_count_history (timestamp);

CREATE TABLE channel_stats (
    id                      integer PRIMARY KEY CHECK (id = 1),
    max_users               bigint NOT NULL DEFAULT 0,
    max_users_timestamp     bigint,
    max_connected           bigint NOT NULL DEFAULT 0,
    max_connected_timestamp bigint,
    last_updated            bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 20);
INSERT INTO channel_stats (id) VALUES (1);

-- The most that were counted, with the earliest second in which they were; and the latest count of all.
CREATE TABLE high_water (
    kind  text COLLATE "C" PRIMARY KEY CHECK (kind IN ('chat', 'connected', 'updated')),
    count bigint NOT NULL,
    at    bigint -- unix seconds
) WITH (fillfactor = 20);
INSERT INTO high_water (kind, count, at) VALUES ('chat', 0, NULL), ('connected', 0, NULL), ('updated', 0, 0);
CREATE FUNCTION high_water_risen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE channel_stats SET
        max_users = CASE NEW.kind WHEN 'chat' THEN NEW.count ELSE max_users END,
        max_users_timestamp = CASE NEW.kind WHEN 'chat' THEN NEW.at ELSE max_users_timestamp END,
        max_connected = CASE NEW.kind WHEN 'connected' THEN NEW.count ELSE max_connected END,
        max_connected_timestamp = CASE NEW.kind WHEN 'connected' THEN NEW.at ELSE max_connected_timestamp END,
        last_updated = CASE NEW.kind WHEN 'updated' THEN NEW.count ELSE last_updated END
    WHERE id = 1;
    RETURN NULL;
END $$;
CREATE TRIGGER high_water_risen AFTER UPDATE ON high_water FOR EACH ROW EXECUTE FUNCTION high_water_risen();

CREATE TABLE current_status (
    id                      integer PRIMARY KEY CHECK (id = 1),
    last_updated            bigint NOT NULL DEFAULT 0,
    status                  text NOT NULL DEFAULT 'offline',
    details                 text,
    bot_name                text,
    bot_rank                double precision,
    bot_afk                 integer,
    channel_name            text,
    current_users           bigint,
    connected_users         bigint,
    current_chat_users      bigint,
    current_connected_users bigint,
    playlist_items          bigint,
    current_media_title     text,
    current_media_duration  text, -- as it was sent: seconds, or 03:12
    bot_start_time          bigint,
    bot_connected           integer
) WITH (fillfactor = 20);
INSERT INTO current_status (id) VALUES (1);

-- The last writer of each field of the status, in the order of events.
CREATE TABLE status_fields (
    field text COLLATE "C" PRIMARY KEY,
    at    bigint NOT NULL,
    id    text COLLATE "C" NOT NULL,
    value jsonb
) WITH (fillfactor = 20);
INSERT INTO status_fields (field, at, id, value)
SELECT f, 0, '', CASE f WHEN 'last_updated' THEN '0'::jsonb WHEN 'status' THEN '"offline"'::jsonb END
FROM unnest(ARRAY['last_updated', 'status', 'details', 'bot_name', 'bot_rank', 'bot_afk', 'channel_name',
    'current_chat_users', 'current_connected_users', 'playlist_items', 'current_media_title', 'current_media_duration',
    'bot_start_time', 'bot_connected']) f;
CREATE FUNCTION status_field_written() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    written text := NEW.value #>> '{}';
BEGIN
    CASE NEW.field
        WHEN 'last_updated' THEN UPDATE current_status SET last_updated = written::bigint WHERE id = 1;
        WHEN 'status' THEN UPDATE current_status SET status = coalesce(written, 'offline') WHERE id = 1;
        WHEN 'details' THEN UPDATE current_status SET details = written WHERE id = 1;
        WHEN 'bot_name' THEN UPDATE current_status SET bot_name = written WHERE id = 1;
        WHEN 'bot_rank' THEN UPDATE current_status SET bot_rank = written::double precision WHERE id = 1;
        WHEN 'bot_afk' THEN UPDATE current_status SET bot_afk = written::integer WHERE id = 1;
        WHEN 'channel_name' THEN UPDATE current_status SET channel_name = written WHERE id = 1;
        WHEN 'current_chat_users' THEN UPDATE current_status SET current_chat_users = written::bigint WHERE id = 1;
        WHEN 'current_connected_users' THEN UPDATE current_status SET current_connected_users = written::bigint WHERE id = 1;
        WHEN 'playlist_items' THEN UPDATE current_status SET playlist_items = written::bigint WHERE id = 1;
        WHEN 'current_media_title' THEN UPDATE current_status SET current_media_title = written WHERE id = 1;
        WHEN 'current_media_duration' THEN UPDATE current_status SET current_media_duration = written WHERE id = 1;
        WHEN 'bot_start_time' THEN UPDATE current_status SET bot_start_time = written::bigint WHERE id = 1;
        WHEN 'bot_connected' THEN UPDATE current_status SET bot_connected = written::integer WHERE id = 1;
        ELSE NULL;
    END CASE;
    RETURN NULL;
END $$;
CREATE TRIGGER status_field_written AFTER UPDATE ON status_fields FOR EACH ROW EXECUTE FUNCTION status_field_written();

CREATE TABLE outbound_messages (
    id             bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    timestamp      bigint NOT NULL,
    sent_timestamp bigint,
    message        text NOT NULL,
    sent           integer NOT NULL DEFAULT 0 CHECK (sent IN (0, 1)),
    retry_count    integer NOT NULL DEFAULT 0 CHECK (retry_count >= 0),
    error_message  text,
    op_id          text COLLATE "C" UNIQUE,
    username       text COLLATE "C", -- NULL: to the whole channel
    at             bigint,
    lease_id       text COLLATE "C", -- the claim that holds it
    lease_until    bigint,
    lease_at       bigint, -- when the claim was made, by the clock of who made it
    last_attempt   bigint,
    delivered_at   bigint, -- the earliest; wins over a failure
    failed_at      bigint, -- for good; the earliest
    error_at       bigint, -- (error_at, error_id) is the latest failure
    error_id       text COLLATE "C",
    origin_retries integer NOT NULL DEFAULT 0
);
CREATE INDEX outbound_waiting ON outbound_messages (username, at, id) WHERE sent = 0;
CREATE INDEX outbound_leased ON outbound_messages (lease_id) WHERE lease_id IS NOT NULL;
CREATE INDEX outbound_lease_end ON outbound_messages (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX outbound_over ON outbound_messages (sent_timestamp) WHERE sent = 1;

-- What became of outbound messages, as it was reported; `expired` is a lease that ended without a report.
CREATE TABLE outbound_marks (
    op_id   text COLLATE "C" PRIMARY KEY,
    message bigint NOT NULL,
    at      bigint NOT NULL,
    kind    text NOT NULL CHECK (kind IN ('sent', 'retry', 'failed', 'expired')),
    error   text
);
CREATE INDEX outbound_marks_message ON outbound_marks (message);

-- Sent wins over failed for good, that over waiting; in whatever order the reports come. It looks at no other report, so that
-- it may be a trigger of each row.
CREATE FUNCTION outbound_marked() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    UPDATE outbound_messages
    SET delivered_at = CASE WHEN NEW.kind = 'sent' THEN least(delivered_at, NEW.at) ELSE delivered_at END,
        failed_at = CASE WHEN NEW.kind = 'failed' THEN least(failed_at, NEW.at) ELSE failed_at END,
        retry_count = retry_count + (NEW.kind IN ('retry', 'expired'))::int,
        last_attempt = greatest(last_attempt, NEW.at),
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
    SET sent = (delivered_at IS NOT NULL OR failed_at IS NOT NULL)::int,
        sent_timestamp = coalesce(delivered_at, failed_at) / 1000,
        error_message = CASE WHEN delivered_at IS NULL THEN error_message END
    WHERE id = NEW.message;
    RETURN NULL;
END $$;
CREATE TRIGGER outbound_marked AFTER INSERT ON outbound_marks FOR EACH ROW EXECUTE FUNCTION outbound_marked();
