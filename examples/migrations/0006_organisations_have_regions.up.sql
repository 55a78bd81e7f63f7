-- A column that must not be NULL and has no default of its own: the table is built anew. Its children
-- (memberships, events, api_keys) stay, since foreign_keys is off in a migration; afterwards every
-- child still finds its parent, or nothing of this is kept.
CREATE TABLE organisations_new(
    id         INTEGER PRIMARY KEY,
    slug       TEXT NOT NULL COLLATE NOCASE CHECK(length(slug) BETWEEN 1 AND 63),
    name       TEXT NOT NULL,
    region     TEXT NOT NULL CHECK(region IN ('eu', 'us', 'ap')),
    plan       TEXT NOT NULL DEFAULT 'free' CHECK(plan IN ('free', 'team', 'enterprise')),
    created_at INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
);
INSERT INTO organisations_new(id, slug, name, region, plan, created_at)
    SELECT id, slug, name, 'eu', plan, created_at FROM organisations;
DROP TABLE organisations;
ALTER TABLE organisations_new RENAME TO organisations;
CREATE UNIQUE INDEX organisations_by_slug ON organisations(slug);
CREATE INDEX organisations_by_region ON organisations(region, plan);
