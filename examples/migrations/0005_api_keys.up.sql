-- Of a key only its hash is kept, and how it begins, so that people can tell theirs apart.
CREATE TABLE api_keys(
    id              INTEGER PRIMARY KEY,
    organisation_id INTEGER NOT NULL REFERENCES organisations(id) ON DELETE CASCADE,
    created_by      INTEGER REFERENCES users(id) ON DELETE SET NULL,
    prefix          TEXT NOT NULL,
    hash            BLOB NOT NULL CHECK(length(hash) = 32),
    name            TEXT NOT NULL DEFAULT '',
    created_at      INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)),
    expires_at      INTEGER,
    revoked_at      INTEGER
);
CREATE UNIQUE INDEX api_keys_by_hash ON api_keys(hash);
CREATE INDEX api_keys_in_use ON api_keys(organisation_id, prefix) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_by_creator ON api_keys(created_by) WHERE created_by IS NOT NULL;
