-- The outbox: events that no path took. Times are unix milliseconds.

-- What is to be offered again, the oldest first.
CREATE TABLE waiting (
    seq         INTEGER PRIMARY KEY NOT NULL, -- the order in which they were taken
    id          TEXT NOT NULL UNIQUE,         -- the operation's
    operation   TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    traceparent TEXT,
    tracestate  TEXT,
    payload     TEXT NOT NULL,
    taken_at    INTEGER NOT NULL              -- when it was first taken: offered again for 7 days from then
);

-- What is not offered any more, and why: refused by the database, or too old.
CREATE TABLE aside (
    id          TEXT PRIMARY KEY NOT NULL,
    operation   TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    traceparent TEXT,
    tracestate  TEXT,
    payload     TEXT NOT NULL,
    taken_at    INTEGER NOT NULL,
    aside_at    INTEGER NOT NULL,
    code        TEXT NOT NULL, -- `expired`, or the code of the refusal
    reason      TEXT NOT NULL
);

-- `RsOb`: what tells this file from every other SQLite file.
PRAGMA application_id = 1383288674;
PRAGMA user_version = 1;
