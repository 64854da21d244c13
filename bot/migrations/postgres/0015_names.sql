-- One person, however the name is written. `username` is the key of a person, which is the name without differences of case, in what is
-- derived and in messages and quotes; beside it stands how the name was written, if otherwise. Lines and commands are as they were
-- written, and the key stands beside them, if otherwise.
-- `named` is the latest spelling of a person in a join or a line: its time, in 15 digits, and the name.

-- Nobody applies, folds or removes anything beside this: they hold the same lock.
SELECT pg_advisory_xact_lock(hashtext(current_schema()), -2);

ALTER TABLE user_stats ADD COLUMN named text COLLATE "C";
ALTER TABLE lines_waiting ADD COLUMN named text COLLATE "C";
ALTER TABLE presence_waiting ADD COLUMN name text COLLATE "C";
ALTER TABLE presence_folded ADD COLUMN name text COLLATE "C";
ALTER TABLE outbound_messages ADD COLUMN name text COLLATE "C";
ALTER TABLE outbound_messages ADD COLUMN sender_name text COLLATE "C";
ALTER TABLE channel_quotes ADD COLUMN name text COLLATE "C";
ALTER TABLE channel_quotes ADD COLUMN added_by_name text COLLATE "C";
ALTER TABLE recent_chat ADD COLUMN person text COLLATE "C";
ALTER TABLE user_actions ADD COLUMN person text COLLATE "C";
DROP INDEX user_actions_username;
CREATE INDEX user_actions_person ON user_actions (coalesce(person, username));

CREATE OR REPLACE FUNCTION server_spoke() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO server_lines (op_id, username, at) VALUES (NEW.op_id, coalesce(NEW.person, NEW.username), NEW.at);
    RETURN NULL;
END $$;

CREATE OR REPLACE VIEW presence AS
    SELECT username, at, id, joined, name FROM presence_folded
    UNION ALL SELECT username, at, id, joined, name FROM presence_waiting;

-- The rule of presence, as before, and the latest spelling of the joins that wait.
CREATE OR REPLACE VIEW presence_change AS
SELECT c.username, c.first_join, c.ms, CASE WHEN l.joined = 1 THEN l.at END AS open,
       b.at AS last_join, coalesce(e.at, b.at) AS ended, c.named
FROM (
    SELECT username, min(at) FILTER (WHERE joined) AS first_join,
           sum(CASE WHEN before_joined THEN at - before_at ELSE 0 END
               + CASE WHEN ends AND joined THEN coalesce(n_at - at, 0) ELSE 0 END
               - CASE WHEN ends AND p_joined THEN coalesce(n_at - p_at, 0) ELSE 0 END)::bigint AS ms,
           max(lpad(at::text, 15, '0') || coalesce(name, username)) FILTER (WHERE joined) AS named
    FROM (
        SELECT username, at, joined, name, p_at, p_joined, n_at,
               CASE WHEN begins THEN p_at ELSE lag(at) OVER w END AS before_at,
               CASE WHEN begins THEN p_joined ELSE lag(joined) OVER w END AS before_joined,
               lead(begins, 1, true) OVER w AS ends
        FROM (
            SELECT f.username, f.at, f.id, f.joined = 1 AS joined, f.name, p.at AS p_at, p.joined = 1 AS p_joined, n.at AS n_at,
                   row_number() OVER v = 1 OR (p.at, p.id) IS DISTINCT FROM (lag(p.at) OVER v, lag(p.id) OVER v) AS begins
            FROM presence_waiting f
            LEFT JOIN LATERAL (
                SELECT at, id, joined FROM presence_folded WHERE username = f.username AND (at, id) <= (f.at, f.id)
                ORDER BY at DESC, id DESC LIMIT 1) p ON true
            LEFT JOIN LATERAL (
                SELECT at FROM presence_folded WHERE username = f.username AND (at, id) > (f.at, f.id)
                ORDER BY at, id LIMIT 1) n ON true
            WINDOW v AS (PARTITION BY f.username ORDER BY f.at, f.id)) placed
        WINDOW w AS (PARTITION BY username ORDER BY at, id)) runs
    GROUP BY username) c
CROSS JOIN LATERAL (
    SELECT at, joined FROM presence WHERE username = c.username ORDER BY at DESC, id DESC LIMIT 1) l
CROSS JOIN LATERAL (
    SELECT at, id FROM presence WHERE username = c.username AND joined = 1 ORDER BY at DESC, id DESC LIMIT 1) b
LEFT JOIN LATERAL (
    SELECT at FROM presence WHERE username = c.username AND (at, id) > (b.at, b.id) ORDER BY at, id LIMIT 1) e ON true;

-- The users as they are: `user_stats`, and what waits.
CREATE OR REPLACE VIEW user_stats_now AS
SELECT username, first_seen, last_seen, total_chat_lines, total_time_connected, current_session_start, connected_ms, last_line, named
FROM user_stats u
WHERE NOT EXISTS (SELECT 1 FROM lines_waiting w WHERE w.username = u.username)
  AND NOT EXISTS (SELECT 1 FROM presence_waiting w WHERE w.username = u.username)
UNION ALL
SELECT t.username,
       least(u.first_seen, l.first / 1000, c.first_join / 1000),
       CASE WHEN c.username IS NULL THEN greatest(u.last_seen, l.last / 1000)
            ELSE greatest(u.last_line, l.last / 1000, c.ended / 1000, 0) END,
       coalesce(u.total_chat_lines, 0) + coalesce(l.lines, 0),
       (coalesce(u.connected_ms, 0) + coalesce(c.ms, 0)) / 1000,
       CASE WHEN c.username IS NULL THEN u.current_session_start ELSE c.open / 1000 END,
       coalesce(u.connected_ms, 0) + coalesce(c.ms, 0),
       greatest(u.last_line, l.last / 1000),
       greatest(u.named, l.named, c.named)
FROM (SELECT username FROM lines_waiting UNION SELECT username FROM presence_waiting) t
LEFT JOIN (
    SELECT username, sum(lines)::bigint AS lines, min(first) AS first, max(last) AS last, max(named) AS named
    FROM lines_waiting GROUP BY username) l ON l.username = t.username
LEFT JOIN presence_change c ON c.username = t.username
LEFT JOIN user_stats u ON u.username = t.username
WHERE coalesce(u.first_seen, l.first, c.first_join) IS NOT NULL;

-- Names that may be no keys: of rows from before this version, and of a program of before it that has the database open. The next
-- program that opens the database makes one person of them. A key has no upper case.
CREATE TABLE derived (
    id    bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
    text  text COLLATE "C" NOT NULL UNIQUE,
    value text COLLATE "C", -- the key
    named text COLLATE "C"
);
CREATE INDEX derived_value ON derived (value);
INSERT INTO derived (text)
SELECT username FROM (
    SELECT username FROM user_stats UNION SELECT username FROM user_baseline UNION SELECT username FROM presence
    UNION SELECT username FROM server_lines UNION SELECT username FROM recent_chat UNION SELECT username FROM user_actions
    UNION SELECT username FROM lines_waiting
    UNION SELECT username FROM outbound_messages UNION SELECT sender FROM outbound_messages
    UNION SELECT username FROM channel_quotes UNION SELECT added_by FROM channel_quotes UNION SELECT username FROM forgotten) n
WHERE username ~ '[A-Z]|[^ -~]';

CREATE FUNCTION is_no_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO derived (text) VALUES (NEW.username) ON CONFLICT (text) DO NOTHING;
    RETURN NULL;
END $$;
CREATE TRIGGER user_is_no_key AFTER INSERT ON user_stats FOR EACH ROW
WHEN (NEW.username ~ '[A-Z]|[^ -~]') EXECUTE FUNCTION is_no_key();
CREATE TRIGGER presence_is_of_no_key AFTER INSERT ON presence_folded FOR EACH ROW
WHEN (NEW.username ~ '[A-Z]|[^ -~]') EXECUTE FUNCTION is_no_key();
