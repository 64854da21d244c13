-- The rows of all spellings of a person become rows of the person. `derived` has the spellings, and the key of each.

UPDATE recent_chat SET person = (SELECT value FROM derived WHERE text = username)
WHERE person IS NULL AND username IN (SELECT text FROM derived);
UPDATE user_actions SET person = (SELECT value FROM derived WHERE text = username)
WHERE person IS NULL AND username IN (SELECT text FROM derived);
UPDATE server_lines SET username = (SELECT value FROM derived WHERE text = username)
WHERE username IN (SELECT text FROM derived);
UPDATE outbound_messages SET name = username, username = (SELECT value FROM derived WHERE text = username)
WHERE username IN (SELECT text FROM derived);
UPDATE outbound_messages SET sender_name = sender, sender = (SELECT value FROM derived WHERE text = sender)
WHERE sender IN (SELECT text FROM derived);
UPDATE channel_quotes SET name = username, username = (SELECT value FROM derived WHERE text = username)
WHERE username IN (SELECT text FROM derived);
UPDATE channel_quotes SET added_by_name = added_by, added_by = (SELECT value FROM derived WHERE text = added_by)
WHERE added_by IN (SELECT text FROM derived);

-- Two sessions of a file that was taken over may be open since the same second: they are one.
UPDATE OR IGNORE presence SET name = coalesce(name, username), username = (SELECT value FROM derived WHERE text = username)
WHERE username IN (SELECT text FROM derived);
DELETE FROM presence WHERE username IN (SELECT text FROM derived);

INSERT INTO user_baseline (username, first_seen, last_line, last_session, chat_lines, connected_ms, folded_at, folded_id)
SELECT d.value, b.first_seen, b.last_line, b.last_session, b.chat_lines, b.connected_ms, b.folded_at, b.folded_id
FROM derived d CROSS JOIN user_baseline b ON b.username = d.text WHERE true
ON CONFLICT (username) DO UPDATE SET
    first_seen = coalesce(min(first_seen, excluded.first_seen), first_seen, excluded.first_seen),
    last_line = coalesce(max(last_line, excluded.last_line), last_line, excluded.last_line),
    last_session = coalesce(max(last_session, excluded.last_session), last_session, excluded.last_session),
    chat_lines = chat_lines + excluded.chat_lines,
    connected_ms = connected_ms + excluded.connected_ms,
    folded_at = max(folded_at, excluded.folded_at),
    folded_id = iif((excluded.folded_at, excluded.folded_id) > (folded_at, folded_id), excluded.folded_id, folded_id);
DELETE FROM user_baseline WHERE username IN (SELECT text FROM derived);

INSERT INTO forgotten (username, at, id)
SELECT d.value, f.at, f.id FROM derived d CROSS JOIN forgotten f ON f.username = d.text WHERE true
ON CONFLICT (username) DO UPDATE SET at = excluded.at, id = excluded.id WHERE (excluded.at, excluded.id) > (at, id);
DELETE FROM forgotten WHERE username IN (SELECT text FROM derived);
-- What was kept under another spelling was not forgotten.
UPDATE forgotten
SET at = min(at,
        coalesce((SELECT min(at) - 1 FROM presence p WHERE p.username = forgotten.username), at),
        coalesce((SELECT min(at) - 1 FROM recent_chat c WHERE coalesce(c.person, c.username) = forgotten.username), at),
        coalesce((SELECT min(at) - 1 FROM outbound_messages o WHERE o.username = forgotten.username), at),
        coalesce((SELECT min(at) - 1 FROM outbound_messages o WHERE o.sender = forgotten.username), at),
        coalesce((SELECT min(at) - 1 FROM channel_quotes q WHERE q.username = forgotten.username), at),
        coalesce((SELECT min(at) - 1 FROM channel_quotes q WHERE q.added_by = forgotten.username), at),
        coalesce((SELECT min(coalesce(at, timestamp * 1000)) - 1 FROM user_actions a
                  WHERE coalesce(a.person, a.username) = forgotten.username), at))
WHERE username IN (SELECT value FROM derived);

-- From here on the key is one of the spellings.
INSERT INTO derived (text, value) SELECT DISTINCT value, value FROM derived WHERE true ON CONFLICT (text) DO NOTHING;
UPDATE derived SET named = nullif(max(
    coalesce((SELECT coalesce(named, printf('%015d', last_seen * 1000) || username) FROM user_stats WHERE username = text), ''),
    coalesce((SELECT coalesce(named, printf('%015d', last) || username) FROM speakers WHERE username = text), ''),
    coalesce((SELECT max(printf('%015d', last) || coalesce(name, username)) FROM lines_waiting
              WHERE shelf IN (0, 1, 2, 3, 4, 5, 6, 7) AND username = text), '')), '');

-- What is known of the people is worked out anew.
DELETE FROM top_chatters WHERE EXISTS (SELECT 1 FROM derived);
DELETE FROM lines_waiting WHERE username IN (SELECT text FROM derived);
DELETE FROM speakers WHERE username IN (SELECT text FROM derived);
DELETE FROM user_stats WHERE username IN (SELECT text FROM derived);
INSERT INTO user_stats (username, first_seen, last_seen, total_chat_lines, total_time_connected, connected_ms,
                        current_session_start, last_line, named)
WITH person AS MATERIALIZED (SELECT DISTINCT value AS username FROM derived),
gaps AS (
    SELECT username, at, joined, lead(at) OVER (PARTITION BY username ORDER BY at, id) AS next
    FROM presence WHERE username IN (SELECT username FROM person)),
facts (username, first_seen, last_line, last_session, lines, ms, open) AS (
    SELECT username, first_seen, last_line, last_session, chat_lines, connected_ms, NULL
    FROM user_baseline WHERE username IN (SELECT username FROM person)
    UNION ALL
    SELECT username, min(at) / 1000, NULL, max(coalesce(next, at)) / 1000, 0, sum(coalesce(next - at, 0)),
           max(iif(next IS NULL, at, NULL)) / 1000
    FROM gaps WHERE joined GROUP BY username
    UNION ALL
    SELECT coalesce(person, username), min(at) / 1000, max(at) / 1000, NULL, count(*), 0, NULL
    FROM recent_chat WHERE op_id NOT GLOB ' *' AND coalesce(person, username) IN (SELECT username FROM person) GROUP BY 1
    UNION ALL
    SELECT username, min(at) / 1000, max(at) / 1000, NULL, count(*), 0, NULL
    FROM server_lines WHERE username IN (SELECT username FROM person) GROUP BY username)
SELECT username, min(first_seen), max(coalesce(max(last_line), 0), coalesce(max(last_session), 0)), sum(lines), sum(ms) / 1000,
       sum(ms), max(open), max(last_line), (SELECT max(named) FROM derived d WHERE d.value = f.username)
FROM facts f GROUP BY username HAVING min(first_seen) IS NOT NULL ORDER BY username;
DELETE FROM top_chatters WHERE EXISTS (SELECT 1 FROM derived);
INSERT INTO top_chatters (username, lines) SELECT username, lines FROM ten_now WHERE EXISTS (SELECT 1 FROM derived);

DELETE FROM derived;
