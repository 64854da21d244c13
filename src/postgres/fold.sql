
-- A portion of a fold is one call. -1: another one folds. Else how many rows were found.
CREATE OR REPLACE FUNCTION {FOLD}(fold text, most bigint) RETURNS bigint
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS {TAG}
#variable_conflict use_column
DECLARE
    eitherway_now bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
    eitherway_rows bigint := 0;
    eitherway_gone text[];
BEGIN
    -- A statement of its own: what follows sees what the one before has done.
    IF NOT pg_try_advisory_xact_lock({LOCK}) THEN
        RETURN -1;
    END IF;
{ALONE}
    -- A fold that is lost in a crash is as if it had not been begun.
    PERFORM set_config('synchronous_commit', 'off', true);
    CASE fold
{FOLDS}
    END CASE;
    RETURN eitherway_rows;
END {TAG};
