-- The channel itself speaks as `server`, or as `[server]`: counted, and not kept among the recent lines.
DROP TRIGGER server_spoke;
CREATE TRIGGER server_spoke AFTER INSERT ON recent_chat WHEN lower(NEW.username) IN ('server', '[server]')
BEGIN
    INSERT INTO server_lines (op_id, username, at) VALUES (NEW.op_id, NEW.username, NEW.at);
    DELETE FROM recent_chat WHERE id = NEW.id;
END;
