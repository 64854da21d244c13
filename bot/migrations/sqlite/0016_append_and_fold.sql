-- Lines are only appended to the counts of their users; a fold gathers them, and a second one moves what is gathered into the
-- rows of the users. Until then a view adds what waits, so that a reader has every commit at once.

-- SQLite's integrity check passes over pages that nothing uses where the first of all tables and views, by a hash of their names,
-- is a view: neither of these two is.

-- The users as they are: `user_stats`, and what waits.
CREATE VIEW user_stats_now AS
SELECT u.username, min(first_seen, coalesce(first, first_seen)) AS first_seen, max(last_seen, coalesce(last, last_seen)) AS last_seen,
       total_chat_lines + coalesce(lines, 0) AS total_chat_lines, total_time_connected, current_session_start, connected_ms,
       coalesce(max(last_line, last), last_line, last) AS last_line
FROM user_stats u LEFT JOIN (
    SELECT username, sum(lines) AS lines, min(first) / 1000 AS first, max(last) / 1000 AS last
    FROM (SELECT username, lines, first, last FROM speakers UNION ALL SELECT username, lines, first, last FROM lines_waiting)
    GROUP BY username) w ON w.username = u.username
UNION ALL
SELECT username, min(first) / 1000, max(last) / 1000, sum(lines), 0, NULL, 0, max(last) / 1000
FROM lines_waiting w WHERE NOT EXISTS (SELECT 1 FROM user_stats u WHERE u.username = w.username)
GROUP BY username;

-- The ten who said most, of those whose lines are gathered.
CREATE VIEW ten_now AS
SELECT username, total_chat_lines + coalesce((SELECT lines FROM speakers s WHERE s.username = u.username), 0) AS lines
FROM user_stats u WHERE lower(username) NOT IN ('server', '[server]')
  AND (total_chat_lines > 0 OR EXISTS (SELECT 1 FROM speakers s WHERE s.username = u.username))
ORDER BY 2 DESC, username LIMIT 10;

-- Lines that are not gathered, those of a user on a shelf together: of eight shelves, as many as it takes that each stays a few
-- pages, and as few as a read can look at. Which line is on which shelf is of no meaning.
CREATE TABLE lines_waiting (
    shelf    INTEGER NOT NULL CHECK (shelf BETWEEN 0 AND 7),
    username TEXT NOT NULL,
    lines    INTEGER NOT NULL,
    first    INTEGER NOT NULL, -- unix milliseconds, as `last`
    last     INTEGER NOT NULL,
    PRIMARY KEY (shelf, username)
) WITHOUT ROWID;

-- Those who have spoken lately: what is gathered of their lines and not in `user_stats`, where each of them has a row.
CREATE TABLE speakers (
    username TEXT PRIMARY KEY NOT NULL,
    lines    INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    total    INTEGER NOT NULL -- with the lines that `user_stats` has
) WITHOUT ROWID;

-- A user who is new to the channel gets a row at once, so that users are counted once.
CREATE TRIGGER speaker_is_new AFTER INSERT ON speakers WHEN NEW.total = NEW.lines
BEGIN
    INSERT INTO user_stats (username, first_seen, last_seen) VALUES (NEW.username, NEW.first / 1000, NEW.last / 1000)
    ON CONFLICT (username) DO NOTHING;
END;

-- They are kept, because to look for them is to read all users. Totals only
-- rise, so that only a user who has just spoken gets among them.
CREATE TABLE top_chatters (
    username TEXT PRIMARY KEY NOT NULL,
    lines    INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO top_chatters (username, lines) SELECT username, lines FROM ten_now;

-- How many users have a row, and how many lines the tenth of the ten has: 1 while there are fewer.
ALTER TABLE channel_stats ADD COLUMN users_seen INTEGER NOT NULL DEFAULT 0;
ALTER TABLE channel_stats ADD COLUMN tenth_chatter INTEGER NOT NULL DEFAULT 1;
UPDATE channel_stats
SET users_seen = (SELECT count(*) FROM user_stats WHERE lower(username) NOT IN ('server', '[server]')),
    tenth_chatter = coalesce((SELECT lines FROM top_chatters ORDER BY lines DESC LIMIT 1 OFFSET 9), 1)
WHERE id = 1;
CREATE TRIGGER user_seen AFTER INSERT ON user_stats WHEN lower(NEW.username) NOT IN ('server', '[server]')
BEGIN
    UPDATE channel_stats SET users_seen = users_seen + 1 WHERE id = 1;
END;
CREATE TRIGGER user_gone AFTER DELETE ON user_stats WHEN lower(OLD.username) NOT IN ('server', '[server]')
BEGIN
    UPDATE channel_stats SET users_seen = users_seen - 1 WHERE id = 1;
END;

-- A user who may be one of the ten is put among them, and the last of eleven goes.
CREATE TRIGGER chatter_came AFTER INSERT ON top_chatters
BEGIN
    DELETE FROM top_chatters
    WHERE username = (SELECT username FROM top_chatters ORDER BY lines DESC, username LIMIT 1 OFFSET 10);
    UPDATE channel_stats
    SET tenth_chatter = coalesce((SELECT lines FROM top_chatters ORDER BY lines DESC LIMIT 1 OFFSET 9), 1) WHERE id = 1;
END;
CREATE TRIGGER chatter_spoke AFTER UPDATE ON top_chatters
BEGIN
    UPDATE channel_stats
    SET tenth_chatter = coalesce((SELECT lines FROM top_chatters ORDER BY lines DESC LIMIT 1 OFFSET 9), 1) WHERE id = 1;
END;
CREATE TRIGGER chatter_went AFTER DELETE ON top_chatters
BEGIN
    UPDATE channel_stats
    SET tenth_chatter = coalesce((SELECT lines FROM top_chatters ORDER BY lines DESC LIMIT 1 OFFSET 9), 1) WHERE id = 1;
END;
CREATE TRIGGER speaker_came AFTER INSERT ON speakers
WHEN NEW.total >= (SELECT tenth_chatter FROM channel_stats WHERE id = 1)
BEGIN
    INSERT INTO top_chatters (username, lines)
    SELECT NEW.username, NEW.total WHERE lower(NEW.username) NOT IN ('server', '[server]')
    ON CONFLICT (username) DO UPDATE SET lines = max(lines, excluded.lines);
END;
CREATE TRIGGER speaker_spoke AFTER UPDATE OF total ON speakers
WHEN NEW.total >= (SELECT tenth_chatter FROM channel_stats WHERE id = 1)
BEGIN
    INSERT INTO top_chatters (username, lines)
    SELECT NEW.username, NEW.total WHERE lower(NEW.username) NOT IN ('server', '[server]')
    ON CONFLICT (username) DO UPDATE SET lines = max(lines, excluded.lines);
END;
-- A program of before this version, which has the file open, counts lines there at once.
CREATE TRIGGER user_came AFTER INSERT ON user_stats
WHEN NEW.total_chat_lines >= (SELECT tenth_chatter FROM channel_stats WHERE id = 1)
BEGIN
    INSERT INTO top_chatters (username, lines)
    SELECT NEW.username, NEW.total_chat_lines WHERE lower(NEW.username) NOT IN ('server', '[server]')
    ON CONFLICT (username) DO UPDATE SET lines = max(lines, excluded.lines);
END;
CREATE TRIGGER user_spoke AFTER UPDATE OF total_chat_lines ON user_stats
WHEN NEW.total_chat_lines >= (SELECT tenth_chatter FROM channel_stats WHERE id = 1)
BEGIN
    INSERT INTO top_chatters (username, lines)
    SELECT NEW.username, NEW.total_chat_lines WHERE lower(NEW.username) NOT IN ('server', '[server]')
    ON CONFLICT (username) DO UPDATE SET lines = max(lines, excluded.lines);
END;
-- A person has made a total smaller, or has deleted it.
CREATE TRIGGER user_fell AFTER UPDATE OF total_chat_lines ON user_stats WHEN NEW.total_chat_lines < OLD.total_chat_lines
BEGIN
    DELETE FROM top_chatters;
    INSERT INTO top_chatters (username, lines) SELECT username, lines FROM ten_now;
END;
CREATE TRIGGER chatter_gone AFTER DELETE ON user_stats WHEN OLD.username IN (SELECT username FROM top_chatters)
BEGIN
    DELETE FROM top_chatters;
    INSERT INTO top_chatters (username, lines) SELECT username, lines FROM ten_now;
END;
