-- The older generation of the Python bot calls it `last_error`; still older files have neither.
ALTER TABLE outbound_messages ADD COLUMN error_message TEXT;
