-- Joins, leaves and lines are only appended. A fold moves them into the rows that are derived from them; until then views add
-- what waits, so that whoever reads has every commit at once.

-- Joins and leaves that are not folded. The names of before stand for all of them.
CREATE TABLE presence_waiting (
    username text COLLATE "C" NOT NULL,
    at       bigint NOT NULL,
    id       text COLLATE "C" NOT NULL,
    joined   integer NOT NULL CHECK (joined IN (0, 1)),
    PRIMARY KEY (username, at, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
DROP TRIGGER presence_inserted ON presence;
DROP FUNCTION presence_inserted();
ALTER TABLE presence RENAME TO presence_folded;
CREATE VIEW presence AS
    SELECT username, at, id, joined FROM presence_folded UNION ALL SELECT username, at, id, joined FROM presence_waiting;

-- One that is older than what retention has summed up has lost its neighbours. Behind the rows, so that it sees what a sweep has
-- done that they have waited for.
CREATE FUNCTION presence_appended() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM fresh f JOIN user_baseline b ON b.username = f.username
        WHERE (f.at, f.id) < (b.folded_at, b.folded_id)) THEN
        RAISE EXCEPTION 'it is older than the joins and leaves of this user that are kept';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER presence_appended AFTER INSERT ON presence_waiting REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION presence_appended();

-- Nobody is about to append a join or leave, nor will before this transaction ends.
-- It waits for a moment only: all others wait behind it.
CREATE FUNCTION presence_stands_still() RETURNS void LANGUAGE plpgsql SET lock_timeout = '50ms' AS $$
BEGIN
    LOCK TABLE presence_waiting IN SHARE MODE;
END $$;

-- A program of before this version writes to the name of before.
CREATE FUNCTION presence_of_before() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO presence_waiting (username, at, id, joined) VALUES (NEW.username, NEW.at, NEW.id, NEW.joined);
    RETURN NEW;
END $$;
CREATE TRIGGER presence_of_before INSTEAD OF INSERT ON presence FOR EACH ROW EXECUTE FUNCTION presence_of_before();

-- The rule of presence: what the joins and leaves that wait change, by user. Those of a user lie in runs without a folded one
-- between them; every event counts the gap before it, and the last of a run the gap behind it less the one that was there.
-- One that is folded already changes nothing. A user without a join has none here.
CREATE VIEW presence_change AS
SELECT c.username, c.first_join, c.ms, CASE WHEN l.joined = 1 THEN l.at END AS open,
       b.at AS last_join, coalesce(e.at, b.at) AS ended
FROM (
    SELECT username, min(at) FILTER (WHERE joined) AS first_join,
           sum(CASE WHEN before_joined THEN at - before_at ELSE 0 END
               + CASE WHEN ends AND joined THEN coalesce(n_at - at, 0) ELSE 0 END
               - CASE WHEN ends AND p_joined THEN coalesce(n_at - p_at, 0) ELSE 0 END)::bigint AS ms
    FROM (
        SELECT username, at, joined, p_at, p_joined, n_at,
               CASE WHEN begins THEN p_at ELSE lag(at) OVER w END AS before_at,
               CASE WHEN begins THEN p_joined ELSE lag(joined) OVER w END AS before_joined,
               lead(begins, 1, true) OVER w AS ends
        FROM (
            SELECT f.username, f.at, f.id, f.joined = 1 AS joined, p.at AS p_at, p.joined = 1 AS p_joined, n.at AS n_at,
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

-- Lines that are not counted among the users': those of a user in a batch together.
CREATE TABLE lines_waiting (
    username text COLLATE "C" NOT NULL,
    lines    bigint NOT NULL,
    first    bigint NOT NULL,
    last     bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX lines_waiting_username ON lines_waiting (username);

-- The users as they are: `user_stats`, and what waits.
CREATE VIEW user_stats_now AS
SELECT username, first_seen, last_seen, total_chat_lines, total_time_connected, current_session_start, connected_ms, last_line
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
       greatest(u.last_line, l.last / 1000)
FROM (SELECT username FROM lines_waiting UNION SELECT username FROM presence_waiting) t
LEFT JOIN (
    SELECT username, sum(lines)::bigint AS lines, min(first) AS first, max(last) AS last
    FROM lines_waiting GROUP BY username) l ON l.username = t.username
LEFT JOIN presence_change c ON c.username = t.username
LEFT JOIN user_stats u ON u.username = t.username
WHERE coalesce(u.first_seen, l.first, c.first_join) IS NOT NULL;
