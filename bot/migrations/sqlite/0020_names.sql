-- One person, however the name is written. `username` is the key of a person, which is the name without differences of case, in what is
-- derived and in messages and quotes; beside it stands how the name was written, if otherwise. Lines and commands are as they were
-- written, and the key stands beside them, if otherwise.
-- `named` is the latest spelling of a person in a join or a line: its time, in 15 digits, and the name. `name` of lines that wait is the
-- spelling of the last one.
ALTER TABLE user_stats ADD COLUMN named TEXT;
ALTER TABLE speakers ADD COLUMN named TEXT;
ALTER TABLE lines_waiting ADD COLUMN name TEXT;
ALTER TABLE presence ADD COLUMN name TEXT;
ALTER TABLE outbound_messages ADD COLUMN name TEXT;
ALTER TABLE outbound_messages ADD COLUMN sender_name TEXT;
ALTER TABLE channel_quotes ADD COLUMN name TEXT;
ALTER TABLE channel_quotes ADD COLUMN added_by_name TEXT;
ALTER TABLE recent_chat ADD COLUMN person TEXT;
ALTER TABLE user_actions ADD COLUMN person TEXT;
DROP INDEX user_actions_username;
CREATE INDEX user_actions_person ON user_actions (coalesce(person, username));

-- The users as they are: `user_stats`, and what waits.
DROP VIEW user_stats_now;
CREATE VIEW user_stats_now AS
SELECT u.username, min(first_seen, coalesce(first, first_seen)) AS first_seen, max(last_seen, coalesce(last, last_seen)) AS last_seen,
       total_chat_lines + coalesce(lines, 0) AS total_chat_lines, total_time_connected, current_session_start, connected_ms,
       coalesce(max(last_line, last), last_line, last) AS last_line,
       coalesce(max(u.named, w.named), u.named, w.named) AS named
FROM user_stats u LEFT JOIN (
    SELECT username, sum(lines) AS lines, min(first) / 1000 AS first, max(last) / 1000 AS last, max(named) AS named
    FROM (SELECT username, lines, first, last, named FROM speakers
          UNION ALL SELECT username, lines, first, last, printf('%015d', last) || coalesce(name, username) FROM lines_waiting)
    GROUP BY username) w ON w.username = u.username
UNION ALL
SELECT username, min(first) / 1000, max(last) / 1000, sum(lines), 0, NULL, 0, max(last) / 1000,
       max(printf('%015d', last) || coalesce(name, username))
FROM lines_waiting w WHERE NOT EXISTS (SELECT 1 FROM user_stats u WHERE u.username = w.username)
GROUP BY username;

DROP TRIGGER server_spoke;
CREATE TRIGGER server_spoke AFTER INSERT ON recent_chat WHEN lower(NEW.username) IN ('server', '[server]')
BEGIN
    INSERT INTO server_lines (op_id, username, at) VALUES (NEW.op_id, coalesce(NEW.person, NEW.username), NEW.at);
    DELETE FROM recent_chat WHERE id = NEW.id;
END;

-- The rule of presence, as before, and the spelling of a join.
DROP TRIGGER presence_inserted;
CREATE TRIGGER presence_inserted AFTER INSERT ON presence
BEGIN
    SELECT raise(ABORT, 'it is older than the joins and leaves of this user that are kept')
    FROM user_baseline b
    WHERE b.username = NEW.username AND (NEW.at, NEW.id) < (b.folded_at, b.folded_id);

    INSERT INTO user_stats (username, first_seen, last_seen, named)
    SELECT NEW.username, NEW.at / 1000, NEW.at / 1000, printf('%015d', NEW.at) || coalesce(NEW.name, NEW.username) WHERE NEW.joined
    ON CONFLICT (username) DO UPDATE SET
        first_seen = min(first_seen, excluded.first_seen), named = max(coalesce(named, ''), excluded.named);

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

-- Names that may be no keys: of rows from before this version, and of a program of before it that has the file open. The next program
-- that opens the file makes one person of them. A key has no upper case.
CREATE TABLE derived (
    id    INTEGER PRIMARY KEY,
    text  TEXT NOT NULL UNIQUE,
    value TEXT, -- the key
    named TEXT
);
CREATE INDEX derived_value ON derived (value);
INSERT INTO derived (text)
SELECT username FROM (
    SELECT username FROM user_stats UNION SELECT username FROM user_baseline UNION SELECT username FROM presence
    UNION SELECT username FROM server_lines UNION SELECT username FROM recent_chat UNION SELECT username FROM user_actions
    UNION SELECT username FROM outbound_messages UNION SELECT sender FROM outbound_messages
    UNION SELECT username FROM channel_quotes UNION SELECT added_by FROM channel_quotes UNION SELECT username FROM forgotten)
WHERE typeof(username) = 'text' AND username GLOB '*[^ -@[-~]*';

CREATE TRIGGER user_is_no_key AFTER INSERT ON user_stats WHEN NEW.username GLOB '*[^ -@[-~]*'
BEGIN
    INSERT INTO derived (text) VALUES (NEW.username) ON CONFLICT (text) DO NOTHING;
END;
-- This version writes down how the name was written, if not as the key.
CREATE TRIGGER presence_is_of_no_key AFTER INSERT ON presence WHEN NEW.name IS NULL AND NEW.username <> lower(NEW.username)
BEGIN
    INSERT INTO derived (text) VALUES (NEW.username) ON CONFLICT (text) DO NOTHING;
END;
