-- The queue: times that lie in the past, a count, and either sent or not.
INSERT INTO dead_letters (at, code, reason, subject, headers, payload)
SELECT unixepoch() * 1000, 'invalid', 'taken over from the Python bot: a value that its column cannot have', 'outbound_messages', '{}',
       CAST(concat_ws(', ', quote(id), quote(timestamp), quote(sent_timestamp), quote(message), quote(sent), quote(retry_count),
                      quote(error_message)) AS BLOB)
FROM outbound_messages
WHERE NOT (typeof(timestamp) = 'integer' AND timestamp BETWEEN 0 AND unixepoch())
   OR NOT (typeof(sent_timestamp) IN ('integer', 'null') AND coalesce(sent_timestamp, 0) BETWEEN 0 AND 99999999999)
   OR typeof(message) <> 'text' OR typeof(error_message) NOT IN ('text', 'null')
   OR coalesce(sent, 0) NOT IN (0, 1)
   OR NOT (typeof(retry_count) IN ('integer', 'null') AND coalesce(retry_count, 0) BETWEEN 0 AND 1000000);

UPDATE outbound_messages
SET timestamp = max(0, min(coalesce(CAST(timestamp AS INTEGER), 0), unixepoch())),
    message = iif(typeof(message) = 'text', message, quote(message)),
    error_message = iif(typeof(error_message) IN ('text', 'null'), error_message, quote(error_message)),
    sent = coalesce(sent, 0) <> 0,
    retry_count = max(0, min(coalesce(CAST(retry_count AS INTEGER), 0), 1000000));

-- What was sent was so at some time.
UPDATE outbound_messages SET sent_timestamp = timestamp
WHERE sent AND NOT (typeof(sent_timestamp) = 'integer' AND sent_timestamp BETWEEN 0 AND 99999999999);
UPDATE outbound_messages SET sent_timestamp = NULL WHERE NOT sent;
