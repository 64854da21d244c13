-- One text under two names: ours, and the one that the older generation of the Python bot reads.
UPDATE outbound_messages
SET error_message = coalesce(error_message, last_error), last_error = coalesce(last_error, error_message);
CREATE TRIGGER outbound_last_error AFTER UPDATE OF error_message ON outbound_messages
WHEN NEW.last_error IS NOT NEW.error_message
BEGIN
    UPDATE outbound_messages SET last_error = NEW.error_message WHERE id = NEW.id;
END;
