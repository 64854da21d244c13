-- The namespace whose events these are. A file without this table holds those of no namespace.
CREATE TABLE kept_for (namespace TEXT NOT NULL);

PRAGMA user_version = 2;
