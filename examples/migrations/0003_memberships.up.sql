CREATE TABLE memberships(
    organisation_id INTEGER NOT NULL REFERENCES organisations(id) ON DELETE CASCADE,
    user_id         INTEGER NOT NULL REFERENCES users(id) ON DELETE CASCADE,
    role            TEXT NOT NULL DEFAULT 'member' CHECK(role IN ('member', 'admin', 'owner')),
    since           INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)),
    PRIMARY KEY(organisation_id, user_id)
) WITHOUT ROWID;
-- The other way round: the organisations of a user.
CREATE INDEX memberships_by_user ON memberships(user_id, organisation_id);
