-- A batch is one call: one transaction, one round trip. What stands in braces is put in where the function is made. Inside, each
-- statement sees what was committed before it began, also what the ledger has waited for.
CREATE OR REPLACE FUNCTION {NAME}(batch jsonb, answer_bytes bigint)
RETURNS TABLE (id text, answer text, known boolean, reused boolean)
LANGUAGE plpgsql SET enable_seqscan = off SET jit = off AS {TAG}
#variable_conflict use_column
DECLARE
    eitherway_now bigint := floor(extract(epoch FROM clock_timestamp()) * 1000);
    eitherway_fresh jsonb := batch;
    eitherway_ids text[];
    eitherway_given bigint;
    eitherway_count bigint;
    eitherway_changed bigint;
BEGIN
{ALONE}
    -- In one order for all writers, so that none waits for one that waits for it.
    WITH given AS (
        SELECT k.key AS operation, r ->> 0 AS id, (r ->> 1)::bigint AS at, (r ->> 3)::bigint AS hash
        FROM jsonb_each(batch) k CROSS JOIN jsonb_array_elements(k.value) r),
    taken AS (
        INSERT INTO ledger (id, operation, hash, occurred_at, applied_at)
        SELECT id, operation, hash, at, eitherway_now FROM given ORDER BY id COLLATE "C"
        ON CONFLICT (id) DO NOTHING RETURNING id)
    SELECT (SELECT count(*) FROM given), coalesce(array_agg(taken.id), '{}')
    INTO eitherway_given, eitherway_ids FROM taken;

    IF cardinality(eitherway_ids) < eitherway_given THEN
        SELECT coalesce(jsonb_object_agg(s.key, s.rows), '{}') INTO eitherway_fresh FROM (
            SELECT k.key, jsonb_agg(r) AS rows
            FROM jsonb_each(batch) k CROSS JOIN jsonb_array_elements(k.value) r
            WHERE r ->> 0 = ANY (eitherway_ids) GROUP BY k.key) s;
    END IF;

    -- What waits for no other writer first. Nothing waits behind a claim, which takes only rows that are free at that moment.
{OWN}
{LOCKS}
{SHARED}
{CLAIMS}
    IF cardinality(eitherway_ids) < eitherway_given THEN
        -- What writes nothing does not wait for a standby: it would be answered for a commit that no standby has yet.
        PERFORM pg_logical_emit_message(true, 'eitherway', '');
        RETURN QUERY
        SELECT l.id, l.answer, true, l.operation <> k.key OR l.hash <> (r ->> 3)::bigint
        FROM jsonb_each(batch) k CROSS JOIN jsonb_array_elements(k.value) r JOIN ledger l ON l.id = r ->> 0
        WHERE l.id <> ALL (eitherway_ids);
        GET DIAGNOSTICS eitherway_count = ROW_COUNT;
        IF cardinality(eitherway_ids) + eitherway_count <> eitherway_given THEN
            -- Removed since the ledger was asked: nothing is known of it, so all of this is tried again.
            RAISE EXCEPTION 'the ledger has forgotten an id of this batch' USING ERRCODE = '40001';
        END IF;
    END IF;
END {TAG}
