-- The status: one row, and a time of its last change that lies in the past. The other values are as they are.
INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
SELECT unixepoch() * 1000, 'invalid', 'taken over from the Python bot: a value that its column cannot have', 'current_status', '{}',
       CAST(concat_ws(', ', quote(id), quote(last_updated), quote(status), quote(bot_name), quote(bot_rank), quote(bot_afk),
                      quote(channel_name), quote(current_chat_users), quote(current_connected_users), quote(playlist_items),
                      quote(current_media_title), quote(current_media_duration), quote(bot_start_time),
                      quote(bot_connected)) AS BLOB)
FROM current_status
WHERE id <> 1 OR NOT (typeof(last_updated) IN ('integer', 'null') AND coalesce(last_updated, 0) BETWEEN 0 AND unixepoch());

DELETE FROM current_status WHERE id <> 1;

UPDATE current_status
SET last_updated = max(0, min(coalesce(CAST(last_updated AS INTEGER), 0), unixepoch())), status = coalesce(status, 'offline');
