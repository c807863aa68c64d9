-- +goose Up

-- Who signs in to the pages other than by the administrator's password.
CREATE TABLE person (
	id        INTEGER PRIMARY KEY,
	name      TEXT NOT NULL UNIQUE,
	tenant    TEXT NOT NULL,                   -- at Microsoft, in lower case as the object id; '' without such a sign-in
	object_id TEXT NOT NULL,
	hash      TEXT NOT NULL,                   -- of the password; '' without one
	invited   INTEGER NOT NULL,                -- 1: they came by an invitation
	created   INTEGER NOT NULL
);
CREATE UNIQUE INDEX person_identity ON person (tenant, object_id) WHERE object_id <> '';

-- Whose an account is, where its own row does not say.
CREATE TABLE account_owner (
	account_id INTEGER PRIMARY KEY REFERENCES account(id) ON DELETE CASCADE,
	person_id  INTEGER NOT NULL REFERENCES person(id) ON DELETE CASCADE,
	given      INTEGER NOT NULL                -- 1: by an administrator; 0: connected by the person
);
CREATE INDEX account_owner_person ON account_owner (person_id);

-- Sessions of the administrator by password have no person.
ALTER TABLE session ADD COLUMN person_id INTEGER REFERENCES person(id) ON DELETE CASCADE;
ALTER TABLE session ADD COLUMN role TEXT NOT NULL DEFAULT 'administrator';
CREATE INDEX session_person ON session (person_id);

CREATE TABLE invitation (
	id      INTEGER PRIMARY KEY,
	hash    BLOB NOT NULL UNIQUE,              -- keyed
	name    TEXT NOT NULL,
	account TEXT NOT NULL,                     -- by name; '' for none
	created INTEGER NOT NULL,
	expires INTEGER NOT NULL
);

-- What people did.
CREATE TABLE record (
	id      INTEGER PRIMARY KEY,
	at      INTEGER NOT NULL,
	what    TEXT NOT NULL,
	who     TEXT NOT NULL,
	role    TEXT NOT NULL,
	network TEXT NOT NULL,
	whom    TEXT NOT NULL,
	detail  TEXT NOT NULL,
	browser TEXT NOT NULL
);
CREATE INDEX record_at ON record (at);
CREATE INDEX record_what ON record (what, id);
