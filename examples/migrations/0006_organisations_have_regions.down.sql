CREATE TABLE organisations_old(
    id         INTEGER PRIMARY KEY,
    slug       TEXT NOT NULL COLLATE NOCASE CHECK(length(slug) BETWEEN 1 AND 63),
    name       TEXT NOT NULL,
    plan       TEXT NOT NULL DEFAULT 'free' CHECK(plan IN ('free', 'team', 'enterprise')),
    created_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
);
INSERT INTO organisations_old(id, slug, name, plan, created_at)
    SELECT id, slug, name, plan, created_at FROM organisations;
DROP TABLE organisations;
ALTER TABLE organisations_old RENAME TO organisations;
CREATE UNIQUE INDEX organisations_by_slug ON organisations(slug);
