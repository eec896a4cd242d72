-- Adapters that teams have uploaded. Their files lie in a folder, not here.

CREATE TABLE artifacts (
    id         TEXT    NOT NULL PRIMARY KEY,
    project_id TEXT    NOT NULL REFERENCES projects (id),
    name       TEXT    NOT NULL,
    base_model TEXT    NOT NULL,
    -- Versions that there ever were: the number of one that was deleted is not used again.
    n_versions INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (project_id, name)
) STRICT;

CREATE TABLE artifact_versions (
    artifact_id TEXT    NOT NULL REFERENCES artifacts (id),
    version     INTEGER NOT NULL,
    folder      TEXT    NOT NULL,
    digest      BLOB    NOT NULL,
    n_bytes     INTEGER NOT NULL,
    lora_rank   INTEGER NOT NULL,
    targets     TEXT    NOT NULL,
    actor       TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (artifact_id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE artifact_aliases (
    artifact_id TEXT    NOT NULL REFERENCES artifacts (id),
    alias       TEXT    NOT NULL,
    version     INTEGER NOT NULL,
    PRIMARY KEY (artifact_id, alias)
) STRICT, WITHOUT ROWID;

-- The adapter that a request used; NULL where it used none.
ALTER TABLE usage ADD COLUMN adapter TEXT;

-- The daily sums are parted by adapter, too; '' where none was used.
ALTER TABLE usage_daily RENAME TO usage_daily_before;
CREATE TABLE usage_daily (
    day          INTEGER NOT NULL,
    team_id      TEXT    NOT NULL,
    project_id   TEXT    NOT NULL,
    key_id       TEXT    NOT NULL,
    model        TEXT    NOT NULL,
    adapter      TEXT    NOT NULL,
    n_requests   INTEGER NOT NULL,
    n_prompt     INTEGER NOT NULL,
    n_cached     INTEGER NOT NULL,
    n_completion INTEGER NOT NULL,
    cost_n       INTEGER NOT NULL,
    PRIMARY KEY (team_id, day, project_id, key_id, model, adapter)
) STRICT, WITHOUT ROWID;
INSERT INTO usage_daily (day, team_id, project_id, key_id, model, adapter, n_requests, n_prompt, n_cached, n_completion, cost_n)
SELECT day, team_id, project_id, key_id, model, '', n_requests, n_prompt, n_cached, n_completion, cost_n
FROM usage_daily_before;
DROP TABLE usage_daily_before;
