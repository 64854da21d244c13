-- Record numbers: nothing known is 0, and what is no number is nothing known.
INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
SELECT unixepoch() * 1000, 'invalid', 'taken over from the Python bot: a value that its column cannot have', 'channel_stats', '{}',
       CAST(concat_ws(', ', quote(id), quote(max_users), quote(max_users_timestamp), quote(max_connected),
                      quote(max_connected_timestamp), quote(last_updated)) AS BLOB)
FROM channel_stats
WHERE id <> 1
   OR NOT (typeof(max_users) IN ('integer', 'null') AND coalesce(max_users, 0) BETWEEN 0 AND 99999999999)
   OR NOT (typeof(max_users_timestamp) IN ('integer', 'null') AND coalesce(max_users_timestamp, 0) BETWEEN 0 AND 99999999999)
   OR NOT (typeof(max_connected) IN ('integer', 'null') AND coalesce(max_connected, 0) BETWEEN 0 AND 99999999999)
   OR NOT (typeof(max_connected_timestamp) IN ('integer', 'null') AND coalesce(max_connected_timestamp, 0) BETWEEN 0 AND 99999999999)
   OR NOT (typeof(last_updated) IN ('integer', 'null') AND coalesce(last_updated, 0) BETWEEN 0 AND 99999999999);

DELETE FROM channel_stats WHERE id <> 1;

UPDATE channel_stats
SET max_users = max(0, min(coalesce(CAST(max_users AS INTEGER), 0), 99999999999)),
    max_users_timestamp = CASE WHEN typeof(max_users_timestamp) = 'integer' AND max_users_timestamp BETWEEN 0 AND 99999999999
                               THEN max_users_timestamp END,
    max_connected = max(0, min(coalesce(CAST(max_connected AS INTEGER), 0), 99999999999)),
    max_connected_timestamp = CASE WHEN typeof(max_connected_timestamp) = 'integer' AND max_connected_timestamp BETWEEN 0 AND 99999999999
                                   THEN max_connected_timestamp END,
    last_updated = max(0, min(coalesce(CAST(last_updated AS INTEGER), 0), 99999999999));
