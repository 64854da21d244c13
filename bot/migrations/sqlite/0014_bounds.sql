-- Texts of a file that was taken over, and larger than an answer may be. The checks of our operations let none of them in. They are
-- cut, or go with their row; what stood there is kept as a dead letter.
INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
SELECT unixepoch() * 1000, 'too_large', 'taken over from the Python bot: a name longer than 4096 bytes', 'user_stats', '{}',
       CAST(username AS BLOB)
FROM user_stats WHERE octet_length(username) > 4096
UNION ALL
SELECT unixepoch() * 1000, 'too_large', 'taken over from the Python bot: a line by a name longer than 4096 bytes', 'recent_chat', '{}',
       CAST(concat_ws(', ', timestamp, username, message) AS BLOB)
FROM recent_chat WHERE octet_length(username) > 4096
UNION ALL
SELECT unixepoch() * 1000, 'too_large', 'taken over from the Python bot: a line larger than 256 KiB', 'recent_chat', '{}',
       CAST(concat_ws(', ', timestamp, username, message) AS BLOB)
FROM recent_chat WHERE octet_length(message) > 262144 AND octet_length(username) <= 4096
UNION ALL
SELECT unixepoch() * 1000, 'too_large', 'taken over from the Python bot: a message larger than 256 KiB', 'outbound_messages', '{}',
       CAST(concat_ws(', ', timestamp, message, error_message) AS BLOB)
FROM outbound_messages WHERE octet_length(message) > 262144 OR octet_length(error_message) > 262144;

DELETE FROM presence WHERE octet_length(username) > 4096;
DELETE FROM user_baseline WHERE octet_length(username) > 4096;
DELETE FROM user_stats WHERE octet_length(username) > 4096;
DELETE FROM recent_chat WHERE octet_length(username) > 4096;
UPDATE recent_chat SET message = substr(message, 1, 65536) WHERE octet_length(message) > 262144;
UPDATE outbound_messages SET message = substr(message, 1, 65536) WHERE octet_length(message) > 262144;
UPDATE outbound_marks SET error = substr(error, 1, 65536) WHERE octet_length(error) > 262144;
UPDATE outbound_messages SET error_message = substr(error_message, 1, 65536) WHERE octet_length(error_message) > 262144;
