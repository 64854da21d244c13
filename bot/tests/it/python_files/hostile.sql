-- Rows that the tables of the older generation allow, and should not hold.
INSERT INTO user_stats VALUES
    (NULL, NOW - 100, NOW - 100, 1, 1, NOW - 100),
    (NULL, NOW - 99, NOW - 99, 1, 1, NULL),
    (x'00ff', NOW - 100, NOW - 100, 1, 1, NOW - 100),
    (printf('%.300c', 'x'), NOW - 100, NOW - 100, 5, 50, NOW - 100),
    ('words', 'abc', 'def', 'ghi', 'jkl', 'mno'),
    ('future', NOW - 100, NOW - 50, 1, 10, NOW + 86400),
    ('all future', NOW + 5, NOW + 86400, 1, 10, NOW + 86400),
    ('unseen', NOW - 40, NOW - 90, 1, 10, NOW - 50),
    ('negative', -5, -4, -3, -2, -1),
    ('empty', NOW - 100, NOW - 100, NULL, NULL, NULL),
    ('fractions', NOW - 100.5, NOW - 90.5, 2.9, 7.9, NOW - 80.5),
    ('huge', 9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807, 9223372036854775807),
    ('', NOW - 100, NOW - 100, 1, 1, NULL);
UPDATE channel_stats SET max_users = 'abc', max_users_timestamp = 'def', max_connected = NULL, last_updated = NULL;
INSERT INTO user_count_history (timestamp, chat_users, connected_users)
VALUES (NOW - 30, 'abc', 'zzz'), (NOW - 20, 5, 2), (NOW - 10, -3, 1.5), ('when', 1, 1);
INSERT INTO recent_chat (timestamp, username, message)
VALUES ('when', 'carol', 'no time'), (NOW - 10, x'6461', x'ff'), (-5, 'dave', ''), (NOW - 5, printf('%.300c', 'x'), 'long');
UPDATE current_status SET last_updated = NOW + 86400, bot_rank = 'high', bot_afk = 'maybe', current_chat_users = 'many';
INSERT INTO outbound_messages (id, timestamp, sent_timestamp, message, sent, retry_count, last_error) VALUES
    (30, 'when', NULL, 'no time', 0, NULL, NULL),
    (31, NOW + 86400, NULL, x'ff', 0, -1, x'ff'),
    (32, NOW - 10, NULL, 'sent at no time', 1, 0, NULL),
    (33, NOW - 10, 'when', 'perhaps sent', 'abc', 'def', NULL),
    (34, NOW - 10, NULL, 'nobody knows', NULL, 0, NULL);
