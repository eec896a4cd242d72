-- Who may ask, and on whose behalf. Ids are random text, so that rows can move to another database
-- unchanged; times are milliseconds since 1970 (UTC).

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE teams (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE people (
    id              TEXT    NOT NULL PRIMARY KEY,
    name            TEXT    NOT NULL UNIQUE,
    default_team_id TEXT    NOT NULL REFERENCES teams (id),
    created_at      INTEGER NOT NULL
) STRICT;

CREATE TABLE memberships (
    team_id    TEXT    NOT NULL REFERENCES teams (id),
    person_id  TEXT    NOT NULL REFERENCES people (id),
    role       TEXT    NOT NULL CHECK (role IN ('admin', 'member')),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (team_id, person_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE projects (
    id         TEXT    NOT NULL PRIMARY KEY,
    team_id    TEXT    NOT NULL REFERENCES teams (id),
    name       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (team_id, name)
) STRICT;

-- The secret itself is nowhere: `mac` is HMAC-SHA256 of it under the server's secret, which lies
-- outside the database.
CREATE TABLE keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    person_id  TEXT    NOT NULL REFERENCES people (id),
    name       TEXT    NOT NULL,
    mac        BLOB    NOT NULL CHECK (length(mac) = 32),
    last_four  TEXT    NOT NULL CHECK (length(last_four) = 4),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;

CREATE INDEX keys_by_person ON keys (person_id);

-- One number that grows with every change to the tables above, whoever makes it. A server keeps what
-- it has read for as long as the number stands still. Triggers, because a writer could forget.
CREATE TABLE revision (
    id     INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    number INTEGER NOT NULL
) STRICT;
INSERT INTO revision (id, number) VALUES (1, 0);

CREATE TRIGGER teams_inserted AFTER INSERT ON teams BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER teams_updated AFTER UPDATE ON teams BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER teams_deleted AFTER DELETE ON teams BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER people_inserted AFTER INSERT ON people BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER people_updated AFTER UPDATE ON people BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER people_deleted AFTER DELETE ON people BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER memberships_inserted AFTER INSERT ON memberships BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER memberships_updated AFTER UPDATE ON memberships BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER memberships_deleted AFTER DELETE ON memberships BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER projects_inserted AFTER INSERT ON projects BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER projects_updated AFTER UPDATE ON projects BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER projects_deleted AFTER DELETE ON projects BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER keys_inserted AFTER INSERT ON keys BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER keys_updated AFTER UPDATE ON keys BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER keys_deleted AFTER DELETE ON keys BEGIN UPDATE revision SET number = number + 1; END;
