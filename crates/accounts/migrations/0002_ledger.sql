-- Limits, the catalogue, prices, and the ledger. Amounts are nano-dollars, prices nano-dollars per
-- million tokens. Lists are JSON texts; NULL is "no limit".

ALTER TABLE teams ADD COLUMN tier TEXT NOT NULL DEFAULT 'free' CHECK (tier IN ('free', 'pro', 'enterprise', 'unlimited'));
ALTER TABLE teams ADD COLUMN disabled_at INTEGER;
ALTER TABLE teams ADD COLUMN allowed_models TEXT;

ALTER TABLE people ADD COLUMN is_operator INTEGER NOT NULL DEFAULT 0;
UPDATE people SET is_operator = 1
WHERE id = (SELECT id FROM people ORDER BY created_at, id LIMIT 1);

ALTER TABLE projects ADD COLUMN concurrency INTEGER;
ALTER TABLE projects ADD COLUMN requests_per_minute INTEGER;
ALTER TABLE projects ADD COLUMN tokens_per_minute INTEGER;

ALTER TABLE keys ADD COLUMN scopes TEXT NOT NULL DEFAULT '["inference","models:read","usage:read"]';
ALTER TABLE keys ADD COLUMN allowed_models TEXT;
ALTER TABLE keys ADD COLUMN allowed_networks TEXT;
ALTER TABLE keys ADD COLUMN requests_per_minute INTEGER;
ALTER TABLE keys ADD COLUMN tokens_per_minute INTEGER;
ALTER TABLE keys ADD COLUMN cuts_streams INTEGER NOT NULL DEFAULT 0;
-- While a key is rotated its old secret goes on to work until then.
ALTER TABLE keys ADD COLUMN previous_mac BLOB;
ALTER TABLE keys ADD COLUMN previous_until INTEGER;

CREATE TABLE caps (
    scope   TEXT    NOT NULL CHECK (scope IN ('team', 'project', 'key')),
    target  TEXT    NOT NULL,
    period  TEXT    NOT NULL CHECK (period IN ('month', 'year')),
    limit_n INTEGER NOT NULL CHECK (limit_n >= 0),
    PRIMARY KEY (scope, target, period)
) STRICT, WITHOUT ROWID;

-- Never changed: the last version of a model that has begun is what holds.
CREATE TABLE models (
    id         TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    entry      TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (id, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE prices (
    version    INTEGER NOT NULL PRIMARY KEY,
    model      TEXT    NOT NULL,
    input_n    INTEGER NOT NULL CHECK (input_n >= 0),
    cached_n   INTEGER NOT NULL CHECK (cached_n >= 0),
    output_n   INTEGER NOT NULL CHECK (output_n >= 0),
    valid_from INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX prices_by_model ON prices (model, valid_from);

-- What may be spent, is spent, and is lent to a server that may spend it without asking. A purse is a team's credit, or
-- what a cap allows in one month or year.
CREATE TABLE purses (
    id        TEXT    NOT NULL PRIMARY KEY,
    limit_n   INTEGER NOT NULL,
    spent_n   INTEGER NOT NULL,
    leased_n  INTEGER NOT NULL CHECK (leased_n >= 0),
    recall_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE replicas (
    id           TEXT    NOT NULL PRIMARY KEY,
    owner        TEXT    NOT NULL,
    epoch        INTEGER NOT NULL,
    started_at   INTEGER NOT NULL,
    heartbeat_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    replica_id TEXT    NOT NULL,
    purse_id   TEXT    NOT NULL,
    amount_n   INTEGER NOT NULL CHECK (amount_n >= 0),
    PRIMARY KEY (replica_id, purse_id)
) STRICT, WITHOUT ROWID;

-- One row for each team: the end of its chain. Whoever writes to the team's ledger takes this row first.
CREATE TABLE chains (
    team_id TEXT    NOT NULL PRIMARY KEY,
    seq     INTEGER NOT NULL,
    head    BLOB    NOT NULL
) STRICT, WITHOUT ROWID;

-- The ledger: these two tables are only ever added to. Each row's hash covers the row and the hash before it.
CREATE TABLE entries (
    team_id    TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    kind       TEXT    NOT NULL CHECK (kind IN ('purchase', 'grant', 'refund', 'expire', 'adjust')),
    amount_n   INTEGER NOT NULL,
    ref        TEXT    NOT NULL,
    note       TEXT    NOT NULL,
    actor      TEXT    NOT NULL,
    expires_at INTEGER,
    at         INTEGER NOT NULL,
    hash       BLOB    NOT NULL,
    PRIMARY KEY (team_id, seq),
    UNIQUE (team_id, kind, ref)
) STRICT, WITHOUT ROWID;

CREATE TABLE usage (
    id            TEXT    NOT NULL PRIMARY KEY,
    team_id       TEXT    NOT NULL,
    seq           INTEGER NOT NULL,
    project_id    TEXT    NOT NULL,
    key_id        TEXT    NOT NULL,
    model         TEXT    NOT NULL,
    price_version INTEGER NOT NULL,
    input_n       INTEGER NOT NULL,
    cached_n      INTEGER NOT NULL,
    output_n      INTEGER NOT NULL,
    n_prompt      INTEGER NOT NULL,
    n_cached      INTEGER,
    n_completion  INTEGER NOT NULL,
    hold_n        INTEGER NOT NULL,
    cost_n        INTEGER NOT NULL,
    status        TEXT    NOT NULL CHECK (status IN ('done', 'failed', 'cancelled', 'interrupted', 'overrun')),
    replica_id    TEXT    NOT NULL,
    admitted_at   INTEGER NOT NULL,
    ended_at      INTEGER NOT NULL,
    hash          BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX usage_by_team ON usage (team_id, seq);

-- Sums over `usage`, written with it.
CREATE TABLE usage_daily (
    day          INTEGER NOT NULL,
    team_id      TEXT    NOT NULL,
    project_id   TEXT    NOT NULL,
    key_id       TEXT    NOT NULL,
    model        TEXT    NOT NULL,
    n_requests   INTEGER NOT NULL,
    n_prompt     INTEGER NOT NULL,
    n_cached     INTEGER NOT NULL,
    n_completion INTEGER NOT NULL,
    cost_n       INTEGER NOT NULL,
    PRIMARY KEY (team_id, day, project_id, key_id, model)
) STRICT, WITHOUT ROWID;

-- What is left of purchases and grants, the one that ends first spent first.
CREATE TABLE grants (
    team_id    TEXT    NOT NULL,
    seq        INTEGER NOT NULL,
    amount_n   INTEGER NOT NULL,
    used_n     INTEGER NOT NULL,
    expired_n  INTEGER NOT NULL,
    expires_at INTEGER,
    is_open    INTEGER NOT NULL,
    PRIMARY KEY (team_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    seq    INTEGER NOT NULL PRIMARY KEY,
    at     INTEGER NOT NULL,
    actor  TEXT    NOT NULL,
    action TEXT    NOT NULL,
    target TEXT    NOT NULL,
    detail TEXT    NOT NULL,
    hash   BLOB    NOT NULL
) STRICT;

CREATE TRIGGER caps_inserted AFTER INSERT ON caps BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER caps_updated AFTER UPDATE ON caps BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER caps_deleted AFTER DELETE ON caps BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER models_inserted AFTER INSERT ON models BEGIN UPDATE revision SET number = number + 1; END;
CREATE TRIGGER prices_inserted AFTER INSERT ON prices BEGIN UPDATE revision SET number = number + 1; END;
