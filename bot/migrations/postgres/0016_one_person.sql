-- The rows of all spellings of a person become rows of the person. `derived` has the spellings, and the key of each.

UPDATE recent_chat c SET person = d.value FROM derived d WHERE d.text = c.username AND c.person IS NULL;
UPDATE user_actions a SET person = d.value FROM derived d WHERE d.text = a.username AND a.person IS NULL;
UPDATE server_lines s SET username = d.value FROM derived d WHERE d.text = s.username;
UPDATE outbound_messages o SET name = o.username, username = d.value FROM derived d WHERE d.text = o.username;
UPDATE outbound_messages o SET sender_name = o.sender, sender = d.value FROM derived d WHERE d.text = o.sender;
UPDATE channel_quotes q SET name = q.username, username = d.value FROM derived d WHERE d.text = q.username;
UPDATE channel_quotes q SET added_by_name = q.added_by, added_by = d.value FROM derived d WHERE d.text = q.added_by;

WITH moved AS (
    DELETE FROM presence_folded p USING derived d WHERE p.username = d.text
    RETURNING d.value, p.at, p.id, p.joined, coalesce(p.name, p.username))
INSERT INTO presence_folded (username, at, id, joined, name) SELECT * FROM moved ON CONFLICT DO NOTHING;
-- The triggers of what is moved have written down keys.
DELETE FROM derived WHERE value IS NULL;

INSERT INTO user_baseline AS b (username, first_seen, last_line, last_session, chat_lines, connected_ms, folded_at, folded_id)
SELECT username, min(first_seen), max(last_line), max(last_session), sum(chat_lines), sum(connected_ms), max(folded_at),
       (array_agg(folded_id ORDER BY folded_at DESC, folded_id DESC))[1]
FROM (SELECT d.value, o.first_seen, o.last_line, o.last_session, o.chat_lines, o.connected_ms, o.folded_at, o.folded_id
      FROM derived d JOIN user_baseline o ON o.username = d.text) s (username, first_seen, last_line, last_session, chat_lines,
          connected_ms, folded_at, folded_id)
GROUP BY username
ON CONFLICT (username) DO UPDATE SET
    first_seen = least(b.first_seen, excluded.first_seen),
    last_line = greatest(b.last_line, excluded.last_line),
    last_session = greatest(b.last_session, excluded.last_session),
    chat_lines = b.chat_lines + excluded.chat_lines,
    connected_ms = b.connected_ms + excluded.connected_ms,
    folded_at = greatest(b.folded_at, excluded.folded_at),
    folded_id = CASE WHEN (excluded.folded_at, excluded.folded_id) > (b.folded_at, b.folded_id)
                     THEN excluded.folded_id ELSE b.folded_id END;
DELETE FROM user_baseline WHERE username IN (SELECT text FROM derived);

INSERT INTO forgotten AS f (username, at, id)
SELECT DISTINCT ON (d.value) d.value, o.at, o.id FROM derived d JOIN forgotten o ON o.username = d.text
ORDER BY d.value, o.at DESC, o.id DESC
ON CONFLICT (username) DO UPDATE SET at = excluded.at, id = excluded.id WHERE (excluded.at, excluded.id) > (f.at, f.id);
DELETE FROM forgotten WHERE username IN (SELECT text FROM derived);
-- What was kept under another spelling was not forgotten.
UPDATE forgotten f
SET at = least(at,
        (SELECT min(at) - 1 FROM presence p WHERE p.username = f.username),
        (SELECT min(at) - 1 FROM recent_chat c WHERE coalesce(c.person, c.username) = f.username),
        (SELECT min(at) - 1 FROM outbound_messages o WHERE o.username = f.username),
        (SELECT min(at) - 1 FROM outbound_messages o WHERE o.sender = f.username),
        (SELECT min(at) - 1 FROM channel_quotes q WHERE q.username = f.username),
        (SELECT min(at) - 1 FROM channel_quotes q WHERE q.added_by = f.username),
        (SELECT min(coalesce(at, timestamp * 1000)) - 1 FROM user_actions a WHERE coalesce(a.person, a.username) = f.username))
WHERE username IN (SELECT value FROM derived);

-- From here on the key is one of the spellings.
INSERT INTO derived (text, value) SELECT DISTINCT value, value FROM derived ON CONFLICT (text) DO NOTHING;
UPDATE derived d SET named = greatest(
    (SELECT coalesce(named, lpad((last_seen * 1000)::text, 15, '0') || username) FROM user_stats WHERE username = d.text),
    (SELECT max(coalesce(named, lpad(last::text, 15, '0') || username)) FROM lines_waiting WHERE username = d.text),
    (SELECT max(lpad(at::text, 15, '0') || coalesce(name, username)) FROM presence_waiting WHERE username = d.text AND joined = 1));

-- What is known of the people is worked out anew.
WITH moved AS (
    DELETE FROM presence_waiting p USING derived d WHERE p.username = d.text
    RETURNING d.value, p.at, p.id, p.joined, coalesce(p.name, CASE WHEN d.text <> d.value THEN d.text END))
INSERT INTO presence_folded (username, at, id, joined, name) SELECT * FROM moved ON CONFLICT DO NOTHING;
DELETE FROM lines_waiting WHERE username IN (SELECT text FROM derived);
DELETE FROM user_stats WHERE username IN (SELECT text FROM derived);
INSERT INTO user_stats (username, first_seen, last_seen, total_chat_lines, total_time_connected, connected_ms,
                        current_session_start, last_line, named)
WITH person AS MATERIALIZED (SELECT value AS username, max(named) AS named FROM derived GROUP BY value),
gaps AS (
    SELECT username, at, joined, lead(at) OVER (PARTITION BY username ORDER BY at, id) AS next
    FROM presence_folded WHERE username IN (SELECT username FROM person)),
facts (username, first_seen, last_line, last_session, lines, ms, open) AS (
    SELECT username, first_seen, last_line, last_session, chat_lines, connected_ms, CAST(NULL AS bigint)
    FROM user_baseline WHERE username IN (SELECT username FROM person)
    UNION ALL
    SELECT username, min(at) / 1000, NULL, max(coalesce(next, at)) / 1000, 0, sum(coalesce(next - at, 0)),
           max(CASE WHEN next IS NULL THEN at END) / 1000
    FROM gaps WHERE joined = 1 GROUP BY username
    UNION ALL
    SELECT coalesce(person, username), min(at) / 1000, max(at) / 1000, NULL, count(*), 0, NULL
    FROM recent_chat WHERE coalesce(person, username) IN (SELECT username FROM person) GROUP BY 1
    UNION ALL
    SELECT username, min(at) / 1000, max(at) / 1000, NULL, count(*), 0, NULL
    FROM server_lines WHERE username IN (SELECT username FROM person) GROUP BY username)
SELECT username, min(first_seen), greatest(max(last_line), max(last_session), 0), sum(lines), div(sum(ms), 1000), sum(ms), max(open),
       max(last_line), max(p.named)
FROM facts JOIN person p USING (username) GROUP BY username HAVING min(first_seen) IS NOT NULL ORDER BY username;

DELETE FROM derived;
