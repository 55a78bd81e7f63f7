-- What happened. A user who goes leaves his events behind.
CREATE TABLE events(
    id              INTEGER PRIMARY KEY,
    organisation_id INTEGER NOT NULL REFERENCES organisations(id) ON DELETE CASCADE,
    user_id         INTEGER REFERENCES users(id) ON DELETE SET NULL,
    kind            TEXT NOT NULL,
    detail          TEXT,
    at              INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
);
-- The newest of an organisation, and of one kind; of a user.
CREATE INDEX events_newest ON events(organisation_id, at DESC);
CREATE INDEX events_newest_of_kind ON events(organisation_id, kind, at DESC);
CREATE INDEX events_of_user ON events(user_id, at DESC) WHERE user_id IS NOT NULL;
