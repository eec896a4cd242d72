-- Answers are sealed from here on; those that lie in plain go. Their keys stay until their time is over, so that no request
-- of before runs twice.
UPDATE idempotency SET state = 'spent', content_type = NULL, body = NULL WHERE state = 'done';

-- Of the answer that is kept, so that what a project keeps can be counted without reading it.
ALTER TABLE idempotency ADD COLUMN n_bytes INTEGER NOT NULL DEFAULT 0;
CREATE INDEX idempotency_of_project ON idempotency (project_id, ends_at, n_bytes);
