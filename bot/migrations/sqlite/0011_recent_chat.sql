-- The recent lines: a time is a whole number. The names and texts are as they are.
INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
SELECT unixepoch() * 1000, 'invalid', 'taken over from the Python bot: a value that its column cannot have', 'recent_chat', '{}',
       CAST(concat_ws(', ', quote(id), quote(timestamp), quote(username), quote(message)) AS BLOB)
FROM recent_chat
WHERE NOT (typeof(timestamp) = 'integer' AND timestamp BETWEEN 0 AND 99999999999);

UPDATE recent_chat SET timestamp = max(0, min(coalesce(CAST(timestamp AS INTEGER), 0), 99999999999))
WHERE NOT (typeof(timestamp) = 'integer' AND timestamp BETWEEN 0 AND 99999999999);
