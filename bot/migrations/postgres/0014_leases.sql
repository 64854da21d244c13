-- Which bot leads in a room, until when. Times are unix milliseconds by the clock of the database's host.
CREATE TABLE leases (
    room     text COLLATE "C" PRIMARY KEY,
    holder   text COLLATE "C" NOT NULL, -- the process
    name     text COLLATE "C" NOT NULL, -- its name, for people
    renewed  bigint NOT NULL,
    ends     bigint NOT NULL,
    skew     bigint NOT NULL, -- by how much its clock was ahead, in milliseconds
    asked_by text COLLATE "C", -- another one that would lead, and when it asked
    asked_at bigint
);
