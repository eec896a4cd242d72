-- What is in flight, for servers that share a database. A place is a project and a model.
CREATE TABLE places (
    id        TEXT    NOT NULL PRIMARY KEY,
    recall_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE slots (
    place_id   TEXT    NOT NULL,
    replica_id TEXT    NOT NULL,
    n          INTEGER NOT NULL CHECK (n > 0),
    PRIMARY KEY (place_id, replica_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX slots_by_replica ON slots (replica_id);

-- Grows at most once in a while, and only while servers speak with the database; how long a server has been silent is told by
-- it, and not by anybody's clock.
CREATE TABLE beat (
    number INTEGER NOT NULL,
    at     INTEGER NOT NULL
) STRICT;
INSERT INTO beat (number, at) VALUES (0, 0);

-- The beat of a server's last word.
ALTER TABLE replicas ADD COLUMN beat INTEGER NOT NULL DEFAULT 0;
