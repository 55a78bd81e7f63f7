CREATE TABLE users(
    id         INTEGER PRIMARY KEY,
    email      TEXT NOT NULL,
    name       TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)),
    deleted_at INTEGER
);
-- An address is free again once its user is deleted.
CREATE UNIQUE INDEX users_by_email ON users(lower(email)) WHERE deleted_at IS NULL;
