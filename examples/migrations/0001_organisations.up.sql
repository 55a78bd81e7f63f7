-- Who pays. Everything else belongs to an organisation.
CREATE TABLE organisations(
    id         INTEGER PRIMARY KEY,
    slug       TEXT NOT NULL COLLATE NOCASE CHECK(length(slug) BETWEEN 1 AND 63),
    name       TEXT NOT NULL,
    plan       TEXT NOT NULL DEFAULT 'free' CHECK(plan IN ('free', 'team', 'enterprise')),
    created_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
);
CREATE UNIQUE INDEX organisations_by_slug ON organisations(slug);
