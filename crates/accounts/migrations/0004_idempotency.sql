-- What came of requests that were sent with an idempotency key, for a day. Not watched: no key or price depends on it.
CREATE TABLE idempotency (
    project_id   TEXT    NOT NULL,
    key          TEXT    NOT NULL,
    -- Names the attempt, so that one that was given up cannot conclude its successor's.
    claim        TEXT    NOT NULL,
    fingerprint  BLOB    NOT NULL,
    -- The server that works on it.
    server       TEXT    NOT NULL,
    state        TEXT    NOT NULL CHECK (state IN ('running', 'done', 'spent')),
    usage_id     TEXT,
    content_type TEXT,
    body         BLOB,
    ends_at      INTEGER NOT NULL,
    PRIMARY KEY (project_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_end ON idempotency (ends_at);
CREATE INDEX idempotency_by_server ON idempotency (server, state);
