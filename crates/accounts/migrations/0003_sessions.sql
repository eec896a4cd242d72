-- People who sign in to the console. Secrets are nowhere: of a password its argon2id hash is kept, of a
-- session's or an invitation's token an HMAC under the server's secret.

ALTER TABLE people ADD COLUMN password_hash TEXT;
-- The key that the person's work in the console is counted under; nobody knows its secret.
ALTER TABLE people ADD COLUMN console_key_id TEXT;

CREATE TABLE sessions (
    token_mac  BLOB    NOT NULL PRIMARY KEY,
    person_id  TEXT    NOT NULL REFERENCES people (id),
    created_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_person ON sessions (person_id);

-- Lets a person choose a password, once.
CREATE TABLE invitations (
    token_mac  BLOB    NOT NULL PRIMARY KEY,
    person_id  TEXT    NOT NULL REFERENCES people (id),
    created_at INTEGER NOT NULL,
    ends_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX invitations_by_person ON invitations (person_id);

-- What a team keeps of its work in the console. A name that is saved again gets the next version.
CREATE TABLE saved (
    id         TEXT    NOT NULL PRIMARY KEY,
    team_id    TEXT    NOT NULL REFERENCES teams (id),
    kind       TEXT    NOT NULL CHECK (kind IN ('prompt', 'preset', 'chat')),
    name       TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    body       TEXT    NOT NULL,
    person_id  TEXT    NOT NULL REFERENCES people (id),
    created_at INTEGER NOT NULL,
    UNIQUE (team_id, kind, name, version)
) STRICT;
