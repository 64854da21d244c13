-- Users: a number is a whole one from 0 to 99999999999 (up to there a time is in seconds), a session begins in the past,
-- and a name is a text. Of a row where that is not so, what stood there is kept as a dead letter.
INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
SELECT unixepoch() * 1000, 'invalid', 'taken over from the Python bot: a value that its column cannot have', 'user_stats', '{}',
       CAST(concat_ws(', ', quote(username), quote(first_seen), quote(last_seen), quote(total_chat_lines),
                      quote(total_time_connected), quote(current_session_start)) AS BLOB)
FROM user_stats
WHERE typeof(username) <> 'text'
   OR NOT (typeof(first_seen) = 'integer' AND first_seen BETWEEN 0 AND 99999999999)
   OR NOT (typeof(last_seen) = 'integer' AND last_seen BETWEEN 0 AND 99999999999)
   OR NOT (typeof(total_chat_lines) IN ('integer', 'null') AND coalesce(total_chat_lines, 0) BETWEEN 0 AND 99999999999)
   OR NOT (typeof(total_time_connected) IN ('integer', 'null') AND coalesce(total_time_connected, 0) BETWEEN 0 AND 99999999999)
   OR NOT (typeof(current_session_start) IN ('integer', 'null') AND coalesce(current_session_start, 1) BETWEEN 1 AND unixepoch());

-- Nobody could ask for a user without a name.
DELETE FROM user_stats WHERE typeof(username) <> 'text';

UPDATE user_stats
SET first_seen = max(0, min(coalesce(CAST(first_seen AS INTEGER), 0), 99999999999)),
    last_seen = max(0, min(coalesce(CAST(last_seen AS INTEGER), 0), 99999999999)),
    total_chat_lines = max(0, min(coalesce(CAST(total_chat_lines AS INTEGER), 0), 99999999999)),
    total_time_connected = max(0, min(coalesce(CAST(total_time_connected AS INTEGER), 0), 99999999999))
WHERE typeof(first_seen) <> 'integer' OR first_seen NOT BETWEEN 0 AND 99999999999
   OR typeof(last_seen) <> 'integer' OR last_seen NOT BETWEEN 0 AND 99999999999
   OR typeof(total_chat_lines) <> 'integer' OR total_chat_lines NOT BETWEEN 0 AND 99999999999
   OR typeof(total_time_connected) <> 'integer' OR total_time_connected NOT BETWEEN 0 AND 99999999999;

-- A session whose beginning cannot be began when the user was last seen; at the latest now. He was seen when it began.
UPDATE user_stats
SET current_session_start = CASE WHEN last_seen BETWEEN 1 AND unixepoch() THEN last_seen ELSE unixepoch() END
WHERE NOT (typeof(current_session_start) IN ('integer', 'null') AND coalesce(current_session_start, 1) BETWEEN 1 AND unixepoch());
UPDATE user_stats
SET first_seen = min(first_seen, current_session_start), last_seen = max(last_seen, current_session_start)
WHERE current_session_start IS NOT NULL;
