-- The table that was set aside had it: the older generation of the Python bot reads it.
ALTER TABLE outbound_messages ADD COLUMN last_error TEXT;
