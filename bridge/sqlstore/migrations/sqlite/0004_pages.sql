-- +goose Up

-- Where an account comes from: '' the configuration, 'page' added on a page of the bridge. One of a page has its
-- mailbox here: '' is that of whoever signs in, an address one that is read app-only.
ALTER TABLE account ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN mailbox TEXT NOT NULL DEFAULT '';

-- Browsers that are signed in to the pages.
CREATE TABLE session (
	id      INTEGER PRIMARY KEY,
	hash    BLOB NOT NULL UNIQUE,              -- keyed
	agent   TEXT NOT NULL,                     -- the browser's User-Agent
	created INTEGER NOT NULL,
	seen    INTEGER NOT NULL,
	expires INTEGER NOT NULL
);

-- One-time links.
CREATE TABLE ticket (
	hash    BLOB PRIMARY KEY,                  -- keyed
	user    TEXT NOT NULL,
	label   TEXT NOT NULL,
	expires INTEGER NOT NULL
) WITHOUT ROWID;
