-- What every database of Rosey has, whatever its operations are. Times are unix milliseconds.

-- Facts about this file. `database_id` tells it from every other one.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY NOT NULL,
    value TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO meta (key, value) VALUES ('database_id', lower(hex(randomblob(16))));

-- One row per operation that took effect, written in the transaction of the effect.
CREATE TABLE ledger (
    id          TEXT PRIMARY KEY NOT NULL,
    operation   TEXT NOT NULL,
    hash        INTEGER NOT NULL, -- of the payload: the same id with another one is refused
    occurred_at INTEGER NOT NULL,
    applied_at  INTEGER NOT NULL,
    batch       INTEGER NOT NULL, -- the transaction that brought it; marks what is new in it
    answer      TEXT              -- of a call, so that a repeat is answered the same
) WITHOUT ROWID;

-- What could not be understood or applied, kept for a person to look at.
CREATE TABLE dead_letters (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    code    TEXT NOT NULL,
    reason  TEXT NOT NULL,
    subject TEXT NOT NULL,
    headers TEXT NOT NULL, -- a JSON object
    payload BLOB NOT NULL
);
