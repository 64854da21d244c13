-- Which bot leads in a room, until when. Times are unix milliseconds by the clock of the database's host.
CREATE TABLE leases (
    room     TEXT PRIMARY KEY NOT NULL,
    holder   TEXT NOT NULL, -- the process
    name     TEXT NOT NULL, -- its name, for people
    renewed  INTEGER NOT NULL,
    ends     INTEGER NOT NULL,
    skew     INTEGER NOT NULL, -- by how much its clock was ahead, in milliseconds
    asked_by TEXT, -- another one that would lead, and when it asked
    asked_at INTEGER
) WITHOUT ROWID;
