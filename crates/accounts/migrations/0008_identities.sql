-- People who sign in at an identity provider. A verified mail address finds the person the first time; from then on the
-- provider's subject decides, whatever address it tells.

ALTER TABLE people ADD COLUMN mail TEXT;
CREATE UNIQUE INDEX people_by_mail ON people (mail);

CREATE TABLE identities (
    issuer     TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    person_id  TEXT    NOT NULL REFERENCES people (id),
    -- As it was when they were linked; for people to read.
    mail       TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;
CREATE INDEX identities_by_person ON identities (person_id);

-- Sign-ins that came back from a provider, until they would have expired: none comes back twice.
CREATE TABLE used_attempts (
    token_mac BLOB    NOT NULL PRIMARY KEY,
    ends_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX used_attempts_by_end ON used_attempts (ends_at);
